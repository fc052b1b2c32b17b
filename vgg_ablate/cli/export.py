"""`export STUDY VARIANT[/SEED]`: a trained net as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, find_results_folder
from vgg_ablate.cli.reproduce_run import choose_run, describe_agreement, retrain_with_weights
from vgg_ablate.errors import SpecError, StorageError

if TYPE_CHECKING:
    from vgg_ablate.config.arch import Arch
    from vgg_ablate.models.vgg import Vgg

RUN = Annotated[
    str, typer.Argument(metavar="VARIANT[/SEED]", help="Which run; default seed: the variant's first recorded.")
]
TO = Annotated[Path | None, typer.Option(metavar="DIR", help="Default: exports/<study>/<variant>-<seed>.")]
DEVICE = Annotated[str | None, typer.Option(help="Where to train: cpu, cuda:0; default: what the record says.")]


def export(study: RESULTS, run: RUN, to: TO = None, out: OUT = None, device: DEVICE = None) -> None:
    """Train a recorded run again, say whether it is its record's, and write its weights, arch and ONNX."""
    from vgg_ablate.analysis.results import read_results
    from vgg_ablate.models import checkpoints
    from vgg_ablate.training.settings import build_weights_path

    results = read_results(find_results_folder(study, out))
    one = choose_run(results, run)
    folder = to or Path("exports") / results.study.name / f"{one.variant}-{one.seed}"
    weights = folder / "model.safetensors"
    tested, found = retrain_with_weights(results, one, device, weights)
    print(f"{weights}: the weights; test accuracy {tested.test_accuracy:.4f}")
    for place, net in enumerate(results.whole(one.key).run.nets):
        path = build_weights_path(weights, place)
        if place:
            print(f"{path}: the weights of {net.arch.to_notation()}, which answers with it")
        for line in _beside(path.parent, *checkpoints.load_safetensors(path)):
            print(line)
    print(describe_agreement(one, found, done="exported, but "))


def _beside(folder: Path, arch: Arch, model: Vgg) -> list[str]:
    """Write what stands beside the weights; a line for each file, or why there is none."""
    from vgg_ablate.models import checkpoints

    told = [_written(folder / "arch.yaml", checkpoints.dump_arch_yaml(arch).encode(), "the arch, as a study's `arch:`")]
    theirs = checkpoints.find_torchvision_name(arch)
    if theirs is None:
        told.append("no torchvision model has these layers")
    else:
        state = checkpoints.serialize_torchvision(arch, model.state_dict())
        told.append(_written(folder / "torchvision.pth", state, f"for torchvision's {theirs}"))
    try:
        checkpoints.write_onnx(arch, model, folder / "model.onnx")
        told.append(f"{folder / 'model.onnx'}: ONNX, for any batch size")
    except SpecError as error:  # the extra is not installed
        told.append(f"no ONNX file: {error}")
    return told


def _written(path: Path, content: bytes, what: str) -> str:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return f"{path}: {what}"
