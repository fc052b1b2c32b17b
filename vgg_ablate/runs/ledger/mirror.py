"""The plan's runs in the ledger: one trial a recorded run, made again where the ledger was lost or has other levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vgg_ablate.config.overrides import split_path
from vgg_ablate.config.search import encode_choice
from vgg_ablate.config.study import Study
from vgg_ablate.records import Record, RecordStore
from vgg_ablate.runs.ledger.ledger import Ledger, LevelsChangedError, TrialParameters
from vgg_ablate.runs.plan import Plan
from vgg_ablate.runs.recorded import read_outcomes


class LedgerMirror:
    """Keeps a ledger equal to the records of a plan."""

    def __init__(self, ledger: Ledger, plan: Plan, store: RecordStore) -> None:
        self._ledger, self._store = ledger, store
        self._cells = {cell.key: cell for cell in reversed(plan.cells)}
        self._parameters = TrialParameters(list_variant_values(plan.study))

    def reconcile(self, recorded: Mapping[str, str] | None = None) -> int:
        """Add the trials that are missing; how many there were. `recorded`: key -> outcome, where it is known."""
        mirrored = self._ledger.mirrored()
        recorded = read_outcomes(self._store, self._cells) if recorded is None else recorded
        missing = [key for key, outcome in recorded.items() if mirrored.get(key) != outcome]
        try:
            for key in missing:
                self._add(self._store.get(key))
        except LevelsChangedError:
            return self.rebuild()
        return len(missing)

    def close(self) -> None:
        """Let go of the ledger."""
        self._ledger.close()

    def rebuild(self) -> int:
        """Forget every trial and add them all again from the records; how many there are."""
        self._ledger = self._ledger.recreate()
        return self.reconcile()

    def tell(self, record: Record) -> None:
        """Add the trial of a run that has its record."""
        try:
            self._add(record)
        except LevelsChangedError:
            self.rebuild()

    def _add(self, record: Record) -> None:
        cell = self._cells[record.key]
        self._ledger.mirror(record, cell.variant, self._parameters)


def list_variant_values(study: Study) -> dict[str, Mapping[str, Any]]:
    """Variant -> its value at every path that any variant changes, as a ledger holds it."""
    paths = list(dict.fromkeys(path for variant in study.all_variants for path in variant.changes))
    if not paths:
        return {variant.name: {"variant": variant.name} for variant in study.variants}
    dumped = study.base.model_dump(mode="json", include={"arch", "data", "train"})
    base = {path: _at(dumped, path) for path in paths}
    return {
        variant.name: base | {path: encode_choice(value) for path, value in variant.changes.items()}
        for variant in study.all_variants
    }


def _at(dumped: Any, path: str) -> Any:
    """The base's value at a path; `base` where the path only exists as it was written."""
    for part in split_path(path):
        inside = part in dumped if isinstance(dumped, dict) else isinstance(dumped, list) and isinstance(part, int)
        if not inside or (isinstance(dumped, list) and int(part) >= len(dumped)):
            return "base"
        dumped = dumped[part]
    return encode_choice(dumped["kind"] if isinstance(dumped, dict) and "kind" in dumped else dumped)
