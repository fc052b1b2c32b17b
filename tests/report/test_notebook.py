"""The notebook in docs/ runs as in Jupyter on the committed results, and its saved outputs are reproduced."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"


@pytest.mark.skipif(not (ROOT / "results/kernels/manifest.json").exists(), reason="results/kernels is not recorded")
def test_the_notebook_shows_what_it_computes() -> None:
    written = nbformat.read(DOCS / "frame.ipynb", as_version=4)  # type: ignore[no-untyped-call]
    shown = collect_outputs(execute(written))
    assert shown == collect_outputs(written)
    assert sum(map(len, shown)) >= 5


def execute(notebook: Any) -> Any:
    """Return a copy of the notebook, executed in docs/ in a kernel of its own; a cell that raises fails the test."""
    client = NotebookClient(deepcopy(notebook), timeout=60, resources={"metadata": {"path": str(DOCS)}})
    return client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})


def collect_outputs(notebook: Any) -> list[list[dict[str, Any]]]:
    """Return the outputs of every code cell."""
    return [[dict(output) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]
