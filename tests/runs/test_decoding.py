"""While images are decoded, the progress is reported and displayed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from tests.runs.harness import OPTIONS, build_fake_plan, make_study, read_events
from vgg_ablate.config.study import load
from vgg_ablate.data.sources import compute_data_fingerprint
from vgg_ablate.records import Epoch
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.plan import StudyCell, build_plan
from vgg_ablate.runs.progress.eta import Forecast
from vgg_ablate.runs.progress.views import PlainView, ProgressState, RichView
from vgg_ablate.runs.workers import training
from vgg_ablate.runs.workers.job import perform_job
from vgg_ablate.runs.workers.protocol import DecodingProgress, Job, WorkerContext

STUDY = """\
version: 1
name: photographs
question: are they decoded once?
seeds: 2
data: {{name: image-folder, root: {root}, image_size: 8, classes: 2}}
arch: {{stages: "4 | 8", head: {{hidden: []}}}}
train: {{epochs: 1, batch_size: 4, precision: fp32}}
"""


def start_first_run(folder: Path) -> tuple[ProgressState, StudyCell]:
    """Return the state of a study whose first run has been submitted, and its cell."""
    (cell,) = build_fake_plan(make_study(folder, variants=0, seeds=1)).cells
    return ProgressState("asked", 1, 0, Forecast(1), running={cell.key: (cell, None)}), cell


def test_the_first_run_decodes_and_reports_both_splits_and_the_second_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "cache"))
    for split, count in (("train", 8), ("test", 3)):
        for label in "ab":
            (tmp_path / split / label).mkdir(parents=True)
            for index in range(count):
                Image.new("RGB", (8, 8), (index, 99, 7)).save(tmp_path / split / label / f"{index}.png")
    (tmp_path / "asked.yaml").write_text(STUDY.format(root=tmp_path))
    cells = build_plan(load(tmp_path / "asked.yaml"), compute_data_fingerprint).cells
    shutil.rmtree(tmp_path / "cache")  # as on another machine than the one that made the plan
    reports_per_run: list[list[DecodingProgress | Epoch]] = []
    for cell in cells:
        reports = list[DecodingProgress | Epoch]()

        def append_epoch(report: Epoch, reports: list[DecodingProgress | Epoch] = reports) -> bool:
            reports.append(report)
            return False

        perform_job(
            training,
            Job(cell.run, cell.costs),
            WorkerContext(folder=tmp_path / "results"),
            append_epoch,
            reports.append,
        )
        reports_per_run.append(reports)
    assert reports_per_run[0][:-1] == [DecodingProgress(cells[0].key, 22, 22)]
    assert isinstance(reports_per_run[0][-1], Epoch)
    assert len(reports_per_run[1]) == 1


def test_a_worker_process_reports_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, variants=0, seeds=1)), tmp_path / "results"
    run_plan(plan, folder, replace(OPTIONS, workers=1, training="tests.runs.fake_decoding"))
    logged = list(read_events(folder / "events.jsonl"))
    kinds = [event["event"] for event in logged]
    assert kinds == ["began", "started", *["decoding"] * (len(logged) - 5), "epoch", "epoch", "ended"]
    assert len(logged) < 50  # of 600 reports of the training
    (last,) = [event for event in logged if event["event"] == "decoding" and event["done"] == 60_000]
    assert (last["of"], last["data"], last["key"]) == (60_000, "digits", plan.cells[0].key)


def test_plain_lines_show_it_but_not_once_per_second(tmp_path: Path) -> None:
    out = StringIO()
    lines, (began, cell) = PlainView(out), start_first_run(tmp_path)
    lines.start(began)
    for done in (12_000, 13_000, 60_000):
        began.decoding[cell.key] = (done, 60_000)
        lines.handle(cell, DecodingProgress(cell.key, done, 60_000))
    assert out.getvalue().splitlines()[1:] == ["decoding digits: 12,000 of 60,000 images"]


def test_a_terminal_shows_it_beside_the_run_until_all_are_decoded(tmp_path: Path) -> None:
    began, cell = start_first_run(tmp_path)
    for done, shown in ((12_000, "decoding digits: 12,000 of 60,000 images"), (60_000, "starting")):
        out = StringIO()
        picture = RichView(Console(file=out, force_terminal=True, width=120))
        began.decoding[cell.key] = (done, 60_000)
        picture.start(began)
        picture.handle(cell, DecodingProgress(cell.key, done, 60_000))
        picture.close()
        assert f"{cell.title}  {shown}" in out.getvalue()
