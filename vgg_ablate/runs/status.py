"""The progress of a study, read from its records. Takes no lock and writes nothing."""

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
    """The recorded and missing runs of a plan, and the process that is running it."""

    asked: int  # planned runs
    outcomes: Mapping[str, int]  # recorded runs per outcome
    variants: Mapping[str, Mapping[str, int]]  # variant -> runs per outcome, or per `missing`
    failures: Mapping[str, str]  # variant/seed -> outcome and reason
    held_by: str | None  # the process that runs the study now

    @property
    def missing(self) -> int:
        """Runs without a record."""
        return self.asked - self.recorded

    @property
    def recorded(self) -> int:
        """Runs with a record, whatever their outcome."""
        return sum(self.outcomes.values())


def compute_status(planned: Sequence[PlannedRun], folder: Path) -> StudyStatus:
    """Return the status of the given runs in a results folder. Raises StorageError if a record is damaged."""
    store = RecordStore(folder / "records")
    outcomes = read_outcomes(store, {cell.key for cell in planned})
    variants: dict[str, Counter[str]] = {cell.variant: Counter() for cell in planned}
    for cell in planned:
        variants[cell.variant][str(outcomes.get(cell.key, "missing"))] += 1
    return StudyStatus(
        asked=len(planned),
        outcomes=dict(Counter(str(outcomes[cell.key]) for cell in planned if cell.key in outcomes)),
        variants={variant: dict(counts) for variant, counts in variants.items()},
        failures={
            f"{cell.variant}/{cell.seed}": f"{outcomes[cell.key]}: {store.get(cell.key).reason}"
            for cell in planned
            if outcomes.get(cell.key, Outcome.FINISHED) is not Outcome.FINISHED
        },
        held_by=read_lock_holder(folder),
    )


def read_status(folder: Path) -> StudyStatus:
    """Return the status of the runs in the folder's manifest. Raises StorageError if the study was never run."""
    return compute_status(Manifest.read(folder).planned, folder)
