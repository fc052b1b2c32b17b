"""Records as tidy tables: one row per run, or one row per epoch. Errors and accuracies are fractions of 1.

Every planned run has a row, so that a table never shrinks unnoticed: `outcome` is `missing` where there is no record
and `damaged` where the record cannot be used. In a study with `stop: decided`, decisions.py marks those of the missing
runs that no open claim needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vgg_ablate.analysis.proposals import collect_proposals
from vgg_ablate.analysis.results import EPOCH_FIELDS, Results, read_results
from vgg_ablate.analysis.stats import FloatArray
from vgg_ablate.config.horizons import get_full_name
from vgg_ablate.manifest import PlannedRun
from vgg_ablate.records import Outcome, Record, is_at_chance

MISSING, DAMAGED = "missing", "damaged"
NOT_NEEDED = "not needed"  # a run without a record, in a study that stops, of which no open claim needs one by now
# Column -> dtype. The dtypes are the same after a round trip through CSV or Parquet: nullable ones only where a value
# can be missing and float64 would change the kind of the others.
RUN_COLUMNS: dict[str, str] = {
    "study": "str",
    "variant": "str",
    "seed": "int64",
    "key": "str",
    "horizon": "float64",  # the level of the study's horizons; NaN in a study without them
    "outcome": "str",
    "trained": "boolean",  # ended above chance level; missing where the record cannot decide it
    "val_accuracy": "float64",
    "val_error": "float64",
    "test_accuracy": "float64",
    "test_error": "float64",
    "test_top5_accuracy": "float64",
    "test_top5_error": "float64",
    "train_error": "float64",  # on `train_examples` images of the training split, without augmentation
    "train_examples": "Int64",
    "params": "Int64",
    "macs": "Int64",
    "activations": "Int64",
    "receptive_field": "Int64",
    "params_audited": "Int64",
    "macs_audited": "Int64",
    "epochs": "int64",
    "train_loss": "float64",  # of the last epoch, as val_loss
    "val_loss": "float64",
    "train_seconds": "float64",
    "images_per_second": "float64",
    "train_cpu_seconds": "float64",  # of the process, all threads; NaN where it was not measured
    "disturbed": "boolean",  # waited for the processor: its times are not those of the net alone
    "device": "str",
    "device_name": "str",
    "precision": "str",
    "threads": "Int64",
    "host": "str",
    "started": "str",
    "reason": "str",
}
# Prefixes of the columns after these: the level of each factor of the design, the value of each dimension of a search.
FACTOR_PREFIX, SEARCH_PREFIX = "factor.", "search."
EPOCH_COLUMNS: dict[str, str] = {
    "study": "str",
    "variant": "str",
    "seed": "int64",
    "key": "str",
    "epoch": "int64",
    "train_loss": "float64",
    "val_loss": "float64",
    "val_accuracy": "float64",
    "lr": "float64",
    "seconds": "float64",
    "images_per_second": "float64",
    "cpu_seconds": "float64",
    "val_examples": "int64",
}

_MAX_WALL_PER_CPU = 1.2  # an undisturbed run on one thread takes at most this multiple of its CPU time


def read_epoch_frame(folder: str | Path) -> pd.DataFrame:
    """Return one row per epoch of every recorded run of a results folder. Raises StorageError where there is none."""
    return build_epoch_frame(read_results(folder))


def build_run_frame(results: Results) -> pd.DataFrame:
    """Return one row per planned run, in the order of the study's variants, then of the seeds."""
    variants = results.study.all_variants
    order = {variant.name: index for index, variant in enumerate(variants)}
    horizons = {variant.name: variant.horizon for variant in variants}
    # A search plans variants that study.yaml does not name: they come last, in the order of the manifest.
    planned = sorted(results.manifest.planned, key=lambda run: (order.get(run.variant, len(order)), run.seed))
    rows = [{**_build_row(results, run), "horizon": horizons.get(run.variant)} for run in planned]
    frame = pd.DataFrame.from_records(rows, columns=list(RUN_COLUMNS)).astype(RUN_COLUMNS)
    names = [run.variant for run in planned]
    return frame.assign(**_build_factor_columns(results, names), **_build_search_columns(results, names))


def _build_factor_columns(results: Results, names: Sequence[str]) -> dict[str, pd.Series[Any]]:
    """Return one column per factor of the design with the level of every run, empty where a variant has none."""
    levels = {variant.name: variant.levels for variant in results.study.variants}
    factors = dict.fromkeys(factor for own in levels.values() for factor in own)
    return {
        f"{FACTOR_PREFIX}{factor}": pd.Series(
            [levels.get(get_full_name(name), {}).get(factor, "") for name in names], dtype="str"
        )
        for factor in factors
    }


def _build_search_columns(results: Results, names: Sequence[str]) -> dict[str, pd.Series[Any]]:
    """Return one column per dimension of a search with the value of every run, empty where a variant has none."""
    search = results.study.search
    if search is None:
        return {}
    values = {name: proposal.changes for name, proposal in collect_proposals(results).items()}
    return {
        f"{SEARCH_PREFIX}{path}": parse_values(pd.Series([_format(values.get(name, {}).get(path)) for name in names]))
        for path in search.space
    }


def _format(value: object) -> str:
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


