"""A results folder of two studies and the scoreboard, and its site; tests that change them copy them first."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.report.factories import make_accuracy, make_results_folder
from vgg_ablate.config.study import load
from vgg_ablate.site.build import build_site

ROOT = Path(__file__).parents[2]
STUDIES = ("list-digits", "factorial-digits")


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two results folders, the second of a hostile question, and the scoreboard."""
    folder = tmp_path_factory.mktemp("results")
    for name in STUDIES:
        text = (ROOT / f"studies/examples/{name}.yaml").read_text(encoding="utf-8")
        text = re.sub(r"^question: .*$", "question: Does <b>it</b> help?", text, flags=re.MULTILINE)
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
        make_results_folder(folder / name, make_accuracy(load(folder / f"{name}.yaml")), text=text)
    (folder / "paper").mkdir()
    shutil.copy(ROOT / "results/paper/training-length.svg", folder / "paper")
    return folder


@pytest.fixture(scope="session")
def site(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    build_site(results, out)
    return out
