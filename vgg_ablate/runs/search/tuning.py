"""The tuning of a study's variants: equal numbers of trials on validation, and the winner of each variant.

Which trials there are is a function of the study alone, and which of them go on is a function of their records: with
successive halving a rung ends before the next begins. So a tuning that was killed goes on where it was, on any number
of workers, and a tuning that is recorded is never trained again.
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
from vgg_ablate.config.search import FIRST_SEARCH_SEED, NumberRange, encode_choice
from vgg_ablate.config.study import Study, Variant
from vgg_ablate.config.training import Data, Evaluate
from vgg_ablate.config.tuning import Tune, TuningWinner
from vgg_ablate.models import width_matching
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore, Run, TuningRun
from vgg_ablate.runs.ledger.ledger import Ledger, LevelsChangedError, TrialParameters
from vgg_ablate.runs.plan import StudyCell, cache_fingerprints, compute_work
from vgg_ablate.runs.results_dir import read_saved_tuning, read_saved_winners
from vgg_ablate.runs.search.sampler import sample_points

NO_VALUE = object()


@dataclass(frozen=True, slots=True)
class Trial:
    """One setting of a variant, with its runs at every number of epochs."""

    number: int
    values: Mapping[str, Any]  # path -> value
    rungs: tuple[tuple[StudyCell, ...], ...]  # by rung, then by seed of the tuning


@dataclass(frozen=True, slots=True)
class VariantTuning:
    """All trials of one variant."""

    variant: str
    tune: Tune
    trials: tuple[Trial, ...]

    def select_trials(self, rung: int, records: Mapping[str, Record]) -> tuple[Trial, ...] | None:
        """Return the trials that train at a rung; None where the rung before is not recorded yet."""
        selected = self.trials
        for before in range(rung):
            scores = {trial.number: _mean_error(trial.rungs[before], records) for trial in selected}
            if any(score is None for score in scores.values()):
                return None
            count = self.tune.rungs[before + 1][1]
            # Equal errors: the trial with the lower number, so that the order of training never matters.
            ranked = sorted(selected, key=lambda trial: (scores[trial.number], trial.number))
            selected = tuple(sorted(ranked[:count], key=lambda trial: trial.number))
        return selected

    def find_winner(self, records: Mapping[str, Record]) -> TuningWinner | None:
        """Return the winner, without values where no trial trained above chance; None where runs are missing."""
        last = len(self.tune.rungs) - 1
        selected = self.select_trials(last, records)
        if selected is None:
            return None
        scores = {trial.number: _mean_error(trial.rungs[last], records) for trial in selected}
        if any(score is None for score in scores.values()):
            return None
        trained = [trial for trial in selected if all(_has_trained(records[c.key]) for c in trial.rungs[last])]
        if not trained:
            return TuningWinner()
        best = min(trained, key=lambda trial: (scores[trial.number], trial.number))
        return TuningWinner(trial=best.number, values=dict(best.values), val_error=scores[best.number])


def plan_tuning(study: Study, fingerprint: Callable[[Data], str]) -> tuple[VariantTuning, ...]:
    """Return the trials of every variant of a study that has not been tuned yet; empty without `tune`.

    Raises SpecError where a trial's net cannot exist.
    """
    if study.tune is None:
        return ()
    study, once = study.without_winners(), cache_fingerprints(fingerprint)
    count = study.tune.trials if study.tune else 0
    points = {variant.name: _points(variant) for variant in study.variants}
    trials: dict[str, list[Trial]] = {name: [] for name in points}
    for number in range(count):
        chosen = {name: TuningWinner(trial=number, values=values[number]) for name, values in points.items()}
        # All variants are resolved together, since the width of one may depend on the costs of another.
        for resolved in width_matching.resolve_variants(study.with_winners(chosen).variants):
            name = resolved.variant.name
            trials[name].append(_trial(resolved, number, points[name][number], once(resolved.variant.data)))
    return tuple(
        VariantTuning(variant.name, variant.tune, tuple(trials[variant.name]))
        for variant in study.variants
        if variant.tune is not None
    )


def list_runs(tunings: Sequence[VariantTuning]) -> tuple[TuningRun, ...]:
    """Return every run that the tuning may need, for the manifest; most trials never reach the later rungs."""
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
    by_variant = {name: set(_identity(list(of))) for name, of in groupby(runs, key=lambda run: run.variant)}
    return {
        tuning.variant: recorded[tuning.variant]
        for tuning in tunings
        if tuning.variant in recorded and by_variant.get(tuning.variant) == set(_identity(list_runs([tuning])))
    }


def resume_tuning(study: Study, fingerprint: Callable[[Data], str], folder: Path) -> Tuning:
    """Return the tuning of a study as a results folder has left it: trials, known winners, and what is missing.

    A winner in the folder's study.yaml, or in the study that is run, stays: no trial is repeated for it. Raises
    StorageFailed where a record of a trial is torn.
    """
    tunings = plan_tuning(study, fingerprint)
    runs = list_runs(tunings)
    winners = {**find_frozen_winners(tunings, read_saved_winners(folder), read_saved_tuning(folder)), **study.tuned}
    open_tunings = tuple(tuning for tuning in tunings if tuning.variant not in winners)
    return Tuning(runs, winners, TuningSource(open_tunings, RecordStore(folder / "records")))


@dataclass(frozen=True, slots=True)
class Tuning:
    """The tuning of a study at one moment."""

    runs: tuple[TuningRun, ...]  # that it may need, for the manifest
    frozen: Mapping[str, TuningWinner]  # winners that are known without looking at records
    source: TuningSource  # of the other variants

    @property
    def winners(self) -> dict[str, TuningWinner]:
        """The winner of every variant whose tuning is recorded."""
        return {**self.frozen, **self.source.find_winners()}

    def list_remaining(self) -> list[StudyCell]:
        """Return the runs that are still to be trained, of later rungs too, where the first trials stand for others."""
        records, remaining = self.source.read_records(), dict[str, StudyCell]()
        for tuning in self.source.tunings:
            for rung, (_, count) in enumerate(tuning.tune.rungs):
                selected = tuning.select_trials(rung, records) or tuning.trials[:count]
                cells = (cell for trial in selected for cell in trial.rungs[rung])
                remaining |= {cell.key: cell for cell in cells if cell.key not in records}
        return list(remaining.values())


@dataclass
class TuningSource:
    """The missing runs of a tuning, rung by rung, as a source of the driver's loop."""

    tunings: Sequence[VariantTuning]
    store: RecordStore
    failed: list[str] = field(default_factory=list)  # titles of runs that a bug has ended
    _records: dict[str, Record] = field(default_factory=dict)
    _running: set[str] = field(default_factory=set)

    def next(self) -> StudyCell | None:
        """Return the next run that is neither recorded nor with a worker."""
        return next((cell for cell in self._missing() if cell.key not in self._running and self._start(cell)), None)

    def epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Return False: a trial trains to the end of its rung."""
        return False

    def ended(self, cell: StudyCell, record: Record) -> None:
        """Take note of a record."""
        self._running.discard(cell.key)
        self._records[cell.key] = record
        if record.outcome is Outcome.FAILED:
            self.failed.append(cell.title)

    def again(self, cell: StudyCell) -> None:
        """Hand the run out again."""
        self._running.discard(cell.key)

    def read_records(self) -> dict[str, Record]:
        """Return the records of the tuning by key."""
        for cell in self._cells():
            if cell.key not in self._records and cell.key in self.store:
                self._records[cell.key] = self.store.get(cell.key)
        return self._records

    def find_missing(self) -> list[StudyCell]:
        """Return the runs without a record that are known to be needed."""
        self.read_records()
        return list(self._missing())

    def find_winners(self) -> dict[str, TuningWinner]:
        """Return the winner of every variant whose tuning is recorded."""
        records = self.read_records()
        found = {tuning.variant: tuning.find_winner(records) for tuning in self.tunings}
        return {name: winner for name, winner in found.items() if winner is not None}

    def _start(self, cell: StudyCell) -> bool:
        self._running.add(cell.key)
        return True

    def _cells(self) -> Iterator[StudyCell]:
        return (cell for tuning in self.tunings for trial in tuning.trials for cells in trial.rungs for cell in cells)

    def _missing(self) -> Iterator[StudyCell]:
        seen: set[str] = set()  # variants that differ in their evaluation alone share their trials
        for tuning in self.tunings:
            for rung in range(len(tuning.tune.rungs)):
                selected = tuning.select_trials(rung, self._records)
                for cell in (cell for trial in selected or () for cell in trial.rungs[rung]):
                    if cell.key not in self._records and cell.key not in seen:
                        seen.add(cell.key)
                        yield cell


def mirror_tuning(
    tunings: Sequence[VariantTuning],
    records: Mapping[str, Record],
    study: str,
    storage: str,
) -> None:
    """Add the recorded trials to the ledger, one Optuna study per variant, so that optuna-dashboard shows them."""
    for tuning in tunings:
        longest = {
            trial.number: next((cells[0].key for cells in trial.rungs[::-1] if cells[0].key in records), None)
            for trial in tuning.trials
        }
        parameters = TrialParameters(
            {str(trial.number): {p: encode_choice(v) for p, v in trial.values.items()} for trial in tuning.trials}
        )
        with closing(Ledger.open(f"{study}: tuning of {tuning.variant}", storage)) as ledger:
            mirrored = ledger.mirrored()
            for trial in tuning.trials:
                key = longest[trial.number]
                if key is not None and key not in mirrored:
                    last = key == trial.rungs[-1][0].key
                    with suppress(LevelsChangedError):  # of another space, from before the study was edited
                        ledger.mirror(records[key], str(trial.number), parameters, pruned=not last)


def count_runs(tunings: Sequence[VariantTuning]) -> int:
    """Return how many different runs a tuning trains in all."""
    shared: dict[str, int] = {}
    for tuning in tunings:
        first = tuning.trials[0].rungs[0][0].key
        shared[first] = sum(count for _, count in tuning.tune.rungs) * tuning.tune.seeds
    return sum(shared.values())


def _points(variant: Variant) -> list[dict[str, Any]]:
    """The settings of a variant's trials: first the variant as written, if it lies in the space, then the sampler's."""
    tune = variant.tune
    assert tune is not None
    written = {path: get_model_value(variant, path, NO_VALUE) for path in tune.space}
    inside = all(_contains(tune.space[path], value) for path, value in written.items())
    sampled = sample_points(tune.space, tune.trials - inside, tune.sampler)
    return [written, *sampled] if inside else sampled


def _contains(dimension: Any, value: Any) -> bool:
    if isinstance(dimension, NumberRange):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return bool(number and dimension.low <= value <= dimension.high)
    return value in dimension


def _trial(resolved: width_matching.ResolvedVariant, number: int, values: Mapping[str, Any], fingerprint: str) -> Trial:
    tune, variant = resolved.variant.tune, resolved.variant
    assert tune is not None
    rungs = []
    for epochs, _ in tune.rungs:
        train = resolved.train.model_copy(update={"epochs": epochs})
        data = variant.data.model_copy(update={"evaluate": Evaluate()})  # the test set is never read
        cells = []
        for seed in range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + tune.seeds):
            run = Run(arch=resolved.arch, data=data, train=train, fingerprint=fingerprint, seed=seed, test=False)
            name = f"tune-{variant.name}-{number}@{epochs}"
            cells.append(
                StudyCell(
                    name, seed, run, resolved.costs.as_dict(), dict(values), compute_work(run, resolved.costs.macs)
                )
            )
        rungs.append(tuple(cells))
    return Trial(number, values, tuple(rungs))


def _mean_error(cells: Sequence[StudyCell], records: Mapping[str, Record]) -> float | None:
    """The mean validation error over the tuning's seeds; infinite where one diverged, None where one is missing."""
    found = [records.get(cell.key) for cell in cells]
    if any(record is None or record.outcome is Outcome.FAILED for record in found):
        return None
    errors = [
        1 - record.epochs[-1].val_accuracy if record.outcome is Outcome.FINISHED else inf
        for record in found
        if record is not None
    ]
    return fmean(errors)


def _has_trained(record: Record) -> bool:
    """Did the trial finish, above chance? Where its record cannot say, finishing is enough."""
    return record.outcome is Outcome.FINISHED and record.stalled is not True


def _identity(runs: Sequence[TuningRun]) -> Iterator[tuple[int, int, int, str]]:
    return ((run.trial, run.epochs, run.seed, run.key) for run in runs)
