"""Mirror of a plan's records in the ledger: one trial per recorded run, rebuilt where it was lost or does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vgg_ablate.config.overrides import get_at_path
from vgg_ablate.config.search_space import encode_choice
from vgg_ablate.config.study import Study
from vgg_ablate.records import Record, RecordStore
from vgg_ablate.runs.ledger.ledger import Ledger, LevelsChangedError, TrialParameters
from vgg_ablate.runs.plan import Plan
from vgg_ablate.runs.recorded import read_outcomes


class LedgerMirror:
    """The trials of a plan's runs in a ledger, kept equal to the records."""

    def __init__(
        self, ledger: Ledger, store: RecordStore, variants: Mapping[str, str], parameters: TrialParameters
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._variants = variants  # by key of the run
        self._parameters = parameters

    @classmethod
    def from_plan(cls, plan: Plan, ledger: Ledger, store: RecordStore) -> LedgerMirror:
        """Return the mirror of a plan's records in its ledger."""
        # Variants that are one run share its trial, which names the first of them.
        variants = {cell.key: cell.variant for cell in reversed(plan.cells)}
        return cls(ledger, store, variants, TrialParameters.from_values(list_variant_values(plan.study)))

    def reconcile(self, recorded: Mapping[str, str] | None = None) -> int:
        """Add the trials that are missing, and return how many were.

        `recorded` maps keys to outcomes; where the caller has not read them, they are read from the records.
        """
        mirrored = self._ledger.read_outcomes()
        recorded = read_outcomes(self._store, self._variants) if recorded is None else recorded
        missing = [key for key, outcome in recorded.items() if mirrored.get(key) != outcome]
        try:
            for key in missing:
                self._add(self._store.get(key))
        except LevelsChangedError:
            return self.rebuild()
        return len(missing)

    def rebuild(self) -> int:
        """Delete every trial and add all of them again from the records; return how many there are."""
        self._ledger = self._ledger.recreate()
        return self.reconcile()

    def add_record(self, record: Record) -> None:
        """Add the trial of a run that has just been recorded."""
        try:
            self._add(record)
        except LevelsChangedError:
            self.rebuild()

    def _add(self, record: Record) -> None:
        self._ledger.mirror(record, self._variants[record.key], self._parameters)


def list_variant_values(study: Study) -> dict[str, Mapping[str, Any]]:
    """Return the values of every variant, by path, at all paths that any variant changes, encoded for the ledger."""
    paths = list(dict.fromkeys(path for variant in study.all_variants for path in variant.changes))
    if not paths:
        return {variant.name: {"variant": variant.name} for variant in study.variants}
    document = study.base.model_dump(mode="json", include={"arch", "data", "train"})
    base = {path: _get_base_value(document, path) for path in paths}
    return {
        variant.name: base | {path: encode_choice(value) for path, value in variant.changes.items()}
        for variant in study.all_variants
    }


def _get_base_value(document: Any, path: str) -> Any:
    """Return the base's value at a path; `base` for a shorthand such as `arch.kernel`, which the base does not keep."""
    document = get_at_path(document, path, "base")
    return encode_choice(document["kind"] if isinstance(document, dict) and "kind" in document else document)