def parse_values(texts: pd.Series[str]) -> pd.Series[Any]:
    """Return a column as numbers where all of its values are numbers, else as text."""
    try:
        return texts.replace("", "nan").astype("float64")
    except ValueError:
        return texts.astype("str")


def build_epoch_frame(results: Results) -> pd.DataFrame:
    """Return one row per epoch of every recorded run, in the order of the plan."""
    planned = [run for run in results.manifest.planned if run.key in results.epochs]
    lengths = [len(results.epochs[run.key]) for run in planned]
    # The empty array comes first so that a study without a record has an empty frame of the same columns.
    values = np.concatenate([np.empty((0, len(EPOCH_FIELDS))), *(results.epochs[run.key] for run in planned)])
    labels = {
        "study": [results.study.name] * len(planned),
        "variant": [run.variant for run in planned],
        "seed": [run.seed for run in planned],
        "key": [run.key for run in planned],
    }
    columns: dict[str, Any] = {
        name: np.repeat(np.array(column, dtype=object), lengths) for name, column in labels.items()
    }
    return pd.DataFrame(columns | dict(zip(EPOCH_FIELDS, values.T, strict=True))).astype(EPOCH_COLUMNS)


def _build_row(results: Results, planned: PlannedRun) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys((name for name, dtype in RUN_COLUMNS.items() if dtype == "str"), "")
    row |= {"study": results.study.name, "variant": planned.variant, "seed": planned.seed, "key": planned.key}
    row["epochs"] = 0
    record = results.records.get(planned.key)
    if record is not None:
        return row | _read_record(record, results.epochs[planned.key])
    if planned.key in results.damaged:
        return row | {"outcome": DAMAGED, "reason": results.damaged[planned.key]}
    return row | {"outcome": MISSING, "reason": "no record"}


def _read_record(record: Record, epochs: FloatArray) -> dict[str, Any]:
    environment = record.environment
    cpu_seconds = float(epochs[:, EPOCH_FIELDS.index("cpu_seconds")].sum())
    return {
        "outcome": record.outcome.value,
        "trained": _is_trained(record, epochs),
        "reason": record.reason,
        "params": record.costs.get("params"),
        "macs": record.costs.get("macs"),
        "activations": record.costs.get("activations"),
        "receptive_field": record.costs.get("receptive_field"),
        "params_audited": record.audited.get("params"),
        "macs_audited": record.audited.get("macs"),
        "epochs": len(epochs),
        "train_loss": epochs[-1, EPOCH_FIELDS.index("train_loss")] if len(epochs) else None,
        "val_loss": epochs[-1, EPOCH_FIELDS.index("val_loss")] if len(epochs) else None,
        # An ensemble that was averaged from stored predictions has not been trained: its times mean nothing.
        "train_seconds": None if record.is_averaged else record.train_seconds,
        "images_per_second": None if record.is_averaged else record.images_per_second,
        "train_cpu_seconds": cpu_seconds or None,
        "disturbed": _is_disturbed(record, cpu_seconds),
        "device": str(environment.get("device", "")),
        "device_name": str(environment.get("device_name", "")),
        "precision": str(environment.get("precision", "")),
        "threads": environment.get("threads"),
        "host": str(environment.get("host", "")),
        "started": record.started,
    } | _read_metrics(record)


def _is_trained(record: Record, epochs: FloatArray) -> bool | None:
    """Return whether a run ended above chance level; a diverged one did not. None where it was cut short."""
    if record.outcome is Outcome.DIVERGED:
        return False
    if record.is_averaged:
        return None if record.is_stalled is None else not record.is_stalled
    if record.outcome is not Outcome.FINISHED or not len(epochs):
        return None
    # `record.is_stalled` needs the epochs, which this record has been stripped of (results.py).
    last = dict(zip(EPOCH_FIELDS, epochs[-1].tolist(), strict=True))
    stalled = is_at_chance(last["val_accuracy"], round(last["val_examples"]), record.run.classes)
    return None if stalled is None else not stalled


def _is_disturbed(record: Record, cpu_seconds: float) -> bool:
    """Return whether a run on one CPU thread waited for the processor for more than a fifth of its CPU time.

    A run whose CPU time is unknown counts as disturbed. On a GPU, and with several threads, CPU time does not
    show waiting: such runs count as undisturbed, and so do ensembles that were averaged without training.
    """
    if record.is_averaged:
        return False
    if record.environment.get("device", "cpu") != "cpu" or record.environment.get("threads", 1) != 1:
        return False
    return cpu_seconds == 0 or record.train_seconds > _MAX_WALL_PER_CPU * cpu_seconds


def _read_metrics(record: Record) -> dict[str, float | None]:
    tested = record.tested
    if tested is None:
        return {}
    metrics: dict[str, float | None] = {
        "train_error": tested.train_error,
        "train_examples": tested.train_examples,
        "val_accuracy": tested.val_accuracy,
        "val_error": 1 - tested.val_accuracy,
        "test_accuracy": tested.test_accuracy,
        "test_error": 1 - tested.test_accuracy,
    }
    if tested.test_top5_accuracy is not None:
        metrics["test_top5_accuracy"] = tested.test_top5_accuracy
        metrics["test_top5_error"] = 1 - tested.test_top5_accuracy
    return metrics
