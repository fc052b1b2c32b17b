"""The registry of metrics, and the values of a metric by variant and seed.

A new metric is one entry in METRICS and a column of `frame.RUN_COLUMNS`; a claim may name it once it is in
`config.claims.MetricName`, which lies in a lower layer and repeats the names for the JSON schema (a test compares).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType

import pandas as pd

from vgg_ablate.config.claims import Claim


@dataclass(frozen=True, slots=True)
class Metric:
    """A column of the run frame that reports show or claims compare."""

    name: str
    noun: str
    unit: str = ""  # of a difference: percentage points for fractions
    scale: float = 1.0  # factor from the frame's value to the shown one: 100 for fractions
    higher_is_better: bool = False
    is_exact: bool = False  # a function of the arch: the same for every seed
    is_timed: bool = False  # depends on the device, and on what else ran on it


METRICS: Mapping[str, Metric] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            Metric("test_error", "test error", "points", 100.0),
            Metric("test_accuracy", "test accuracy", "points", 100.0, higher_is_better=True),
            Metric("test_top5_error", "top-5 test error", "points", 100.0),
            Metric("test_top5_accuracy", "top-5 test accuracy", "points", 100.0, higher_is_better=True),
            Metric("val_error", "validation error", "points", 100.0),
            Metric("val_accuracy", "validation accuracy", "points", 100.0, higher_is_better=True),
            Metric("train_error", "training error", "points", 100.0),
            Metric("trained", "runs that trained", "points", 100.0, higher_is_better=True),
            Metric("params", "params", is_exact=True),
            Metric("macs", "MACs", is_exact=True),
            Metric("activations", "activations", is_exact=True),
            Metric("train_seconds", "training seconds", "s", is_timed=True),
            Metric("images_per_second", "images per second", "images/s", higher_is_better=True, is_timed=True),
        )
    }
)
# Metrics of runs that other programs trained, while `use_metrics` is entered; they come before those of METRICS.
_other_metrics: ContextVar[Mapping[str, Metric]] = ContextVar("other metrics", default=MappingProxyType({}))
EXACT_METRICS = frozenset(name for name, metric in METRICS.items() if metric.is_exact)
TIMED_METRICS = frozenset(name for name, metric in METRICS.items() if metric.is_timed)

_TREND_STEPS = {  # what a trend is over -> one step of it; params and MACs are counted in millions there
    "weight_layers": "layer",
    "activation_layers": "activation layer",
    "params": "million params",
    "macs": "million MACs",
    "activations": "million activations",
    "receptive_field": "px",
    "train.epochs": "epoch",
}


@contextmanager
def use_metrics(metrics: Mapping[str, Metric]) -> Iterator[None]:
    """Add metrics to the registry, by name, within a `with` block: those of runs that other programs trained."""
    token = _other_metrics.set(metrics)
    try:
        yield
    finally:
        _other_metrics.reset(token)


def get_metric(name: str) -> Metric:
    """Return a metric by its name. Raises KeyError."""
    return _other_metrics.get().get(name) or METRICS[name]


def get_scale(metric: str) -> float:
    """Return the factor from the frame's value of a metric to the shown one: 100 for errors and accuracies."""
    return get_metric(metric).scale


def get_unit(metric: str) -> str:
    """Return the unit of a difference: `points` (percentage points) for errors and accuracies."""
    return get_metric(metric).unit


def get_sign(metric: str) -> int:
    """Return +1 where higher is better, else -1: the factor from a difference to a gain."""
    return 1 if get_metric(metric).higher_is_better else -1


def get_shown_metric(metric: str) -> str:
    """Return the metric that reports show in place of this one: the error for an accuracy, so that less is better."""
    return metric if metric in _other_metrics.get() else metric.replace("_accuracy", "_error")


def get_shown_sign(metric: str) -> int:
    """Return the factor from a gain to the shown difference a - b, which is one of errors where a metric has one."""
    is_shown_as_error = metric.endswith(("_accuracy", "_error")) and metric not in _other_metrics.get()
    return -1 if is_shown_as_error else get_sign(metric)


def get_claim_unit(claim: Claim) -> str:
    """Return the unit of a claim's difference: that of its metric; for a trend per step, such as `points per layer`."""
    metric_unit = get_metric(claim.metric).unit
    if claim.trend is None:
        return metric_unit
    return f"{metric_unit} per {_TREND_STEPS.get(claim.trend.over, f'unit of {claim.trend.over}')}".strip()


def collect_by_seed(frame: pd.DataFrame, metric: str) -> dict[str, dict[int, float]]:
    """Return the metric as it is shown, by variant and seed, of the finished runs that count for it."""
    values: dict[str, dict[int, float]] = {}
    counted = frame[(frame["outcome"] == "finished") & ~find_excluded_runs(frame, metric)]
    for variant, seed, value in counted[["variant", "seed", metric]].itertuples(index=False):
        if not pd.isna(value):
            values.setdefault(str(variant), {})[int(seed)] = float(value) * get_scale(metric)
    return values


def find_excluded_runs(frame: pd.DataFrame, metric: str) -> pd.Series[bool]:
    """Return for every run whether means of the metric leave it out.

    Times leave out disturbed runs. Errors and accuracies leave out stalled ones: the error of a net that has learned
    nothing is that of guessing, and a mean over both kinds describes neither.
    """
    if metric in TIMED_METRICS:
        return _is_flagged(frame, "disturbed", value=True)
    return find_stalled_runs(frame)


def find_stalled_runs(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return for every run whether it finished at chance level."""
    return _is_flagged(frame, "trained", value=False) & (frame["outcome"] == "finished")


def _is_flagged(frame: pd.DataFrame, column: str, *, value: bool) -> pd.Series[bool]:
    # Frames of runs that other programs trained may lack the column.
    if column not in frame.columns:
        return pd.Series(data=False, index=frame.index, dtype=bool)
    return (frame[column] == value).fillna(value=False).astype(bool)
