"""The problems of the variants of a study whose other parts are invalid, so that all problems are reported at once."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from vgg_ablate.config.overrides import PathParts, split_path
from vgg_ablate.config.study_file import StudyFile
from vgg_ablate.config.types import InvalidValueError
from vgg_ablate.config.variants import build_variants, set_last_level
from vgg_ablate.config.yaml_loader import Document
from vgg_ablate.errors import Problem, SpecError

# Valid values of the keys that a study cannot be without, for those that are missing or were taken out.
_PLACEHOLDERS: Mapping[str, Any] = {
    "version": 1,
    "name": "study",
    "question": "?",
    "data": {"name": "digits"},
    "arch": {"stages": "64"},
}


def find_remaining_problems(problems: Sequence[Problem], document: Document) -> list[Problem]:
    """Return the problems of the variants of a document that has `problems` elsewhere.

    Variants are validated on the document without its invalid values. A rule that involves several values may fail only
    because one of them was taken out, so such problems are returned only for sections (arch, data, train, tune) that
    were valid. Nothing is returned if the document is invalid without these values, too.
    """
    invalid = [_split_problem_path(problem) for problem in problems]
    data = copy.deepcopy(document.data)
    for parts in sorted(invalid, key=len, reverse=True):
        _remove(data, parts)
    data = {**_PLACEHOLDERS, **{key: value for key, value in data.items() if key != "claims"}}
    if "name" not in data["data"]:
        data["data"] = _PLACEHOLDERS["data"]
    try:
        build_variants(*set_last_level(StudyFile.model_validate(data), Document(data, document.locations)))
    except ValidationError:
        return []
    except SpecError as error:
        sections = {parts[0] for parts in invalid if parts}
        return [problem for problem in error.problems if _is_independent(problem, sections)]
    return []


def _is_independent(problem: Problem, invalid_sections: set[str | int]) -> bool:
    """Return whether a problem of a variant, `variants.five: train.lr`, is none of the values that were taken out."""
    path = problem.path.partition(": ")[2]
    return not problem.involves_others or path.partition(".")[0] not in invalid_sections


def _split_problem_path(problem: Problem) -> PathParts:
    try:
        return split_path(problem.path.partition(":")[0])
    except InvalidValueError:  # an unknown key may have any characters
        return (problem.path,)


def _remove(node: Any, parts: PathParts) -> None:
    """Remove what is at a path, if anything is; from a list too, so that the items behind it move up."""
    for part in parts[:-1]:
        if not _has_part(node, part):
            return
        node = node[part]
    if parts and _has_part(node, parts[-1]):
        del node[parts[-1]]


def _has_part(node: Any, part: str | int) -> bool:
    if isinstance(node, list):
        return isinstance(part, int) and part < len(node)
    return isinstance(node, dict) and part in node
