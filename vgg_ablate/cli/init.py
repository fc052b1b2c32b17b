"""`init`: write a first study to start from."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal

import typer

from vgg_ablate.errors import StorageError

DesignName = Literal["list", "one_factor_at_a_time", "leave_one_out", "cumulative", "factorial", "search", "horizons"]
SCHEMA = Path("schemas/study.schema.json")
_TEMPLATES = Path(__file__).parent / "templates"  # the same studies are in studies/examples
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+=-]{,79}")  # config.types.Name, without waiting for pydantic


def init(
    path: Annotated[Path, typer.Argument(help="File to write.")] = Path("studies/first.yaml"),
    design: Annotated[DesignName, typer.Option(help="Design of the study.")] = "list",
) -> None:
    """Write a small study to start from. It trains on digits in under a minute. An existing file is not replaced."""
    schema = find_schema(path.parent.absolute())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(build_example(design, path, schema))
        if not schema.exists():
            write_schema(schema)
    except FileExistsError as error:
        raise StorageError(f"{error.filename}: exists, and is not replaced; give another path") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    print(f"written: {path}; run it with: python -m vgg_ablate run {path}")


def find_schema(folder: Path) -> Path:
    """Return the schema of the clone that a folder lies in; outside of clones, the file beside the study."""
    clones = [parent for parent in (folder, *folder.parents) if (parent / SCHEMA).exists()]
    return clones[0] / SCHEMA if clones else folder / SCHEMA.name


def build_example(design: DesignName, target: Path, schema: Path) -> str:
    """Return the example of a design, named like its file, with the line by which editors find the schema."""
    text = (_TEMPLATES / f"{design}.yaml").read_text(encoding="utf-8")
    if _NAME.fullmatch(target.stem):
        text = text.replace(f"name: {design}\n", f"name: {target.stem}\n", 1)
    reference = Path(os.path.relpath(schema, target.parent.absolute())).as_posix()
    return f"# yaml-language-server: $schema={reference}\n{text}"


def write_schema(path: Path) -> None:
    """Write the JSON Schema of study files."""
    import json

    from vgg_ablate.config.json_schema import build_schema

    path.write_text(json.dumps(build_schema(), indent=1) + "\n", encoding="utf-8")
