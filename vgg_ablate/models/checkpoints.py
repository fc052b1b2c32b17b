"""Weights that other programs read, and back: safetensors with the arch beside them, torchvision, ONNX."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.errors import Problem, SpecError, StorageError
from vgg_ablate.models.dense_head import convert_head, convert_state_dict
from vgg_ablate.models.layers import Conv, Pool, build_layers, split_head
from vgg_ablate.models.vgg import Vgg, build_model

_TORCHVISION = [name for name in PRESETS if name.startswith("vgg")]


def serialize_safetensors(arch: Arch, state: Mapping[str, Tensor], run: str | None = None) -> bytes:
    """The weights, with the arch as JSON in the file's metadata; and `run`, the JSON of the training they come from."""
    plain = {name: weight.detach().cpu().contiguous() for name, weight in state.items()}
    origin = {} if run is None else {"run": run}
    return save(plain, {"format": "pt", "arch": json.dumps(dump_arch(arch)), **origin})


def write_safetensors(path: Path, arch: Arch, state: Mapping[str, Tensor], run: str | None = None) -> None:
    """A file that `loaded` reads. Raises StorageFailed."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(serialize_safetensors(arch, state, run))
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def dump_arch(arch: Arch) -> dict[str, object]:
    """What a person would write at `arch:`; defaults are left out."""
    return {**arch.model_dump(mode="json", exclude_defaults=True, exclude={"stages"}), "stages": arch.to_notation()}


def dump_arch_yaml(arch: Arch) -> str:
    """The same as YAML, under the key `arch`."""
    text = io.StringIO()
    yaml_loader.write_yaml({"arch": dump_arch(arch)}, text)
    return text.getvalue()


def load_safetensors(path: Path) -> tuple[Arch, Vgg]:
    """The net that `as_safetensors` wrote. Raises StorageFailed, SpecError."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            names: list[str] = list(file.keys())
            state = {name: file.get_tensor(name) for name in names}
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path}: {error}") from error
    if "arch" not in metadata:
        raise SpecError(Problem("holds no arch: not written by vgg_ablate export", place=str(path)))
    try:
        arch = Arch.model_validate(json.loads(metadata["arch"]))
    except (ValidationError, json.JSONDecodeError) as error:
        raise SpecError(Problem("its arch cannot be read", place=str(path))) from error
    model = build_model(arch)
    model.load_state_dict(convert_state_dict(state, arch))
    return arch, model.eval()


def read_run_json(path: Path) -> str | None:
    """The JSON of the run that a weights file comes from; None where it does not say. Raises StorageFailed."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise StorageError(f"{path}: {error}") from error
    return metadata.get("run")


def find_torchvision_name(arch: Arch) -> str | None:
    """The torchvision model that has these layers, such as vgg16_bn; None where there is none."""
    plain = convert_head(arch, back=True)
    for name in _TORCHVISION:
        shape = {"image_size": arch.image_size, "in_channels": arch.in_channels, "classes": arch.classes}
        theirs = Arch.model_validate({"preset": name, **shape}).to_normal_form()
        if arch.in_channels == 3 and _wiring(theirs) == _wiring(plain):
            return name
    return None


def serialize_torchvision(arch: Arch, state: Mapping[str, Tensor]) -> bytes:
    """A file for `torch.load(..., weights_only=True)` and torchvision's `load_state_dict`."""
    file = io.BytesIO()
    torch.save(convert_state_dict(state, convert_head(arch, back=True)), file)
    return file.getvalue()


def write_onnx(arch: Arch, model: Vgg, path: Path) -> None:
    """The net as ONNX, through torch.export; for any batch size. Raises SpecError where the extra is not installed."""
    assert arch.image_size is not None
    assert arch.in_channels is not None
    if find_spec("onnxscript") is None:
        raise SpecError(Problem("ONNX needs the extra: pip install 'vgg_ablate[onnx]'", place="command line"))
    images = torch.zeros(2, arch.in_channels, arch.image_size, arch.image_size)
    program = torch.onnx.export(
        model.eval(),
        (images,),
        dynamo=True,
        dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
        input_names=["images"],
        output_names=["logits"],
        verbose=False,
    )
    assert program is not None
    program.save(path)


def _wiring(arch: Arch) -> list[object]:
    """What decides names, shapes and logits: the layers, without an average pooling that averages nothing."""
    body, head = split_head(build_layers(arch))
    size = body[-1].size if body and isinstance(body[-1], Pool | Conv) else 0
    return [*body, *(one for one in head if not (isinstance(one, Pool) and one.size == size))]
