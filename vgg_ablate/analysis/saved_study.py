"""Reading the study.yaml of a results folder, without the claims that cannot be judged.

`run`, `plan` and `check` refuse a study with a bad claim. Here the runs exist already, and one claim that was edited
badly must not hide the report of all others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.study import Study
from vgg_ablate.errors import Problem, SpecError, StorageError

_CLAIM = re.compile(r"^claims\[(\d+)\]")


def read_saved_study(folder: Path) -> Study:
    """Return the study of a results folder. Raises StorageError where there is none or it is not valid."""
    return read_study_and_problems(folder)[0]


def read_study_and_problems(folder: Path) -> tuple[Study, list[str]]:
    """Return the study without its bad claims, and a sentence about each of them. Raises as `read_saved_study` does."""
    path = folder / "study.yaml"
    if not path.exists():
        raise StorageError(f"{path}: No such file; has this study been run?")
    try:
        return _parse_without_bad_claims(yaml_loader.read_document(path))
    except SpecError as error:
        raise StorageError(f"{path}: the saved study is not valid: {error.problems[0]}") from error


def _parse_without_bad_claims(document: yaml_loader.Document) -> tuple[Study, list[str]]:
    """Drop bad claims until the document parses. Raises SpecError where anything but a claim is wrong."""
    problems: list[str] = []
    kept = list(range(len(document.data.get("claims") or ())))  # indices in the file
    # More than one pass: claims are checked against the variants only once each of them is valid on its own.
    while True:
        try:
            return Study.from_document(_select_claims(document, kept)), problems
        except SpecError as error:
            bad = {index for problem in error.problems if (index := _get_claim_index(problem)) is not None}
            if not bad or any(_get_claim_index(problem) is None for problem in error.problems):
                raise
            problems += [f"{_restore_file_index(problem, kept)}; this claim is left out" for problem in error.problems]
            kept = [number for index, number in enumerate(kept) if index not in bad]


def _select_claims(document: yaml_loader.Document, kept: Sequence[int]) -> yaml_loader.Document:
    """Return the document with these claims only; their source locations move along."""
    claims = document.data.get("claims")
    if not isinstance(claims, list) or len(kept) == len(claims):
        return document
    locations = {
        path: location for path, location in document.locations.items() if path[:1] != ("claims",) or len(path) == 1
    }
    for index, number in enumerate(kept):
        nested = [path for path in document.locations if path[:2] == ("claims", number)]
        locations |= {("claims", index, *path[2:]): document.locations[path] for path in nested}
    data = {**document.data, "claims": [claims[number] for number in kept]}
    if isinstance(data.get("report"), Mapping):  # it may select a claim that is left out: show all that are left
        data["report"] = {key: value for key, value in data["report"].items() if key != "claims"}
    return yaml_loader.Document(data, locations)


def _get_claim_index(problem: Problem) -> int | None:
    match = _CLAIM.match(problem.path)
    return int(match.group(1)) if match else None


def _restore_file_index(problem: Problem, kept: Sequence[int]) -> Problem:
    """Return the problem with the index that the claim has in the file; `kept` are the indices of the kept claims."""
    return replace(problem, path=_CLAIM.sub(lambda match: f"claims[{kept[int(match.group(1))]}]", problem.path))
