"""Tuning of a study's variants: the same number of trials for each, judged on validation data, and one winner each.

The trials are a function of the study alone, and the trials that go on to the next rung are a function of the records:
a rung of the successive halving ends before the next one begins. So a killed tuning continues where it was, with any
number of workers, and a recorded tuning is never trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from itertools import groupby
from math import inf
from pathlib import Path
from statistics import fmean
from typing import Any

from vgg_ablate.config.overrides import get_model_value
from vgg_ablate.config.search import FIRST_SEARCH_SEED
from vgg_ablate.config.search_space import NumberRange, encode_choice
from vgg_ablate.config.study import Study
from vgg_ablate.config.training import Data, Evaluate
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.config.variants import Variant
from vgg_ablate.errors import RunsFailedError
from vgg_ablate.manifest import TuningRun
from vgg_ablate.models import width_matching
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore, Run
from vgg_ablate.runs.ledger.ledger import Ledger, LevelsChangedError, TrialParameters
from vgg_ablate.runs.plan import StudyCell, cache_fingerprints, compute_work
from vgg_ablate.runs.progress.views import ProgressState
from vgg_ablate.runs.results_dir import read_saved_tuning, read_saved_winners
from vgg_ablate.runs.search.sampler import sample_points

NO_VALUE = object()


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of a variant, with its runs at each rung."""

    number: int
    values: Mapping[str, Any]  # path -> value
    rungs: tuple[tuple[StudyCell, ...], ...]  # by rung (number of epochs), then by seed of the tuning


@dataclass(frozen=True, slots=True)
class VariantTuning:
    """All trials of one variant."""

    variant: str
    tune: Tune
    trials: tuple[Trial, ...]

    def select_trials(self, rung: int, records: Mapping[str, Record]) -> tuple[Trial, ...] | None:
        """Return the trials that train at a rung; None where an earlier rung is not recorded yet."""
        selected = self.trials
        for earlier in range(rung):
            scores = {trial.number: _compute_mean_error(trial.rungs[earlier], records) for trial in selected}
            if any(score is None for score in scores.values()):
                return None
            count = self.tune.rungs[earlier + 1][1]
            # Of equal errors the trial with the lower number is better, whatever the order of training was.
            ranked = sorted(selected, key=lambda trial: (scores[trial.number], trial.number))
            selected = tuple(sorted(ranked[:count], key=lambda trial: trial.number))
        return selected

    def find_winner(self, records: Mapping[str, Record]) -> TuningWinner | None:
        """Return the winner; one without values where no trial trained above chance, None where runs are missing."""
        last = len(self.tune.rungs) - 1
        selected = self.select_trials(last, records)
        if selected is None:
            return None
        scores = {trial.number: _compute_mean_error(trial.rungs[last], records) for trial in selected}
        if any(score is None for score in scores.values()):
            return None
        trained = [trial for trial in selected if all(_has_trained(records[cell.key]) for cell in trial.rungs[last])]
        if not trained:
            return TuningWinner()
        best = min(trained, key=lambda trial: (scores[trial.number], trial.number))
        return TuningWinner(trial=best.number, values=dict(best.values), val_error=scores[best.number])


def plan_tuning(study: Study, fingerprint: Callable[[Data], str]) -> tuple[VariantTuning, ...]:
    """Return the trials of every variant of a study, whether it has winners already or not; empty without `tune`.

    Raises SpecError where a trial's net cannot exist.
    """
    if study.tune is None:
        return ()
    study, fingerprint = study.without_winners(), cache_fingerprints(fingerprint)
    count = study.tune.trials if study.tune else 0
    points = {variant.name: _list_points(variant) for variant in study.variants}
    trials: dict[str, list[Trial]] = {name: [] for name in points}
    for number in range(count):
        settings = {name: TuningWinner(trial=number, values=values[number]) for name, values in points.items()}
        # All variants are resolved together, since the width of one may depend on the costs of another.
        for resolved in width_matching.resolve_variants(study.with_winners(settings).variants):
            name = resolved.variant.name
            trials[name].append(
                _build_trial(resolved, number, points[name][number], fingerprint(resolved.variant.data))
            )
    return tuple(
        VariantTuning(variant.name, variant.tune, tuple(trials[variant.name]))
        for variant in study.variants
        if variant.tune is not None
    )


def list_runs(tunings: Sequence[VariantTuning]) -> tuple[TuningRun, ...]:
    """Return every run that the tuning may need, for the manifest; most of them are never trained."""
    return tuple(
        TuningRun(
            variant=tuning.variant,
            trial=trial.number,
            values=dict(trial.values),
            epochs=cell.run.train.epochs,
            seed=cell.seed,
            key=cell.key,
        )
        for tuning in tunings
        for trial in tuning.trials
        for cells in trial.rungs
        for cell in cells
    )


