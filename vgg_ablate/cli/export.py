"""`export STUDY VARIANT[/SEED]`: a trained net as files for other programs.

Results folders keep no weights: a study of hundreds of runs would fill a disk with files that the seed can reproduce.
So the run is trained again, and compared with its record.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, find_results_folder
from vgg_ablate.cli.reproduce_run import choose_run, describe_agreement, retrain_with_weights
from vgg_ablate.errors import SpecError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vgg_ablate.analysis.results import Results
    from vgg_ablate.config.arch import Arch
    from vgg_ablate.manifest import PlannedRun
    from vgg_ablate.models.vgg import Vgg

RUN = Annotated[
    str, typer.Argument(metavar="VARIANT[/SEED]", help="Run to export; default seed: the variant's first recorded one.")
]
TO = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Folder to write to; default: exports/<study>/<variant>-<seed>.")
]
HUB = Annotated[
    bool, typer.Option("--hub", help="Add what the Hugging Face Hub reads: config.json, and metadata in README.md.")
]
DEVICE = Annotated[str | None, typer.Option(help="Device to train on: cpu, cuda:0; default: that of the record.")]


def export(study: RESULTS, run: RUN, to: TO = None, out: OUT = None, device: DEVICE = None, hub: HUB = False) -> None:
    """Train a recorded run again, compare it with its record, and write its weights, model card and ONNX file."""
    from vgg_ablate.analysis.results import read_results
    from vgg_ablate.models import checkpoints
    from vgg_ablate.training.settings import build_weights_path

    results = read_results(find_results_folder(study, out))
    planned = choose_run(results, run)
    folder = to or Path("exports") / results.study.name / f"{planned.variant}-{planned.seed}"
    weights = folder / "model.safetensors"
    tested, reproduction = retrain_with_weights(results, planned, device, weights)
    print(f"{weights}: the weights; test accuracy {tested.test_accuracy:.4f}")
    for index, net in enumerate(results.records[planned.key].run.nets):  # several nets: an ensemble
        path = build_weights_path(weights, index)
        if index:
            print(f"{path}: the weights of {net.arch.to_notation()}, a further net of the ensemble")
        for line in _write_companions(path.parent, *checkpoints.load_safetensors(path)):
            print(line)
    for line in _write_card(folder, results, planned, weights, hub=hub):
        print(line)
    print(describe_agreement(planned, reproduction, caveat="exported, but "))


def _write_companions(folder: Path, arch: Arch, model: Vgg) -> list[str]:
    """Write the arch, the torchvision checkpoint and the ONNX file; return a line for each, or why there is none."""
    from vgg_ablate.models import checkpoints

    yaml = checkpoints.dump_arch_yaml(arch).encode()
    lines = [_write(folder / "arch.yaml", yaml, "the arch, as `arch:` of a study file")]
    torchvision_name = checkpoints.find_torchvision_name(arch)
    if torchvision_name is None:
        lines.append("no torchvision model has these layers")
    else:
        state = checkpoints.serialize_torchvision(arch, model.state_dict())
        lines.append(_write(folder / "torchvision.pth", state, f"for torchvision's {torchvision_name}"))
    try:
        checkpoints.write_onnx(arch, model, folder / "model.onnx")
        lines.append(f"{folder / 'model.onnx'}: ONNX, for any batch size")
    except SpecError as error:
        # The optional packages for ONNX are not installed: the other files are still of use.
        lines.append(f"no ONNX file: {error}")
    return lines


def _write_card(folder: Path, results: Results, planned: PlannedRun, weights: Path, *, hub: bool) -> Iterator[str]:
    """Write the model card and, for the Hub, its config; yield a line for each."""
    from vgg_ablate.models import checkpoints
    from vgg_ablate.report import model_card

    inputs = checkpoints.read_image_inputs(weights)
    assert inputs is not None  # the training has just written them
    card = model_card.render_model_card(results, planned, inputs.class_names, hub=hub)
    yield _write(folder / "README.md", card.encode(), "the model card")
    if hub:
        config = model_card.serialize_hub_config(results.records[planned.key].run.arch, inputs.class_names)
        yield _write(folder / "config.json", config.encode(), "the net and its classes, for the Hugging Face Hub")


def _write(path: Path, content: bytes, description: str) -> str:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return f"{path}: {description}"
