"""Writer of a search's runs and proposals into the manifest: with the records, enough to rebuild the ledger."""

from __future__ import annotations

import time
from pathlib import Path

from vgg_ablate.runs.progress.views import NullView
from vgg_ablate.runs.results_dir import write_proposals
from vgg_ablate.runs.search.controller import SearchController

_INTERVAL_S = 5.0  # between two writings: the file lists every run, so each writing costs more as the search grows


class ManifestWriter(NullView):
    """A view that writes the manifest every few seconds, and at the end."""

    def __init__(self, source: SearchController, folder: Path) -> None:
        self._source = source
        self._folder = folder
        self._written_at = time.monotonic()

    def tick(self) -> None:
        """Write the manifest, if the last time was long enough ago."""
        if time.monotonic() - self._written_at >= _INTERVAL_S:
            self.close()

    def close(self) -> None:
        """Write the manifest."""
        self._written_at = time.monotonic()
        write_proposals(self._folder, self._source.list_planned(), self._source.list_points())
