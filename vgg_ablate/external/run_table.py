"""The runs of other programs as a frame of the analysis, with every fault named by its row."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import pandas as pd

from vgg_ablate.errors import MAX_PROBLEMS, Problem, SpecError, find_nearest
from vgg_ablate.external.claims_file import ClaimsFile

_NUMBER = re.compile(r"(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>[^\d\s.+-].*)?")
_NOT_FINITE = {"nan", "inf", "infinity", "-inf", "+inf", "-infinity", "null", "none", "na", "n/a", ""}


@dataclass(frozen=True)
class Runs:
    """Runs from one source: one row each, as read."""

    table: pd.DataFrame  # columns as in the source; cells are text or numbers
    describe_row: Callable[[int], str]  # position of a row -> its place, such as "runs.csv: row 12"
    name: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunTable:
    """The frame of the analysis, with notes on its rows."""

    frame: pd.DataFrame  # variant, seed, outcome and one column per metric
    variants: tuple[str, ...]  # of all runs
    seeds: Mapping[int, str]  # number of a seed -> the seed as it is written; empty where runs have none
    notes: tuple[str, ...]


def build_run_table(runs: Runs, claims_file: ClaimsFile, variants: Iterable[str]) -> RunTable:
    """Check the runs of the variants that claims compare, and build their frame.

    Raises SpecError with the row of every fault: a missing column, an empty variant or seed, two runs of one variant
    and seed, a value that is no number, values with different units. A run whose value is missing or not finite stays,
    without a value, so that its claims are inconclusive; a note names it.
    """
    columns, metrics = claims_file.columns, claims_file.metrics
    _check_columns(runs, claims_file)
    table = runs.table.reset_index(drop=True)
    problems: list[Problem] = []
    names = [_format_cell(value) for value in table[columns.variant]]
    problems += [
        Problem("variant is empty", location=runs.describe_row(row)) for row, name in enumerate(names) if not name
    ]
    wanted = set(variants)
    rows = [row for row, name in enumerate(names) if name in wanted]
    seeds = [_format_cell(value) for value in table[columns.seed]] if columns.seed else []
    if columns.seed:
        problems += _find_seed_problems(rows, names, seeds, runs)
    values = {name: _read_numbers(table[name], rows, name, runs, problems) for name in metrics}
    if problems:
        raise SpecError(problems[:MAX_PROBLEMS])
    codes = _number_seeds([seeds[row] for row in rows]) if columns.seed else {}
    frame = pd.DataFrame(
        {
            "variant": [names[row] for row in rows],
            "seed": [codes[seeds[row]] if codes else index for index, row in enumerate(rows)],
            "outcome": "finished",
            **values,
        }
    )
    known = tuple(dict.fromkeys(name for name in names if name))
    notes = (*runs.notes, *_list_notes(runs, rows, names, values))
    return RunTable(frame, known, {code: seed for seed, code in codes.items()}, notes)


def _list_notes(
    runs: Runs, rows: Sequence[int], names: Sequence[str], values: Mapping[str, Sequence[float]]
) -> Iterator[str]:
    """Yield a note per missing value of the compared rows, and one on the variants that no claim compares."""
    for metric, numbers in values.items():
        for row, value in zip(rows, numbers, strict=True):
            if not isfinite(value):
                yield f"{runs.describe_row(row)}: {names[row]} has no finite {metric}"
    unused = sorted(set(names) - {names[row] for row in rows})
    if unused:
        yield f"Compared by no claim: {', '.join(unused[:12])}{' and others' if len(unused) > 12 else ''}."


def _check_columns(runs: Runs, claims_file: ClaimsFile) -> None:
    """Raise SpecError for every column that the file of claims names and the runs lack, at its line of that file."""
    present, columns, metrics = [str(name) for name in runs.table.columns], claims_file.columns, claims_file.metrics
    others = [name for name in present if name not in (columns.variant, columns.seed, *metrics)] or present
    wanted = {"columns.variant": columns.variant, **({"columns.seed": columns.seed} if columns.seed else {})}
    wanted |= {claims_file.find_metric_path(name): name for name in metrics}
    problems = []
    for path, name in wanted.items():
        if name in present:
            continue
        rule, nearest = f"column not found in {runs.name}; available: {', '.join(present[:20])}", None
        if path in ("columns.variant", "columns.seed"):
            key = path.removeprefix("columns.")
            rule += f"; write columns: {{{key}: {find_nearest(name, others) or next(iter(others), '...')}}}"
            rule += ", or {seed: null} where runs have none" if key == "seed" else ""
        else:
            nearest = find_nearest(name, present)
        problems.append(Problem(rule, path, claims_file.locate_path(path), name, nearest))
    if problems:
        raise SpecError(problems)


def _find_seed_problems(rows: list[int], names: list[str], seeds: list[str], runs: Runs) -> list[Problem]:
    problems, first = [], dict[tuple[str, str], int]()
    for row in rows:
        place, key = runs.describe_row(row), (names[row], seeds[row])
        if not seeds[row]:
            problems.append(Problem(f"{names[row]}: seed is empty", location=place))
        elif key in first:
            rule = f"{names[row]}, seed {seeds[row]}: a second run; the first is in {runs.describe_row(first[key])}"
            problems.append(Problem(rule, location=place))
        first.setdefault(key, row)
    return problems


def _read_numbers(
    cells: pd.Series[Any], rows: list[int], name: str, runs: Runs, problems: list[Problem]
) -> list[float]:
    """Return the values of the rows; NaN for missing and infinite ones. Adds a problem per cell that is no number."""
    values, units = [], dict[str, int]()
    for row in rows:
        text = _format_cell(cells.iloc[row])
        match = _NUMBER.fullmatch(text)
        if match is None and text.lower() not in _NOT_FINITE:
            problems.append(Problem(f"{name} must be a number", location=runs.describe_row(row), got=text))
        values.append(float(match["number"]) if match else nan)
        if match:
            units.setdefault((match["unit"] or "").strip(), row)
    if len(units) > 1:
        (one, first), (other, second) = list(units.items())[:2]
        rule = f"{name} has mixed units: {one or 'none'} in {runs.describe_row(first)}, {other or 'none'} here"
        problems.append(Problem(rule, location=runs.describe_row(second)))
    return values


def _format_cell(value: Any) -> str:
    """Return a cell as text; empty for a missing one. A whole number has no decimals: pandas reads 1 as 1.0."""
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).strip()


def _number_seeds(seeds: Iterable[str]) -> dict[str, int]:
    """Return the number of every seed: itself where all are whole numbers, else its position in their order."""
    distinct = sorted(set(seeds))
    if all(re.fullmatch(r"\d{1,18}", seed) for seed in distinct):
        return {seed: int(seed) for seed in distinct}
    return {seed: index for index, seed in enumerate(distinct)}
