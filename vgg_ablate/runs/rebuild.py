"""The ledger made again from the records, which are the truth."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study
from vgg_ablate.config.training import Data
from vgg_ablate.records import Manifest, RecordStore
from vgg_ablate.runs.driver import describe_study, open_ledger
from vgg_ablate.runs.leases import hold_study_lock
from vgg_ablate.runs.ledger.mirror import LedgerMirror
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.runs.search.controller import resume_search


def rebuild_ledger(study: Study, folder: Path, storage: str | None, fingerprint: Callable[[Data], str]) -> int:
    """Forget every trial and add them again; how many there are. Raises StudyHeld, StorageFailed."""
    asked, store = build_plan(study, fingerprint), RecordStore(folder / "records")
    Manifest.read(folder)  # a study that was never run has no ledger to make
    with hold_study_lock(folder), closing(open_ledger(study.name, folder, storage, study.design)) as ledger:
        ledger.describe(describe_study(study))
        if not isinstance(study.design, Search):
            return LedgerMirror(ledger, asked, store).rebuild()
        with closing(ledger.recreate()) as empty:
            source = resume_search(asked, study.design, folder, empty, slots=1)
            return len(source.list_points())
