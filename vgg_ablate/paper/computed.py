"""What a computation found, beside what is claimed."""

from __future__ import annotations

from dataclasses import dataclass

CheckValue = int | float | bool | str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Check:
    """One number, or shape, that must be what is claimed."""

    what: str
    claimed: CheckValue  # as printed, or as it follows from what is printed
    found: CheckValue  # computed here, at the precision of what is printed
    unit: str = ""

    @property
    def agrees(self) -> bool:
        """Exactly: what is rounded was rounded before."""
        return self.claimed == self.found


@dataclass(frozen=True, slots=True)
class Computation:
    """All checks of one statement."""

    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        """Every check does."""
        return all(check.agrees for check in self.checks)
