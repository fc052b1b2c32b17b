"""Weight files: safetensors with the arch in the metadata, torchvision state dicts, ONNX.

A safetensors file written here holds everything that is needed to rebuild the net. Where the weights come from a
training, it also holds that run as JSON, so that `describe --field` finds the images that the net was trained for.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.errors import Problem, SpecError, StorageError, find_missing_package
from vgg_ablate.models.dense_head import convert_head, convert_state_dict
from vgg_ablate.models.layers import Conv, Layer, Pool, build_layers, split_head
from vgg_ablate.models.vgg import Vgg, build_model

_TORCHVISION_NAMES = [name for name in PRESETS if name.startswith("vgg")]


class ImageInputs(NamedTuple):
    """The normalisation of a net's input images, and the names of its classes."""

    mean: tuple[float, ...]  # per channel, in units of 1/255
    std: tuple[float, ...]
    class_names: tuple[str, ...]  # in the order of the labels


def serialize_safetensors(
    arch: Arch, state: Mapping[str, Tensor], run: str | None = None, inputs: ImageInputs | None = None
) -> bytes:
    """Return the bytes of a safetensors file with the weights and the arch.

    `run` is the JSON of the run that trained the weights, `inputs` what `load_model` needs beside them.
    """
    tensors = {name: weight.detach().cpu().contiguous() for name, weight in state.items()}
    origin = {} if run is None else {"run": run}
    if inputs is not None:
        origin["inputs"] = json.dumps(inputs._asdict())
    return save(tensors, {"format": "pt", "arch": json.dumps(arch.dump_compact()), **origin})


def write_safetensors(
    path: Path, arch: Arch, state: Mapping[str, Tensor], run: str | None = None, inputs: ImageInputs | None = None
) -> None:
    """Write a file that `load_safetensors` reads. Raises StorageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(serialize_safetensors(arch, state, run, inputs))
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def dump_arch_yaml(arch: Arch) -> str:
    """Return the arch as YAML, under the key `arch`."""
    text = io.StringIO()
    yaml_loader.write_yaml({"arch": arch.dump_compact()}, text)
    return text.getvalue()


def load_safetensors(path: Path) -> tuple[Arch, Vgg]:
    """Return the arch and the net, in eval mode, of a file that `serialize_safetensors` made.

    Raises StorageError where the file cannot be read, and SpecError where it was written by another program or its
    weights do not fit its arch.
    """
    metadata, state = _read_safetensors(path)
    if "arch" not in metadata:
        rule = "the metadata have no arch: write the file with 'vgg_ablate export'"
        raise SpecError(Problem(rule, location=str(path)))
    try:
        arch = Arch.model_validate(json.loads(metadata["arch"]))
    except (ValidationError, json.JSONDecodeError) as error:
        raise SpecError(Problem("the arch in the metadata is not valid", location=str(path))) from error
    try:
        weights = convert_state_dict(state, arch)  # before the net takes memory: a damaged file may claim any size
    except (ValueError, RuntimeError) as error:
        rule = f"the arch in the metadata is no net: {str(error).splitlines()[0]}"
        raise SpecError(Problem(rule, location=str(path))) from error
    model = build_model(arch)
    model.load_state_dict(weights)
    return arch, model.eval()


def read_run_json(path: Path) -> str | None:
    """Return the JSON of the run that trained a weights file, or None where the file has none. Raises StorageError."""
    return _read_safetensors(path, weights=False)[0].get("run")


def read_image_inputs(path: Path) -> ImageInputs | None:
    """Return the normalisation and the class names of a weights file; None where the file has none.

    Raises StorageError where it cannot be read, SpecError where they are not valid.
    """
    text = _read_safetensors(path, weights=False)[0].get("inputs")
    try:
        return None if text is None else TypeAdapter(ImageInputs).validate_json(text)
    except ValidationError as error:
        raise SpecError(Problem("the inputs in the metadata are not valid", location=str(path))) from error


def _read_safetensors(path: Path, *, weights: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata, and the tensors unless `weights` is False. Raises StorageError."""
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = list(file.keys()) if weights else []
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except OSError as error:
        raise StorageError(f"{path}: {error}") from error
    except SafetensorError as error:
        rule = "not a file of weights in the format safetensors, such as the model.safetensors that 'export' writes"
        raise StorageError(f"{path}: {rule} ({error})") from error


def find_torchvision_name(arch: Arch) -> str | None:
    """Return the name of the torchvision model with these layers, such as "vgg16_bn", or None."""
    if arch.in_channels != 3:  # torchvision's constructors have no argument for it
        return None
    layers = _find_distinct_layers(convert_head(arch, back=True))
    shape = {"image_size": arch.image_size, "in_channels": arch.in_channels, "classes": arch.classes}
    # Compared layer by layer and not by arch: several spellings build the same net.
    for name in _TORCHVISION_NAMES:
        preset = Arch.model_validate({"preset": name, **shape}).to_normal_form()
        if _find_distinct_layers(preset) == layers:
            return name
    return None


def serialize_torchvision(arch: Arch, state: Mapping[str, Tensor]) -> bytes:
    """Return the bytes of a file for `torch.load(..., weights_only=True)` and torchvision's `load_state_dict`."""
    file = io.BytesIO()
    torch.save(convert_state_dict(state, convert_head(arch, back=True)), file)
    return file.getvalue()


def write_onnx(arch: Arch, model: Vgg, path: Path) -> None:
    """Write the net as ONNX, for any batch size. Raises SpecError where the extra `onnx` is not installed."""
    assert arch.image_size is not None
    assert arch.in_channels is not None
    if rule := find_missing_package("onnxscript", "onnx"):
        raise SpecError(Problem(rule, location="command line"))
    # Two images: torch.export takes a dimension of size 1 for a constant, and the batch must stay free.
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


def _find_distinct_layers(arch: Arch) -> list[Layer]:
    """Return the layers that decide names, shapes and logits: all but a pooling to the side that the map has anyway."""
    body, head = split_head(build_layers(arch))
    size = body[-1].size if body and isinstance(body[-1], Pool | Conv) else 0
    return [*body, *(layer for layer in head if not (isinstance(layer, Pool) and layer.size == size))]
