"""`export` on a study that was run for real: the files hold the net of the record, and nothing else can be had."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from vgg_ablate.cli import app
from vgg_ablate.errors import SpecError
from vgg_ablate.net import interop
from vgg_ablate.records import Manifest, Store
from vgg_ablate.spec.study import load
from vgg_ablate.train.augment import Normaliser
from vgg_ablate.train.data import splits
from vgg_ablate.train.evaluate import scored

STUDY = """\
version: 1
name: tiny
question: Does a 5x5 do as well?
seeds: [1]
data: {name: digits, image_size: 8, limit: 300}
arch: {stages: "4 4 | 8", norm: batch}
train: {epochs: 2, lr: 0.05, precision: fp32}
variants:
  five: {arch.kernel: 5}
"""


def said(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    (folder / "tiny.yaml").write_text(STUDY, encoding="utf-8")
    said("run", folder / "tiny.yaml", "--out", folder / "results", "--device", "cpu", "--workers", "1")
    return folder / "results"


@pytest.fixture(scope="module")
def exported(results: Path) -> tuple[Path, str]:
    to = results.parent / "five"
    return to, said("export", results, "five/1", "--to", to)


def test_the_exported_weights_answer_as_the_record_says(results: Path, exported: tuple[Path, str]) -> None:
    arch, model = interop.loaded(exported[0] / "model.safetensors")
    key = next(one.key for one in Manifest.read(results).planned if (one.variant, one.seed) == ("five", 1))
    record = Store(results / "records").get(key)
    assert record.tested is not None
    assert arch == record.run.arch
    found = splits(record.run.data, record.run.fingerprint, 1, torch.device("cpu"))
    normalise = Normaliser(found.mean, found.std)
    test = scored(model, found.test, normalise, "fp32", 8, record.run.data.evaluate)
    assert test.correct_bits() == record.tested.correct


def test_it_says_that_the_training_was_had_again(exported: tuple[Path, str]) -> None:
    assert "five/1: bit for bit the same as its record" in exported[1]
    assert "no torchvision model has these layers" in exported[1]


def test_the_arch_beside_the_weights_can_stand_in_a_study(exported: tuple[Path, str], tmp_path: Path) -> None:
    written = (exported[0] / "arch.yaml").read_text(encoding="utf-8")
    rest = "version: 1\nname: again\nquestion: Which?\ndata: {name: digits, image_size: 8}\n"
    (tmp_path / "again.yaml").write_text(rest + written, encoding="utf-8")
    arch, _ = interop.loaded(exported[0] / "model.safetensors")
    assert load(tmp_path / "again.yaml").base.arch.spelled_out() == arch


def test_an_unknown_run_is_one_line_with_the_nearest(results: Path) -> None:
    with pytest.raises(SpecError, match="did you mean 'five'"):
        CliRunner().invoke(app, ["export", str(results), "fife"], catch_exceptions=False)


def test_exported_weights_can_be_looked_at(exported: tuple[Path, str], tmp_path: Path) -> None:
    weights = exported[0] / "model.safetensors"
    said("describe", "--filters", weights, "--svg", tmp_path / "filters.svg")
    assert "4 filters of 5×5 on 1 channels" in (tmp_path / "filters.svg").read_text(encoding="utf-8")
    told = said("describe", weights, "--field", "--svg", tmp_path / "field.svg")
    assert "weights as trained" in told
    assert (tmp_path / "field.svg").stat().st_size > 0


def test_a_record_has_no_weights_to_show(results: Path) -> None:
    record = next((results / "records").iterdir())
    with pytest.raises(SpecError, match="`export STUDY VARIANT` makes one"):
        CliRunner().invoke(app, ["describe", "--filters", str(record)], catch_exceptions=False)
