"""The tuning of a study: the trials of every variant, their winners, and the error to expect from fewer trials."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from statistics import fmean

from vgg_ablate.analysis.summary import Report
from vgg_ablate.config.overrides import get_model_value
from vgg_ablate.config.tuning import TuningWinner
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import CountCell, QuantityCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.records import Outcome, Record

FAILED_TRIAL_ERROR = 100.0  # percent: the validation error of a trial that diverged or failed, so that it never wins


@dataclass(frozen=True)
class VariantTrials:
    """The validation errors of a variant's trials, in percent."""

    variant: str
    errors: dict[int, dict[int, float]]  # epochs -> trial -> error, mean over the tuning's seeds
    written_error: float  # error of the study's own recipe at the fewest epochs; NaN where it was not among the trials
    winner: TuningWinner | None  # None where the tuning is not complete

    @property
    def first_rung(self) -> list[float]:
        """Errors at the fewest epochs, which every trial has trained for."""
        return list(self.errors[min(self.errors)].values()) if self.errors else []


def collect_trials(report: Report) -> list[VariantTrials]:
    """Return the trials of every variant, in the order of the study; empty where the study has no tuning."""
    errors: dict[str, dict[int, dict[int, list[float]]]] = {}  # variant -> epochs -> trial -> one error per seed
    for run in report.results.manifest.tuning:
        record = report.results.tuning.get(run.key)
        if record is not None:
            trials = errors.setdefault(run.variant, {}).setdefault(run.epochs, {})
            trials.setdefault(run.trial, []).append(_get_error(record))
    # Trial 0 is the recipe as the study has it, unless that lies outside of the tuned space.
    first_trials = {run.variant: run.values for run in report.results.manifest.tuning if run.trial == 0}
    untuned = {variant.name: variant for variant in report.study.without_winners().variants}
    collected = []
    for variant in report.study.variants:
        if variant.name not in errors:
            continue
        means = {
            epochs: {trial: fmean(values) for trial, values in sorted(trials.items())}
            for epochs, trials in sorted(errors[variant.name].items())
        }
        values = first_trials[variant.name]
        is_recipe = all(get_model_value(untuned[variant.name], path) == value for path, value in values.items())
        written_error = means[min(means)].get(0, nan) if is_recipe else nan
        collected.append(VariantTrials(variant.name, means, written_error, variant.tuned))
    return collected


def compute_expected_best(errors: Sequence[float]) -> list[float]:
    """Return the expected lowest error of k trials, for k from 1 to the number of errors.

    The k trials are drawn with replacement from the given ones: equation 7 of Dodge et al. 2019 (arXiv:1909.03004),
    with the minimum in place of the maximum.
    """
    ordered, count = sorted(errors), len(errors)
    return [
        sum(
            error * (((count - rank) / count) ** budget - ((count - rank - 1) / count) ** budget)
            for rank, error in enumerate(ordered)
        )
        for budget in range(1, count + 1)
    ]


def build_tuning_table(report: Report) -> Table | None:
    """Return one row per variant: its trials and its winner; None where the study has no tuning."""
    trials, tune = collect_trials(report), report.study.tune
    if not trials or tune is None:
        return None
    columns = (
        Column("variant", "left"),
        Column("trials"),
        Column("winner", "left"),
        *(Column(path) for path in tune.space),
        Column("validation error, %"),
        Column("as written, %"),
    )
    rungs = ", then ".join(f"{count} x {epochs} epochs" for epochs, count in tune.rungs)
    notes = (
        f"Every variant: {rungs}; validation error on {tune.seeds} seed{'s' * (tune.seeds != 1)} of the tuning's own.",
        "Validation error: of the winner, at the most epochs. As written: of the study's recipe, at the fewest; a dash "
        "where the recipe lies outside of the space.",
    )
    rows = tuple(_build_row(variant_trials, list(tune.space)) for variant_trials in trials)
    return Table("tuning", "Tuning of every variant", columns, rows, notes)


def _build_row(trials: VariantTrials, paths: Sequence[str]) -> TableRow:
    winner = trials.winner
    word = (
        "not complete" if winner is None else "none: recipe kept" if winner.trial is None else f"trial {winner.trial}"
    )
    values = {} if winner is None else winner.values
    cells: list[TableCell] = [TextCell(trials.variant), CountCell(len(trials.first_rung)), TextCell(word)]
    cells += [TextCell(_format_value(values.get(path))) for path in paths]
    error = nan if winner is None or winner.val_error is None else 100 * winner.val_error
    return TableRow((*cells, QuantityCell(error, "fixed"), QuantityCell(trials.written_error, "fixed")))


def _format_value(value: object) -> str:
    if value is None:
        return numbers.DASH
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def list_untuned_variants(report: Report) -> list[str]:
    """Return the variants none of whose trials ended above chance level: they keep the study's recipe."""
    return [name for name, winner in report.study.tuned.items() if winner.trial is None]


def _get_error(record: Record) -> float:
    if record.outcome is not Outcome.FINISHED or not record.epochs:
        return FAILED_TRIAL_ERROR
    return 100 * (1 - record.epochs[-1].val_accuracy)
