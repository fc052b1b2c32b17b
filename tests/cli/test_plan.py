"""`plan` predicts costs, and reports mismatched budgets, nets that are too large, and the space of a search."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from tests.runs.harness import run_in_process
from vgg_ablate.cli.plan import plan
from vgg_ablate.cli.status import status
from vgg_ablate.config.study import load
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.runs.progress.reading import compute_fingerprint_with_notice

STUDY = """\
version: 1
name: se
question: how large?
data: {name: digits, image_size: 16}
arch: {stages: "16 16 | 32 32", norm: batch}
design:
  kind: search
  space:
    arch.width: {low: 0.125, high: 1.0, step: 0.125}
    arch.depth: [1, 2, 3]
    arch.norm: [none, batch]
  constraints: ["1e5 <= macs <= 1e6", "receptive_field >= 10"]
  budget: {variants: 10}
variants:
  five: {arch.kernel: 5, arch.match: {macs: base, tolerance: 5%}}
  huge: {arch.width: 300}
"""

FITS = """\
version: 1
name: fits
question: will it fit?
seeds: 4
data: {name: digits, image_size: 16}
arch: {stages: "16 16 | 32 32"}
variants:
  huge: {train.batch_size: 1000000000}
claims:
  - {id: larger, text: it errs less, kind: better, a: huge, b: base}
"""


def test_a_plan_prints_mismatches_size_warnings_and_the_space(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "se.yaml"
    path.write_text(STUDY)
    plan(path, None, out=tmp_path / "results", probe=False)
    shown = capsys.readouterr()
    assert "warning: huge: 1,4" in shown.err
    assert "GiB in fp32" in shown.err
    assert "five: matched, " in shown.out
    assert "the space has 48 nets" in shown.out
    assert "48 exist (100.0 %)" in shown.out
    assert "meet the constraints" in shown.out


def test_runs_that_do_not_fit_are_warned_of_and_every_peak_is_in_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fits.yaml"
    path.write_text(FITS)
    plan(path, None, out=tmp_path / "results", probe=False, as_json=True)
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    peaks = {variant["variant"]: variant["peak_bytes"] for variant in document["variants"]}
    assert peaks["huge"] > document["room"]["memory_bytes"] > peaks["base"] > 0
    assert "warning: huge: will not fit: predicted peak memory " in shown.err
    assert "warning: base" not in shown.err
    assert document["claims"] == [
        {
            "id": "larger",
            "metric": "test_error",
            "smallest_effect": None,
            "seeds": 4,
            "detectable": None,
            "sd": None,
            "source": "unknown until some runs are recorded",
        }
    ]


SHARED = """\
version: 1
name: shared
question: what does one training serve?
seeds: 4
data: {name: digits, image_size: 16}
arch: {stages: "16 16 | 32 32"}
train: {keep: predictions}
variants:
  flipped: {data.evaluate.flip: true}
  second: {train.replicate: 1}
  both: {train.ensemble: [{}]}
"""


def test_trainings_that_serve_several_runs_are_counted_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "shared.yaml"
    path.write_text(SHARED)
    plan(path, None, out=tmp_path / "results", probe=False)
    shown = capsys.readouterr().out
    assert "16 runs to train in 8 trainings, " in shown
    assert "of these, 4 ensembles are evaluated from stored predictions, without training" in shown
    plan(path, None, out=tmp_path / "results", probe=False, as_json=True)
    document = json.loads(capsys.readouterr().out)
    assert (document["missing"], document["trainings"], document["averages"]) == (16, 8, 4)


def test_plan_and_status_work_without_the_images(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "leaves"
    for label in ("oak", "elm"):
        (root / "train" / label).mkdir(parents=True)
        for index in range(20):
            Image.new("RGB", (8, 8), (index, len(label), 0)).save(root / "train" / label / f"{index}.png")
    path, folder = tmp_path / "leaves.yaml", tmp_path / "results"
    path.write_text(
        "version: 1\nname: leaves\nquestion: which?\nseeds: 2\narch: {stages: '4 | 8'}\n"
        f"data: {{name: image-folder, root: {root}, image_size: 8, classes: 2}}\n"
        "variants:\n  normalised: {arch.norm: batch}\n"
    )
    run_in_process(build_plan(load(path), compute_fingerprint_with_notice), folder)
    root.rename(tmp_path / "gone")

    plan(path, None, out=folder)
    shown = capsys.readouterr()
    assert "0 runs to train" in shown.out
    layout = "its root holds train/<class>/* and test/<class>/*, one folder per class; test is optional"
    assert shown.err.startswith(f"warning: data.root: directory not found: {root}; {layout}; ")
    assert shown.err.endswith(f"; planned from its records in {folder}\n")
    status(path, out=folder)
    assert f"{folder}: 4 of 4 runs recorded, 0 missing" in capsys.readouterr().out
    plan(path, None, out=tmp_path / "elsewhere", as_json=True)
    shown = capsys.readouterr()
    assert json.loads(shown.out)["missing"] == 4
    assert shown.err.endswith("planned from what the study declares\n")
