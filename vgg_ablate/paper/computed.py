"""The result of computing a statement: each number next to the one that is claimed."""

from __future__ import annotations

from dataclasses import dataclass

CheckValue = int | float | bool | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """A computed number or shape and its claimed value."""

    quantity: str
    claimed: CheckValue  # as printed, or as it follows from what is printed
    computed: CheckValue  # rounded to the precision of `claimed`
    unit: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both are equal, without a tolerance: the caller has rounded already."""
        return self.claimed == self.computed


@dataclass(frozen=True, slots=True)
class Computation:
    """All checks of one statement."""

    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        """Whether every check agrees."""
        return all(check.agrees for check in self.checks)
