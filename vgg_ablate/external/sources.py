"""Sources of runs: CSV, JSON lines and Parquet files, and the stores of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd

from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.external.run_table import Runs


def read_runs(source: str, study: str | None = None) -> Runs:
    """Read the runs of a file, a folder or a storage URL; `study` names the study of an Optuna storage.

    Raises SpecError where the source is missing, of an unknown kind, or needs a package that is not installed.
    """
    path = Path(source)
    if "://" in source or path.suffix in (".db", ".sqlite", ".sqlite3", ".log"):
        from vgg_ablate.external.trackers import read_database

        return read_database(source, study)
    if path.is_dir():
        from vgg_ablate.external.trackers import read_folder

        return read_folder(path)
    readers: dict[str, Callable[[Path], Runs]] = {
        ".csv": read_csv_runs,
        ".tsv": read_csv_runs,
        ".jsonl": read_json_lines,
        ".parquet": read_parquet,
    }
    if not path.exists():
        raise SpecError(Problem("file not found", location=source))
    reader = readers.get(path.suffix.lower())
    if reader is None:
        rule = f"unknown kind of runs; expected {', '.join(readers)}, a folder or a storage URL"
        raise SpecError(Problem(rule, location=source))
    return reader(path)


def check_order(runs: str, claims: str) -> None:
    """Raise SpecError where the runs and the file of claims are given in the order of each other."""
    if Path(runs).suffix.lower() in (".yaml", ".yml"):
        rule = f"must be runs, and {claims} the file of claims; RUNS and CLAIMS seem to be swapped"
        raise SpecError(Problem(rule, "RUNS", "command line", runs))


def read_csv_runs(path: Path) -> Runs:
    """Read a CSV or TSV file with one row per run and names of columns in the first line. Raises SpecError."""
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    try:
        with path.open(encoding="utf-8-sig") as file:
            header = file.readline()
        mark = next((mark for mark in ",;\t|" if mark in header), separator)
        if separator not in header and mark != separator:
            rule = f"the columns are separated by {mark!r}; must be {separator!r}"
            raise SpecError(Problem(rule, location=f"{path}:1"))
        # All cells as text: pandas would read `1e5` and `NA`, which can be names of variants, as numbers.
        table = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise SpecError(Problem(f"cannot be read as CSV: {error}", location=str(path))) from error
    return Runs(table, lambda row: f"{path}: row {row + 2}", str(path))


def read_json_lines(path: Path) -> Runs:
    """Read a file with one JSON object per line; nested keys become columns such as `config.seed`. Raises SpecError."""
    objects: list[dict[str, Any]] = []
    lines: list[int] = []
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                objects.append(_parse_object(line, f"{path}: line {number}"))
                lines.append(number)
    except (UnicodeDecodeError, OSError) as error:
        raise SpecError(Problem(f"cannot be read: {error}", location=str(path))) from error
    return Runs(pd.json_normalize(objects), lambda row: f"{path}: line {lines[row]}", str(path))


def read_parquet(path: Path) -> Runs:
    """Read a Parquet file with one row per run. Raises SpecError where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise SpecError(Problem("Parquet files need the package pyarrow: pip install pyarrow", location=str(path)))
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise SpecError(Problem(f"cannot be read as Parquet: {error}", location=str(path))) from error
    return Runs(table, lambda row: f"{path}: row {row + 1}", str(path))


def _parse_object(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise SpecError(Problem("not a JSON object", location=place)) from error
    if not isinstance(value, dict):
        raise SpecError(Problem("must be a JSON object", location=place))
    return value