def find_frozen_winners(
    tunings: Sequence[VariantTuning], recorded: Mapping[str, TuningWinner], runs: Sequence[TuningRun]
) -> dict[str, TuningWinner]:
    """Return the winners that a results folder has recorded and whose trials are still those of the study."""
    groups = groupby(runs, key=lambda run: run.variant)
    identities = {name: set(_list_identities(list(group))) for name, group in groups}
    return {
        tuning.variant: recorded[tuning.variant]
        for tuning in tunings
        if tuning.variant in recorded and identities.get(tuning.variant) == set(_list_identities(list_runs([tuning])))
    }


def resume_tuning(study: Study, fingerprint: Callable[[Data], str], folder: Path) -> Tuning:
    """Return the tuning of a study, resumed from its results folder: trials, known winners, and missing runs.

    A winner in the folder's study.yaml, or in the study that is run, stays even where the records of its trials are
    lost: the study's own runs have been trained with it. Raises StorageError where the record of a trial is damaged.
    """
    tunings = plan_tuning(study, fingerprint)
    runs = list_runs(tunings)
    winners = {**find_frozen_winners(tunings, read_saved_winners(folder), read_saved_tuning(folder)), **study.tuned}
    open_tunings = tuple(tuning for tuning in tunings if tuning.variant not in winners)
    state = ProgressState(f"{study.name}, tuning", count_runs(open_tunings))
    return Tuning(runs, winners, TuningSource(open_tunings, RecordStore(folder / "records"), state))


@dataclass(frozen=True, slots=True)
class Tuning:
    """The tuning of a study: all its runs, the winners known so far, and the source of the missing runs."""

    runs: tuple[TuningRun, ...]  # every run that it may need, for the manifest
    frozen: Mapping[str, TuningWinner]  # winners that study.yaml has; they stay, whatever the records are
    source: TuningSource  # for the other variants

    @property
    def winners(self) -> dict[str, TuningWinner]:
        """The winner of every variant whose tuning is recorded."""
        return {**self.frozen, **self.source.find_winners()}

    def list_remaining(self) -> list[StudyCell]:
        """Return the runs that are still to be trained, to predict their time.

        At a rung whose trials are not known yet the first ones are taken: a rung has the same cost for any of them, as
        long as the tuned values do not change the net.
        """
        records, remaining = self.source.read_records(), dict[str, StudyCell]()
        for tuning in self.source.tunings:
            for rung, (_, count) in enumerate(tuning.tune.rungs):
                selected = tuning.select_trials(rung, records) or tuning.trials[:count]
                cells = (cell for trial in selected for cell in trial.rungs[rung])
                remaining |= {cell.key: cell for cell in cells if cell.key not in records}
        return list(remaining.values())


