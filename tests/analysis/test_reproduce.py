"""A run trained again agrees with its record, or every difference is listed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.report.factories import make_results_folder
from vgg_ablate import records as stored
from vgg_ablate.analysis.reproduce import compare_reproduction
from vgg_ablate.analysis.results import read_results
from vgg_ablate.records import Record


@pytest.fixture
def records(tmp_path: Path) -> list[Record]:
    results = read_results(make_results_folder(tmp_path / "pretend"))
    return [results.read_record(cell.key) for cell in results.manifest.planned if cell.variant == "base"]


def change(record: Record, **update: Any) -> Record:
    return record.model_copy(update=update)


def with_accuracy(record: Record, accuracy: float) -> Record:
    return change(record, tested=stored.FinalMetrics(val_accuracy=0.9, test_accuracy=accuracy))


def test_the_same_numbers_agree_bit_for_bit_whatever_the_clock_said(records: list[Record]) -> None:
    slower = tuple(epoch.model_copy(update={"seconds": 99.0, "cpu_seconds": 9.0}) for epoch in records[0].epochs)
    result = compare_reproduction(records[0], change(records[0], epochs=slower, train_seconds=9.0), records)
    assert (result.agrees, result.is_bitwise, result.differences) == (True, True, ())


def test_one_other_bit_is_named_with_its_epoch(records: list[Record]) -> None:
    first, second = records[0].epochs
    again = change(records[0], epochs=(first, second.model_copy(update={"val_loss": 0.123})))
    result = compare_reproduction(records[0], again, records)
    assert (result.agrees, result.is_bitwise) == (False, True)
    assert result.differences == ("epochs[1].val_loss: recorded 0.55, now 0.123",)


@pytest.mark.parametrize(("accuracy", "agrees"), [(0.95, True), (0.5, False)])
def test_on_another_machine_the_error_must_lie_among_the_seeds(
    records: list[Record], accuracy: float, agrees: bool
) -> None:
    again = change(
        with_accuracy(records[0], accuracy), environment={**records[0].environment, "device_name": "another CPU"}
    )
    result = compare_reproduction(records[0], again, records)
    assert (result.agrees, result.is_bitwise) == (agrees, False)
    assert result.differences[0].startswith("environment.device_name: recorded on 'a CPU', now 'another CPU'")
    assert ("inside" if agrees else "outside") in result.differences[1]


def test_two_seeds_make_no_interval(records: list[Record]) -> None:
    again = change(records[0], environment={})
    result = compare_reproduction(records[0], again, records[:2])
    assert not result.agrees
    assert "too few" in result.differences[-1]
