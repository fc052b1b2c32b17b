"""How far a study has come, read off its records. Nothing is locked, nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vgg_ablate.records import Outcome, Store
from vgg_ablate.runs.lease import holder
from vgg_ablate.runs.outcomes import outcomes
from vgg_ablate.runs.plan import Plan


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is recorded of a plan, and who is at work on it."""

    asked: int
    outcomes: Mapping[str, int]  # of the recorded runs
    variants: Mapping[str, Mapping[str, int]]  # variant -> outcome, or `missing` -> how many
    failures: Mapping[str, str]  # variant/seed -> outcome and reason
    held_by: str | None

    @property
    def recorded(self) -> int:
        """Runs that have a record, whatever became of them."""
        return sum(self.outcomes.values())


def status(plan: Plan, folder: Path) -> Status:
    """Raises StorageFailed where a record is torn."""
    store = Store(folder / "records")
    known = outcomes(store, {cell.key for cell in plan.cells})
    variants: dict[str, Counter[str]] = {variant.name: Counter() for variant in plan.study.variants}
    for cell in plan.cells:
        variants[cell.variant][str(known.get(cell.key, "missing"))] += 1
    return Status(
        asked=len(plan.cells),
        outcomes=Counter(str(known[cell.key]) for cell in plan.cells if cell.key in known),
        variants=variants,
        failures={
            cell.title: f"{known[cell.key]}: {store.get(cell.key).reason}"
            for cell in plan.cells
            if known.get(cell.key, Outcome.FINISHED) is not Outcome.FINISHED
        },
        held_by=holder(folder),
    )
