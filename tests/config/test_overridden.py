"""Overrides that change what is trained give a study a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

import vgg_ablate
from vgg_ablate.config.overridden import load_with_own_name

TEXT = """
version: 1
name: norm
question: Does it help?
seeds: 3
data: {name: digits, image_size: 16}
arch: {stages: "4 | 4"}
train: {epochs: 2}
variants: {normalised: {arch.norm: batch}}
claims: [{id: helps, text: it helps, kind: better, a: normalised, b: base}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "norm.yaml"
    file.write_text(TEXT, encoding="utf-8")
    return file


@pytest.mark.parametrize("override", ["train.epochs=1", "seeds=2", "arch.width=2.0", "data.limit=100"])
def test_what_trains_otherwise_has_a_name_of_its_own(path: Path, override: str) -> None:
    study = load_with_own_name(path, [override])
    name, _, digest = study.name.rpartition("-")
    assert name == "norm"
    assert len(digest) == 6
    assert load_with_own_name(path, [override]).name == study.name
    assert load_with_own_name(path, [override, "train.lr=0.3"]).name != study.name


@pytest.mark.parametrize(
    "override", ["train.epochs=2", "seeds=3", "question=Why?", "claims=[]", "smallest_effect=1.0", "on_error=stop"]
)
def test_what_trains_the_same_keeps_the_name(path: Path, override: str) -> None:
    assert load_with_own_name(path, [override]).name == "norm"


def test_a_name_that_is_given_stays(path: Path) -> None:
    assert load_with_own_name(path, ["train.epochs=1", "name=short"]).name == "short"


def test_a_file_that_is_valid_with_the_override_only_is_overridden(path: Path) -> None:
    path.write_text(TEXT.replace("epochs: 2", "epochs: none"), encoding="utf-8")
    assert load_with_own_name(path, ["train.epochs=2"]).name.startswith("norm-")


def test_a_long_name_is_cut(path: Path) -> None:
    path.write_text(TEXT.replace("name: norm", f"name: {'n' * 80}"), encoding="utf-8")
    assert len(load_with_own_name(path, ["train.epochs=1"]).name) == 80


def test_the_results_of_the_file_are_not_replaced(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    plain = vgg_ablate.run(path, overrides=["seeds=1", "train.epochs=1", "name=norm"], device="cpu", workers=1)
    report = (plain / "report.md").read_bytes()
    other = vgg_ablate.run(path, overrides=["seeds=1", "train.epochs=1"], device="cpu", workers=1)
    assert plain == Path("results/norm")
    assert other.name.startswith("norm-")
    assert (plain / "report.md").read_bytes() == report
    # The runs are the same, and are not trained twice.
    assert vgg_ablate.frame(other)["key"].tolist() == vgg_ablate.frame(plain)["key"].tolist()


def test_overrides_of_a_study_that_is_loaded_are_refused(path: Path) -> None:
    with pytest.raises(vgg_ablate.SpecError, match="apply to a file"):
        vgg_ablate.run(vgg_ablate.load(path), overrides=["seeds=1"])
