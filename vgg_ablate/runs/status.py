"""How far a study has come, read off its records. Nothing is locked, nothing is written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vgg_ablate.records import Manifest, Outcome, PlannedRun, RecordStore
from vgg_ablate.runs.leases import read_lock_holder
from vgg_ablate.runs.recorded import read_outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """What is recorded of a plan, and who is at work on it."""

    asked: int
    outcomes: Mapping[str, int]  # of the recorded runs
    variants: Mapping[str, Mapping[str, int]]  # variant -> outcome, or `missing` -> how many
    failures: Mapping[str, str]  # variant/seed -> outcome and reason
    held_by: str | None

    @property
    def missing(self) -> int:
        """Runs without a record."""
        return self.asked - self.recorded

    @property
    def recorded(self) -> int:
        """Runs that have a record, whatever became of them."""
        return sum(self.outcomes.values())


def compute_status(planned: Sequence[PlannedRun], folder: Path) -> StudyStatus:
    """Of the cells of a plan, or of a manifest. Raises StorageFailed where a record is torn."""
    store = RecordStore(folder / "records")
    known = read_outcomes(store, {cell.key for cell in planned})
    variants: dict[str, Counter[str]] = {cell.variant: Counter() for cell in planned}
    for cell in planned:
        variants[cell.variant][str(known.get(cell.key, "missing"))] += 1
    return StudyStatus(
        asked=len(planned),
        outcomes=dict(Counter(str(known[cell.key]) for cell in planned if cell.key in known)),
        variants={variant: dict(counted) for variant, counted in variants.items()},
        failures={
            f"{cell.variant}/{cell.seed}": f"{known[cell.key]}: {store.get(cell.key).reason}"
            for cell in planned
            if known.get(cell.key, Outcome.FINISHED) is not Outcome.FINISHED
        },
        held_by=read_lock_holder(folder),
    )


def read_status(folder: Path) -> StudyStatus:
    """Of what was asked for when it last ran. Raises StorageFailed where it never did."""
    return compute_status(Manifest.read(folder).planned, folder)
