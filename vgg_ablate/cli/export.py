"""`export STUDY VARIANT[/SEED]`: a trained net as files that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import OUT, RESULTS, results_folder
from vgg_ablate.cli.reproduce_run import chosen, judged, trained
from vgg_ablate.errors import SpecError, StorageFailed

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
    from vgg_ablate.analysis.results import read
    from vgg_ablate.models import checkpoints
    from vgg_ablate.training.settings import weights_of

    results = read(results_folder(study, out))
    one = chosen(results, run)
    folder = to or Path("exports") / results.study.name / f"{one.variant}-{one.seed}"
    weights = folder / "model.safetensors"
    tested, found = trained(results, one, device, weights)
    print(f"{weights}: the weights; test accuracy {tested.test_accuracy:.4f}")
    for place, net in enumerate(results.whole(one.key).run.nets):
        path = weights_of(weights, place)
        if place:
            print(f"{path}: the weights of {net.arch.notation()}, which answers with it")
        for line in _beside(path.parent, *checkpoints.loaded(path)):
            print(line)
    print(judged(one, found, done="exported, but "))


def _beside(folder: Path, arch: Arch, model: Vgg) -> list[str]:
    """Write what stands beside the weights; a line for each file, or why there is none."""
    from vgg_ablate.models import checkpoints

    told = [_written(folder / "arch.yaml", checkpoints.as_yaml(arch).encode(), "the arch, as a study's `arch:`")]
    theirs = checkpoints.torchvision_name(arch)
    if theirs is None:
        told.append("no torchvision model has these layers")
    else:
        state = checkpoints.as_torchvision(arch, model.state_dict())
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
        raise StorageFailed(f"{path}: {error.strerror}") from error
    return f"{path}: {what}"
