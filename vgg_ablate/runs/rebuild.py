"""Rebuild a ledger from the records: the ledger is a copy that Optuna's tools can read, and may be lost."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from vgg_ablate.config.study import Study
from vgg_ablate.config.training import Data
from vgg_ablate.manifest import Manifest
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.leases import hold_study_lock
from vgg_ablate.runs.ledger.ledger import open_study_ledger
from vgg_ablate.runs.ledger.mirror import LedgerMirror
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.runs.search.controller import resume_search


def rebuild_ledger(study: Study, folder: Path, storage: str | None, fingerprint: Callable[[Data], str]) -> int:
    """Delete every trial of the ledger and add one per record; return how many there are.

    `storage` is the ledger's URL, None for the file in the folder. Raises StudyLockedError, StorageError (also if the
    study was never run: a folder without a manifest has no ledger to rebuild).
    """
    plan, store = build_plan(study, fingerprint), RecordStore(folder / "records")
    Manifest.read(folder)
    with hold_study_lock(folder), closing(open_study_ledger(study, folder, storage)) as ledger:
        if study.search is None:
            return LedgerMirror.from_plan(plan, ledger, store).rebuild()
        with closing(ledger.recreate()) as empty_ledger:
            return len(resume_search(plan, folder, empty_ledger).list_points())
