"""The notebook in docs/ runs as in Jupyter on the committed results, and its saved outputs are reproduced."""

from __future__ import annotations

import os
from copy import deepcopy
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

PROGRESS = """\
from vgg_ablate.runs.progress.views import ProgressState, build_view

state, view = ProgressState("pretend", 2), build_view("auto")
view.start(state)
for outcome in ("finished", "diverged"):
    state.outcomes[outcome] += 1
    view.tick()
view.close()
"""
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
    """Return the outputs of every code cell; of those that show times, none."""
    cells = [
        cell for cell in notebook.cells if cell.cell_type == "code" and "times" not in cell.metadata.get("tags", [])
    ]
    return [[dict(output) for output in cell.outputs] for cell in cells]


def test_progress_is_one_output_that_is_replaced() -> None:
    notebook = nbformat.v4.new_notebook(  # type: ignore[no-untyped-call]
        cells=[nbformat.v4.new_code_cell(PROGRESS)]  # type: ignore[no-untyped-call]
    )
    (shown,) = collect_outputs(execute(notebook))
    assert [output["output_type"] for output in shown] == ["display_data"]
    text = shown[0]["data"]["text/plain"]
    assert "pretend" in text
    assert "2 of 2 runs recorded" in text
    assert "\x1b" not in text