@dataclass
class TuningSource:
    """The missing runs of a tuning, rung by rung, as a source for the scheduler."""

    stops_runs = False

    tunings: Sequence[VariantTuning]
    store: RecordStore
    state: ProgressState
    failed: list[str] = field(default_factory=list)  # titles of runs that an exception has ended
    _records: dict[str, Record] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)

    def take_next_run(self) -> StudyCell | None:
        """Return the next run that is neither recorded nor with a worker."""
        cell = next((cell for cell in self._list_missing() if cell.key not in self._running), None)
        if cell is not None:
            self._running.add(cell.key)
        return cell

    def report_epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Return False: a trial trains to the end of its rung and is never stopped."""
        return False

    def finish_run(self, cell: StudyCell, record: Record) -> None:
        """Add a record."""
        self._running.discard(cell.key)
        self._records[cell.key] = record
        if record.outcome is Outcome.FAILED:
            self.failed.append(cell.title)

    def requeue_run(self, cell: StudyCell) -> None:
        """Mark a lost run as one to hand out again."""
        self._running.discard(cell.key)

    def read_records(self) -> dict[str, Record]:
        """Return the records of the tuning, by key."""
        for cell in self._list_cells():
            if cell.key not in self._records and cell.key in self.store:
                self._records[cell.key] = self.store.get(cell.key)
        return self._records

    def find_missing(self) -> list[StudyCell]:
        """Return the needed runs without a record, as far as they are known, and add them to the forecast."""
        self.state.recorded = len(self.read_records())
        missing = list(self._list_missing())
        self.state.forecast.expect(missing)
        return missing

    def raise_for_failures(self, lost: Sequence[str]) -> None:
        """Raise RunsFailedError if a run has failed, or was `lost`: without it no winner is known."""
        if self.failed or lost:
            counts = f"{len(self.failed)} failed, {len(lost)} lost: {', '.join([*self.failed, *lost][:5])}"
            raise RunsFailedError(f"the tuning is not complete; {counts}; --retry failed trains failed trials again")

    def find_winners(self) -> dict[str, TuningWinner]:
        """Return the winner of every variant whose tuning is recorded."""
        records = self.read_records()
        winners = {tuning.variant: tuning.find_winner(records) for tuning in self.tunings}
        return {name: winner for name, winner in winners.items() if winner is not None}

    def _list_cells(self) -> Iterator[StudyCell]:
        return (cell for tuning in self.tunings for trial in tuning.trials for cells in trial.rungs for cell in cells)

    def _list_missing(self) -> Iterator[StudyCell]:
        seen: set[str] = set()  # variants that differ only in `data.evaluate` share their trials
        for tuning in self.tunings:
            for rung in range(len(tuning.tune.rungs)):
                selected = tuning.select_trials(rung, self._records)
                for cell in (cell for trial in selected or () for cell in trial.rungs[rung]):
                    if cell.key not in self._records and cell.key not in seen:
                        seen.add(cell.key)
                        yield cell


def mirror_tuning(source: TuningSource, study: str, storage: str) -> None:
    """Add the recorded trials to the ledger, as one Optuna study per variant, for optuna-dashboard.

    Of each trial the run with the most epochs is added.
    """
    records = source.read_records()
    for tuning in source.tunings:
        longest = {
            trial.number: next((cells[0].key for cells in trial.rungs[::-1] if cells[0].key in records), None)
            for trial in tuning.trials
        }
        parameters = TrialParameters.from_values(
            {str(trial.number): {path: encode_choice(v) for path, v in trial.values.items()} for trial in tuning.trials}
        )
        with closing(Ledger.open(f"{study}: tuning of {tuning.variant}", storage)) as ledger:
            mirrored = ledger.read_outcomes().keys()
            for trial in tuning.trials:
                key = longest[trial.number]
                if key is not None and key not in mirrored:
                    is_final = key == trial.rungs[-1][0].key
                    # Trials from before an edit of the space stay in the study, which then takes no others.
                    with suppress(LevelsChangedError):
                        ledger.mirror(records[key], str(trial.number), parameters, pruned=not is_final)


def count_runs(tunings: Sequence[VariantTuning]) -> int:
    """Return how many different runs a tuning trains in all, over every rung."""
    counts: dict[str, int] = {}  # by the key of the first run, which variants that share their trials have in common
    for tuning in tunings:
        first = tuning.trials[0].rungs[0][0].key
        counts[first] = sum(count for _, count in tuning.tune.rungs) * tuning.tune.seeds
    return sum(counts.values())


def _list_points(variant: Variant) -> list[dict[str, Any]]:
    """Return the settings of a variant's trials: the variant as written, if it is in the space, then sampled points.

    The written setting is a trial, so that the study's recipe competes with the sampled points.
    """
    tune = variant.tune
    assert tune is not None
    written = {path: get_model_value(variant, path, NO_VALUE) for path in tune.space}
    is_inside = all(_contains(tune.space[path], value) for path, value in written.items())
    sampled = sample_points(tune.space, tune.trials - is_inside, tune.sampler)
    return [written, *sampled] if is_inside else sampled


def _contains(dimension: Any, value: Any) -> bool:
    if isinstance(dimension, NumberRange):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return bool(is_number and dimension.low <= value <= dimension.high)
    return value in dimension


def _build_trial(
    resolved: width_matching.ResolvedVariant, number: int, values: Mapping[str, Any], fingerprint: str
) -> Trial:
    tune, variant = resolved.variant.tune, resolved.variant
    assert tune is not None
    rungs = []
    for epochs, _ in tune.rungs:
        train = resolved.train.model_copy(update={"epochs": epochs})
        # A trial reads no test set, so the way of testing must not make it another run.
        data = variant.data.model_copy(update={"evaluate": Evaluate()})
        cells = []
        for seed in range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + tune.seeds):
            run = Run(arch=resolved.arch, data=data, train=train, fingerprint=fingerprint, seed=seed, test=False)
            name = f"tune-{variant.name}-{number}@{epochs}"
            work = compute_work(run, resolved.costs.macs)
            cells.append(StudyCell(name, seed, run, resolved.costs.as_dict(), dict(values), work))
        rungs.append(tuple(cells))
    return Trial(number, values, tuple(rungs))


def _compute_mean_error(cells: Sequence[StudyCell], records: Mapping[str, Record]) -> float | None:
    """Return the mean validation error over the seeds; infinite where one diverged, None where one is missing."""
    present = [records[cell.key] for cell in cells if cell.key in records]
    if len(present) < len(cells) or any(record.outcome is Outcome.FAILED for record in present):
        return None
    return fmean(
        1 - record.epochs[-1].val_accuracy if record.outcome is Outcome.FINISHED else inf for record in present
    )


def _has_trained(record: Record) -> bool:
    """Return whether a run finished, and not at chance level as far as its record shows."""
    return record.outcome is Outcome.FINISHED and record.is_stalled is not True


def _list_identities(runs: Sequence[TuningRun]) -> Iterator[tuple[int, int, int, str]]:
    return ((run.trial, run.epochs, run.seed, run.key) for run in runs)
