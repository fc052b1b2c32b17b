"""The notebook in docs/ runs as in Jupyter, on the committed results, and shows what it showed when it was written."""

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
    """Cell after cell in a kernel of its own; a cell that raises ends it."""
    written = nbformat.read(DOCS / "frame.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # it does not say
    shown = outputs(executed(written))
    assert shown == outputs(written)
    assert sum(map(len, shown)) >= 5


def executed(notebook: Any) -> Any:
    """A copy whose outputs are computed now, beside the notebook in docs/."""
    client = NotebookClient(deepcopy(notebook), timeout=60, resources={"metadata": {"path": str(DOCS)}})
    return client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})


def outputs(notebook: Any) -> list[list[dict[str, Any]]]:
    """What a reader sees below each cell of code."""
    return [[dict(output) for output in cell.outputs] for cell in notebook.cells if cell.cell_type == "code"]
