"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vgg_ablate.errors import Problem, SpecError

if TYPE_CHECKING:
    from vgg_ablate.config.study import Study

STUDY = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file, such as studies/kernels.yaml.")]
RESULTS = Annotated[Path, typer.Argument(metavar="STUDY", help="Study file, or its results folder.")]
OVERRIDES = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PATH=VALUE]...",
        help="Changes to the study, such as train.epochs=2. What trains otherwise gets a results folder of its own.",
    ),
]
OUT = Annotated[Path | None, typer.Option(metavar="DIR", help="Results folder; default: results/<study>.")]
NAME = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Name of the study and of its results folder, in place of the file's."),
]

JSON = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]


def declare_storage(default: str) -> Any:
    """Return the option `--storage` of a command; `default` is what holds without it, for its help."""
    # A URL with a password does not belong on a command line, which other users of the machine can read.
    text = f"Storage URL of the ledger{default}"
    return typer.Option(metavar="URL", envvar="VGG_ABLATE_STORAGE", help=text)


def load_study(study: Path, overrides: list[str] | None) -> Study:
    """Return the study of a file, with overrides. Raises SpecError."""
    # Imported here: --help should not wait for pydantic and ruamel.yaml.
    from vgg_ablate.config.study import load

    return load(study, overrides or ())


def load_study_and_folder(
    study: Path, overrides: list[str] | None, out: Path | None, name: str | None
) -> tuple[Study, Path]:
    """Return the study of a file, with overrides, and its results folder. Raises SpecError.

    Overrides that change what is trained get a folder of their own, unless `out` or `name` chooses one.
    """
    from vgg_ablate.config.overridden import load_with_own_name

    given = [*(overrides or ()), *([f"name={name}"] if name is not None else ())]
    if out is not None:
        return load_study(study, given), out
    loaded = load_with_own_name(study, given)
    return loaded, Path("results") / loaded.name


def find_results_folder(study: Path, out: Path | None) -> Path:
    """Return the results folder of STUDY: the folder itself, or results/<name> for a study file. Raises SpecError."""
    if out is not None:
        return out
    if study.is_dir():
        return study
    if study.suffix not in (".yaml", ".yml"):
        raise SpecError(Problem("must be a study file (.yaml) or a results folder", location=str(study)))
    return Path("results") / load_study(study, None).name
