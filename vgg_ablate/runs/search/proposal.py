"""A proposal of a search: a point of its space, and the result of one that was judged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Point = dict[str, Any]  # path of the study -> value, or the label of a choice


@dataclass(frozen=True, slots=True)
class Proposal:
    """A point of the space, and its number in the search."""

    number: int
    point: Point

    @property
    def name(self) -> str:
        """The name of the variant."""
        return f"s{self.number:04}"

    @property
    def identity(self) -> str:
        """A text that is equal for equal points."""
        return str(sorted(self.point.items()))


@dataclass(frozen=True, slots=True)
class JudgedProposal:
    """A proposal whose result the ledger holds."""

    proposal: Proposal
    values: tuple[float, ...] | None  # in the order of the objectives; None: it was stopped or refused
    refused: bool  # outside the constraints
    keys: frozenset[str] = frozenset()  # of the runs that it was judged by
    last_step: int | None = None  # the last reported epoch, at which a stopped proposal ended
