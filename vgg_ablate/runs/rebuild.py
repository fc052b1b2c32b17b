"""The ledger made again from the records, which are the truth."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from vgg_ablate.config.search import Search
from vgg_ablate.config.study import Study
from vgg_ablate.config.training import Data
from vgg_ablate.records import Manifest, Store
from vgg_ablate.runs.driver import about, opened, resumed
from vgg_ablate.runs.leases import study_lock
from vgg_ablate.runs.ledger.mirror import Mirror
from vgg_ablate.runs.plan import plan


def rebuild(study: Study, folder: Path, storage: str | None, fingerprint: Callable[[Data], str]) -> int:
    """Forget every trial and add them again; how many there are. Raises StudyHeld, StorageFailed."""
    asked, store = plan(study, fingerprint), Store(folder / "records")
    Manifest.read(folder)  # a study that was never run has no ledger to make
    with study_lock(folder), closing(opened(study.name, folder, storage, study.design)) as ledger:
        ledger.describe(about(study))
        if not isinstance(study.design, Search):
            return Mirror(ledger, asked, store).rebuild()
        with closing(ledger.cleared()) as empty:
            source = resumed(asked, study.design, folder, empty, slots=1)
            return len(source.proposals())
