"""The registry of metrics agrees with the layers that repeat parts of it."""

from __future__ import annotations

from typing import get_args

import pytest

from vgg_ablate.analysis.frame import RUN_COLUMNS
from vgg_ablate.analysis.metrics import EXACT_METRICS, METRICS, TIMED_METRICS, get_scale, get_sign, get_unit
from vgg_ablate.config.claims import PERCENTAGE_SUFFIXES, MetricName


def test_every_metric_that_a_claim_may_name_is_registered() -> None:
    assert set(get_args(MetricName)) <= METRICS.keys()


@pytest.mark.parametrize("name", sorted(METRICS))
def test_every_metric_is_a_column_of_the_run_frame(name: str) -> None:
    assert name in RUN_COLUMNS
    assert METRICS[name].name == name
    assert METRICS[name].noun


@pytest.mark.parametrize("name", sorted(METRICS))
def test_fractions_are_shown_as_percentages_and_compared_in_points(name: str) -> None:
    is_fraction = name.endswith(PERCENTAGE_SUFFIXES) or name == "trained"
    assert (get_scale(name), get_unit(name) == "points") == ((100.0, True) if is_fraction else (1.0, False))


def test_errors_costs_and_seconds_are_better_when_lower() -> None:
    lower = {name for name in METRICS if get_sign(name) < 0}
    assert lower == {name for name in METRICS if name.endswith("error")} | EXACT_METRICS | {"train_seconds"}
    assert sorted(TIMED_METRICS) == ["images_per_second", "train_seconds"]
