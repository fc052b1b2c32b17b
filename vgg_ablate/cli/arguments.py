"""The arguments that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.errors import Problem, SpecError

if TYPE_CHECKING:
    from vgg_ablate.config.study import Study

STUDY = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, such as studies/kernels.yaml.")]
RESULTS = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, or the results folder of one.")]
OVERRIDES = Annotated[
    list[str] | None, typer.Argument(metavar="[PATH=VALUE]...", help="Changes to the study, such as train.epochs=2.")
]
OUT = Annotated[Path | None, typer.Option(metavar="DIR", help="The results folder; default: results/<study>.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]


def load_study(study: Path, overrides: list[str] | None) -> Study:
    """The study of a file, with overrides."""
    from vgg_ablate.config.study import load

    return load(study, overrides or ())


def find_results_folder(study: Path, out: Path | None) -> Path:
    """The results folder that STUDY means: itself where it is a folder, otherwise that of the study's name."""
    if out is not None:
        return out
    if study.is_dir():
        return study
    if study.suffix not in (".yaml", ".yml"):
        raise SpecError(Problem("is neither a study file (.yaml) nor a results folder", place=str(study)))
    return Path("results") / load_study(study, None).name
