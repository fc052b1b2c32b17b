"""A statement of the paper or of the study note, and the ways to answer it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class PrintedErrors:
    """The top-1 errors, in percent, that the paper prints for the two sides of a claim."""

    a: float
    b: float
    source: str  # the table, with S and Q

    @property
    def difference(self) -> float:
        """Side a minus side b in percentage points: negative where a has less error."""
        return round(self.a - self.b, 2)


@dataclass(frozen=True, slots=True)
class ClaimReference:
    """A claim of a study that bears on a statement.

    A claim that does not decide is reported, and does not change the statement's verdict.
    """

    study: str  # studies/paper/<study>.yaml or studies/<study>.yaml; its results are in results/<study>/
    claim: str  # the claim's id in that study
    decides: bool = True
    printed: PrintedErrors | None = None  # None where the paper prints no error for both sides


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A claim of the paper in our words, with the numbers printed for it.

    At least one of three fields answers it: `is_computed` (a function with the same id in paper/analytic.py),
    `claims` (of studies that train), or `out_of_reach` (the reason why neither is possible).
    """

    id: str
    kind: Literal["analytic", "empirical", "note"]
    text: str
    section: str  # of the paper; "note" for the note
    numbers: str = ""  # as printed
    elsewhere: str = ""  # public figures on CIFAR-10, with their source
    comparison: str = ""
    metric: str = ""
    caveats: tuple[str, ...] = ()
    is_computed: bool = False
    claims: tuple[ClaimReference, ...] = ()
    out_of_reach: str = ""
