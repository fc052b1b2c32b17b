"""Metrics: which way is better, how they are scaled to be shown, which runs count, and values by variant and seed."""

from __future__ import annotations

import pandas as pd

from vgg_ablate.config.claims import HIGHER_IS_BETTER_METRICS, PERCENTAGE_SUFFIXES, Claim

PERCENT_SUFFIXES = (
    *PERCENTAGE_SUFFIXES,
    "trained",
)  # metrics of these endings are shown as percentages, their differences as points
TIMED_METRICS = frozenset({"train_seconds", "images_per_second"})  # they say something of the device too
NOUNS = {
    "test_error": "test error",
    "test_accuracy": "test accuracy",
    "val_error": "validation error",
    "val_accuracy": "validation accuracy",
    "test_top5_error": "top-5 test error",
    "params": "params",
    "macs": "MACs",
    "activations": "activations",
    "train_seconds": "training seconds",
    "images_per_second": "images per second",
    "trained": "runs that trained",
}
_STEPS = {  # of what a trend is over: one of these
    "weight_layers": "layer",
    "activation_layers": "activation layer",
    "params": "million params",
    "macs": "million MACs",
    "activations": "million activations",
    "receptive_field": "px",
    "train.epochs": "epoch",
}


def get_scale(metric: str) -> float:
    """What a fraction is multiplied by to be shown: 100 for errors and accuracies."""
    return 100.0 if metric.endswith(PERCENT_SUFFIXES) else 1.0


def get_sign(metric: str) -> int:
    """+1 where higher is better, else -1."""
    return 1 if metric in HIGHER_IS_BETTER_METRICS else -1


def collect_by_seed(frame: pd.DataFrame, metric: str) -> dict[str, dict[int, float]]:
    """variant -> seed -> the metric as it is shown, of the finished runs that count for it."""
    table: dict[str, dict[int, float]] = {}
    finished = frame[(frame["outcome"] == "finished") & ~find_excluded_runs(frame, metric)]
    for variant, seed, value in finished[["variant", "seed", metric]].itertuples(index=False):
        if not pd.isna(value):
            table.setdefault(str(variant), {})[int(seed)] = float(value) * get_scale(metric)
    return table


def find_excluded_runs(frame: pd.DataFrame, metric: str) -> pd.Series[bool]:
    """Return for every run whether a mean of the metric leaves it out.

    Times leave out disturbed runs. Errors and accuracies leave out stalled ones: the error of a net that has learned
    nothing is that of guessing, and a mean over both describes neither. Runs that others trained may lack the columns.
    """
    if metric in TIMED_METRICS:
        return _flag(frame, "disturbed", when=True)
    return find_stalled_runs(frame)


def find_stalled_runs(frame: pd.DataFrame) -> pd.Series[bool]:
    """Return for every run whether it finished at chance level."""
    return _flag(frame, "trained", when=False) & (frame["outcome"] == "finished")


def _flag(frame: pd.DataFrame, column: str, *, when: bool) -> pd.Series[bool]:
    if column not in frame.columns:
        return pd.Series(data=False, index=frame.index, dtype=bool)
    return (frame[column] == when).fillna(value=False).astype(bool)


def unit(metric: str) -> str:
    """Of a difference: points for errors and accuracies."""
    if get_scale(metric) != 1:
        return "pp"
    return {"train_seconds": "s", "images_per_second": "images/s"}.get(metric, "")


def unit_of(claim: Claim) -> str:
    """Of a claim's difference: that of its metric; of a trend, per step of what it is over."""
    if claim.trend is None:
        return unit(claim.metric)
    return f"{unit(claim.metric)} per {_STEPS.get(claim.trend.over, f'unit of {claim.trend.over}')}".strip()
