"""The study of a results folder, as it was run; a claim that cannot be judged is named and left out of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vgg_ablate.config import yaml_loader
from vgg_ablate.config.study import Study
from vgg_ablate.errors import Problem, SpecError, StorageError

_CLAIM = re.compile(r"^claims\[(\d+)\]")


def read_saved_study(folder: Path) -> Study:
    """Without the claims that cannot be judged. Raises StorageFailed where there is no study that can be read."""
    return read_study_and_problems(folder)[0]


def read_study_and_problems(folder: Path) -> tuple[Study, list[str]]:
    """The same, and what is wrong with each of the claims that are left out."""
    path = folder / "study.yaml"
    if not path.exists():
        raise StorageError(f"{path}: No such file; has this study been run?")
    try:
        return _judgeable(yaml_loader.read_document(path))
    except SpecError as error:
        raise StorageError(f"{path}: the saved study is not valid: {error.problems[0]}") from error


def _judgeable(document: yaml_loader.Document) -> tuple[Study, list[str]]:
    """Raises SpecError where anything but its claims is wrong."""
    problems: list[str] = []
    left = list(range(len(document.data.get("claims") or ())))  # by their numbers in the file
    while True:
        try:
            return Study.of(_with_claims(document, left)), problems
        except SpecError as error:
            bad = {index for one in error.problems if (index := _claim_of(one)) is not None}
            if not bad or any(_claim_of(one) is None for one in error.problems):
                raise
            problems += [f"{_numbered(one, left)}; this claim is left out" for one in error.problems]
            left = [number for index, number in enumerate(left) if index not in bad]


def _with_claims(document: yaml_loader.Document, left: Sequence[int]) -> yaml_loader.Document:
    """The document with these of its claims."""
    claims = document.data.get("claims")
    if not isinstance(claims, list) or len(left) == len(claims):
        return document
    places = {parts: place for parts, place in document.places.items() if parts[:1] != ("claims",) or len(parts) == 1}
    for index, number in enumerate(left):
        below = [parts for parts in document.places if parts[:2] == ("claims", number)]
        places |= {("claims", index, *parts[2:]): document.places[parts] for parts in below}
    return yaml_loader.Document({**document.data, "claims": [claims[number] for number in left]}, places)


def _claim_of(problem: Problem) -> int | None:
    found = _CLAIM.match(problem.path)
    return int(found.group(1)) if found else None


def _numbered(problem: Problem, left: Sequence[int]) -> Problem:
    """With the claim's number in the file."""
    return replace(problem, path=_CLAIM.sub(lambda found: f"claims[{left[int(found.group(1))]}]", problem.path))
