"""Sentences about the state of training and about the data of a report."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from vgg_ablate.analysis.data_facts import collect_data_facts
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.training_state import UNDER_TRAINED_ERROR, UNDER_TRAINED_RATIO
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import count_noun, join_first

_MAX_NAMES = 3  # of under-trained variants; more are counted


def describe_training(report: Report) -> str:
    """Describe how far the nets were trained: images, steps, train error, chance level, stalled runs."""
    state = report.training_state
    fewest, most = state.epochs
    epochs = numbers.format_count(fewest) if fewest == most else f"{fewest} to {most}"
    length = count_noun(epochs, "epochs")
    if state.images is not None and state.steps is not None:
        steps = count_noun(numbers.format_count(state.steps), "steps")
        length = f"{_describe_images(report, state.images)}, {length}, {steps} of {state.batch_size}"
    parts = [f"{length}"]
    low, high = (numbers.format_compact(error, 1) for error in state.train_error)
    if not isnan(state.train_error[0]):
        parts.append(f"train error {low} %" if low == high else f"train error {low} to {high} %")
    if not isnan(state.chance_error):
        parts.append(f"error at chance level {numbers.format_compact(state.chance_error, 1)} %")
    if state.judged_runs:
        judged = count_noun(numbers.format_count(state.judged_runs), "runs")
        parts.append(f"{state.untrained_runs} of {judged} at chance" if state.untrained_runs else "no run at chance")
    return f"Training: {'; '.join(parts)}."


def _describe_images(report: Report, images: int) -> str:
    """Describe the images of an epoch; the last batch is left out where it would be incomplete."""
    known = collect_data_facts(report.results, report.base.name)
    shown, batch_size = numbers.format_count(images), report.training_state.batch_size
    if known.train is None or not known.train_is_exact or not 0 < known.train - images < batch_size:
        return f"{shown} images per epoch"
    return f"{shown} of {numbers.format_count(known.train)} images per epoch (whole batches)"


def describe_under_training(report: Report) -> str:
    """Return why longer training could change the results; empty where nothing indicates it."""
    state, reasons = report.training_state, []
    if state.high_train_error:
        names = _list_names(state.high_train_error, state.variants)
        reasons.append(
            f"train error over {UNDER_TRAINED_ERROR:.0f} % and over {UNDER_TRAINED_RATIO:g} of the validation error "
            f"({names})"
        )
    if state.moving:
        reasons.append(f"the two longest horizons disagree on {_list_names(state.moving, len(report.verdicts))}")
    return "; ".join(reasons)


def list_data_facts(report: Report) -> list[str]:
    """Return the facts about the data: examples per split, classes, skipped files."""
    facts = collect_data_facts(report.results, report.base.name)
    splits = [
        ("training", facts.train, "" if facts.train_is_exact else "about "),
        ("validation", facts.validation, ""),
        ("test", facts.test, ""),
    ]
    known = [f"{about}{numbers.format_count(count)} {split}" for split, count, about in splits if count is not None]
    lines = [f"{facts.name}: {', '.join(known)} examples." if known else f"{facts.name}: no run has counted it yet."]
    if facts.classes:
        names = f": {', '.join(facts.class_names)}" if facts.class_names else ""
        lines.append(f"{numbers.format_count(facts.classes)} classes{names}.")
    more = facts.skipped_files - len(facts.skipped_names)
    names = f": {', '.join(facts.skipped_names)}{f' and {more:,} more' if more else ''}" if facts.skipped_names else ""
    skipped = f"{facts.skipped_files or 'No'} file{'s' * (facts.skipped_files != 1)} skipped as unreadable"
    lines.append(f"{skipped}{names}.")
    return lines


def _list_names(names: Sequence[str], of: int) -> str:
    if len(names) == of and of > 1:
        return f"all {of}"
    return join_first(names, _MAX_NAMES)
