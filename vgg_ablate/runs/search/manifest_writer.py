"""What a search has asked for, in the manifest: with the records, enough to make its ledger again."""

from __future__ import annotations

import time
from pathlib import Path

from vgg_ablate.runs.progress.views import NullView
from vgg_ablate.runs.results_dir import write_proposals
from vgg_ablate.runs.search.controller import SearchController

_PAUSE = 5.0  # seconds between two writings of the manifest


class ManifestWriter(NullView):
    """Keeps what a search has asked for in the manifest, now and then, and at the end."""

    def __init__(self, source: SearchController, folder: Path) -> None:
        self._source, self._folder, self._written = source, folder, time.monotonic()

    def tick(self) -> None:
        """Write, where that is due."""
        if time.monotonic() - self._written >= _PAUSE:
            self.close()

    def close(self) -> None:
        """Write."""
        self._written = time.monotonic()
        write_proposals(self._folder, self._source.planned(), self._source.proposals())
