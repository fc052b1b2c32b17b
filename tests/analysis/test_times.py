"""Seconds and images per second are shown for undisturbed runs only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import vgg_ablate
from tests.report.factories import STUDY, make_results_folder
from vgg_ablate.analysis import summary
from vgg_ablate.analysis.variant_rows import summarize_times
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import RangeCell
from vgg_ablate.records import Record
from vgg_ablate.report import markdown, write

TIMED = STUDY + "  - {id: quick, text: it is quicker, kind: better, a: base, b: five, metric: train_seconds}\n"


def with_cpu(seconds: Callable[[str, int], float], **environment: object) -> Callable[[Record, str], Record]:
    """Give every epoch, which takes 1.5 s, this CPU time."""

    def change(record: Record, variant: str) -> Record:
        epochs = tuple(
            epoch.model_copy(update={"cpu_seconds": seconds(variant, record.run.seed)}) for epoch in record.epochs
        )
        return record.model_copy(update={"epochs": epochs, "environment": {**record.environment, **environment}})

    return change


def read_rates(folder: Path) -> dict[str, str]:
    """Return variant -> text of its cell in the images/s column."""
    comparison = markdown.build_variant_tables(summary.load_report(folder), ("variant", "images_per_second"))[0]
    return {row.cells[0].to_text(): row.cells[1].to_text() for row in comparison.rows}


def test_the_median_of_undisturbed_runs_stands_with_its_range(tmp_path: Path) -> None:
    """five waits on seeds 0 and 4, wide on every seed; the fake rate is 1,000 images/s plus the seed."""

    def cpu(variant: str, seed: int) -> float:
        return 1.2 if variant == "wide" or (variant == "five" and seed in (0, 4)) else 1.26

    folder = make_results_folder(tmp_path / "pretend", change=with_cpu(cpu))
    assert read_rates(folder) == {"base": "1,002 [1,000, 1,004]", "five": "1,002 [1,001, 1,003]", "wide": numbers.DASH}
    report = write.write_report(folder)
    assert "images/s" not in markdown.build_markdown(report), "one variant has no undisturbed run"
    (comparison,) = markdown.build_variant_tables(report, ("variant", "images_per_second"))
    assert any("Disturbed: 7 of 15 runs took more than 1.2 times their CPU time" in note for note in comparison.notes)


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        ({}, numbers.DASH),
        ({"threads": 2}, "1,002 [1,000, 1,004]"),
        ({"device": "cuda", "device_name": "a GPU"}, "1,002 [1,000, 1,004]"),
    ],
)
def test_without_a_cpu_time_one_thread_of_a_cpu_shows_nothing(
    tmp_path: Path, environment: dict[str, object], shown: str
) -> None:
    folder = make_results_folder(tmp_path / "pretend", change=with_cpu(lambda variant, seed: 0.0, **environment))
    assert set(read_rates(folder).values()) == {shown}
    assert vgg_ablate.frame(folder)["train_cpu_seconds"].isna().all()


def test_a_claim_on_seconds_needs_undisturbed_runs(tmp_path: Path) -> None:
    folder = make_results_folder(
        tmp_path / "pretend",
        text=TIMED,
        change=with_cpu(lambda variant, seed: 1.0 if (variant, seed) == ("five", 2) else 1.5),
    )
    report = summary.load_report(folder)
    *_, quick = report.verdicts
    assert (quick.verdict, quick.reason) == ("inconclusive", "five: 1 of 5 runs waited for the processor")
    assert "| 3.0 s |" in markdown.build_markdown(report)
    assert [verdict.reason for verdict in report.verdicts[:3]] == ["", "", ""], "errors do not depend on waiting"


@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=9))
def test_a_median_lies_in_its_range(values: list[float]) -> None:
    times = summarize_times(values)
    assert times.low <= times.median <= times.high
    assert times.n == len(values)
    assert RangeCell(times.median, times.low, times.high, "rate").get_sort_value() == times.median
