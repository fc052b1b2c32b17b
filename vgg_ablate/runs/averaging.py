"""Ensembles whose nets are recorded already: average their stored predictions instead of training. No torch."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from vgg_ablate.errors import StorageError
from vgg_ablate.records import FinalMetrics, Outcome, Record, RecordStore, build_predictions_path
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.training import metrics, predictions
from vgg_ablate.training.predictions import StoredPredictions


def find_kept_predictions(folder: Path, finished: Iterable[str]) -> set[str]:
    """Return those of the keys whose predictions are stored in the folder."""
    return {key for key in finished if build_predictions_path(folder, key).exists()}


def average_members(cell: StudyCell, store: RecordStore, folder: Path) -> Record:
    """Return the record of an ensemble whose members (`cell.members`) are recorded with their predictions in `folder`.

    The record has no epochs, and `tested.details` names the members. With `train.keep: predictions`, the mean
    probabilities are stored as the ensemble's own. Raises StorageError if a file is damaged or the members were tested
    on different examples.
    """
    member_predictions = [predictions.read_predictions(folder, key) for key in cell.members]
    members = [store.get(key) for key in cell.members]
    try:
        mean = predictions.average_stored_predictions(member_predictions)
    except ValueError as error:
        raise StorageError(f"{folder}: {', '.join(cell.members)}: {error}") from error
    if cell.run.train.keep == "predictions":
        # float16 as every stored prediction: an ensemble of ensembles then reads one format.
        validation, test = mean.validation.astype("float16"), mean.test.astype("float16")
        predictions.write_predictions(folder, cell.key, mean._replace(validation=validation, test=test))
    # The peak was measured while one member trained; averaging takes next to nothing.
    environment = {name: value for name, value in members[0].environment.items() if name != "peak_bytes"}
    return Record(
        key=cell.key,
        run=cell.run,
        outcome=Outcome.FINISHED,
        tested=_compute_metrics(cell, mean, members),
        costs=cell.costs,
        audited=_add_audited_costs(members),
        environment=environment,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _add_audited_costs(members: list[Record]) -> dict[str, int]:
    """Return the sums of the costs that were audited for every member."""
    audited = [member.audited for member in members]
    names = [name for name in audited[0] if all(name in costs for costs in audited)]
    return {name: sum(costs[name] for costs in audited) for name in names}


def _compute_metrics(cell: StudyCell, mean: StoredPredictions, members: list[Record]) -> FinalMetrics:
    member_metrics = [member.tested for member in members if member.tested is not None]
    nets = [{"val_accuracy": tested.val_accuracy, "test_accuracy": tested.test_accuracy} for tested in member_metrics]
    classes, predicted = mean.test.shape[1], mean.test.argmax(1)
    top5 = predictions.compute_accuracy(mean.test, mean.test_labels, 5) if classes > 5 else None
    return FinalMetrics(
        val_accuracy=predictions.compute_accuracy(mean.validation, mean.validation_labels),
        test_accuracy=predictions.compute_accuracy(mean.test, mean.test_labels),
        test_top5_accuracy=top5,
        correct=metrics.pack_correct_bits(predicted, mean.test_labels),
        details={
            "test_loss": predictions.compute_loss(mean.test, mean.test_labels),
            "test_examples": len(mean.test_labels),
            **metrics.compute_class_metrics(predicted, mean.test_labels, classes),
            "nets": nets,
            "members": list(cell.members),
            "val_examples": len(mean.validation_labels),
        },
    )
