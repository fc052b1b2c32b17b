"""Mirror a running study to an experiment tracker: `run --track` starts this module as a process of its own.

The process follows the study's event log, and reads the final metrics from the records. So a tracker that fails, hangs
or loses its network cannot stop or slow a run: its process ends, and the driver reports that once.
"""

from __future__ import annotations

import json
import os
import re
import select
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import StorageError
from vgg_ablate.external.tracker_writers import TRACKERS, TrackedRun, Tracker
from vgg_ablate.records import Record, RecordStore
from vgg_ablate.runs.progress.following import follow_events
from vgg_ablate.runs.progress.tracker_names import TrackerName

_INTERVAL_S = 0.5  # between two looks at the log
_KEY = re.compile(r"[0-9a-f]{16}")
_MIRRORED = ("started", "epoch", "ended")
_EPOCH_METRICS = ("train_loss", "val_loss", "val_accuracy", "lr")


def main() -> None:
    """Mirror the events of a folder from an offset on, until stdin is closed; the driver passes the arguments."""
    name, folder, offset = TrackerName(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    study = load(folder / "study.yaml")
    tracker = TRACKERS[name](study.name, folder)
    try:
        mirror_events(follow_events(folder / "events.jsonl", offset, _is_stdin_closed), tracker, study, folder)
    finally:
        tracker.close()


def mirror_events(events: Iterator[Mapping[str, Any]], tracker: Tracker, study: Study, folder: Path) -> None:
    """Send the epochs and outcomes of events to a tracker."""
    store, started = RecordStore(folder / "records"), set[str]()
    for event in events:
        run = _read_run(event, study)
        if run is None:
            continue
        # Runs that share a training end without having started, and so do runs that were going on before the offset.
        if run.key not in started:
            started.add(run.key)
            tracker.start_run(run, _describe_variant(study, run.variant))
        if event["event"] == "epoch":
            values = {name: event[name] for name in _EPOCH_METRICS if isinstance(event.get(name), int | float)}
            tracker.log_epoch(run, event["epoch"] if isinstance(event.get("epoch"), int) else 0, values)
        elif event["event"] == "ended":
            tracker.end_run(run, str(event.get("outcome")), _collect_final_metrics(store, run.key))
            started.discard(run.key)


def _read_run(event: Mapping[str, Any], study: Study) -> TrackedRun | None:
    """Return the run of an event; None for one of no run, or of a damaged log."""
    variant, seed, key = (event.get(name) for name in ("variant", "seed", "key"))
    if not (isinstance(variant, str) and isinstance(seed, int) and isinstance(key, str) and _KEY.fullmatch(key)):
        return None
    return TrackedRun(study.name, variant, seed, key) if event.get("event") in _MIRRORED else None


def _describe_variant(study: Study, name: str) -> dict[str, str]:
    """Return the settings of a variant as parameters of its runs; empty for a proposal of a search."""
    variant = next((variant for variant in study.all_variants if variant.name == name), None)
    if variant is None:
        return {}
    train = variant.train
    settings = {
        "epochs": train.epochs,
        "batch_size": train.batch_size,
        "lr": train.lr,
        "weight_decay": train.weight_decay,
    }
    return {
        "stages": variant.arch.to_notation(),
        "data": variant.data.name,
        **{name: str(value) for name, value in settings.items()},
        **{path: value if isinstance(value, str) else json.dumps(value) for path, value in variant.changes.items()},
    }


def _collect_final_metrics(store: RecordStore, key: str) -> dict[str, float]:
    """Return the metrics of a recorded run; empty where it has no record that can be read."""
    try:
        record: Record = store.get(key)
    except StorageError:
        return {}
    values: dict[str, float | None] = {**record.costs, "train_seconds": record.train_seconds}
    if record.tested is not None:
        values |= {
            "test_accuracy": record.tested.test_accuracy,
            "test_error": 1 - record.tested.test_accuracy,
            "train_error": record.tested.train_error,
        }
    return {name: float(value) for name, value in values.items() if value is not None}


def _is_stdin_closed() -> bool:
    """Return whether the driver has closed the pipe to this process; wait for it for a moment."""
    ready, _, _ = select.select([sys.stdin], [], [], _INTERVAL_S)
    return bool(ready) and not os.read(sys.stdin.fileno(), 1)


if __name__ == "__main__":
    main()
