"""A statement of the paper, or of the note, and how it is answered here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ClaimReference:
    """A claim of a study that bears on a statement. One that does not decide is shown beside the verdict."""

    study: str  # studies/paper/<study>.yaml, or one beside that folder; its results are in results/<study>/
    claim: str  # its id there
    decides: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What was claimed, in our words, with the numbers that were printed beside it.

    It is answered in one way at least: `computed` (a function of the same id in paper/analytic), `asked` (claims of
    studies that train), or `out_of_reach`, the plain reason why not.
    """

    id: str
    kind: Literal["analytic", "empirical", "note"]
    text: str
    section: str  # of the paper; "note" for the note
    numbers: str = ""  # as printed
    comparison: str = ""
    metric: str = ""
    caveats: tuple[str, ...] = ()
    computed: bool = False
    asked: tuple[ClaimReference, ...] = ()
    out_of_reach: str = ""
