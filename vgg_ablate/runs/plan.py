"""A study -> the runs that it asks for: variants x seeds, keyed by content. Pure: nothing is read, nothing trains."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from vgg_ablate.config.study import Study
from vgg_ablate.config.training import DECLARATION_FIELDS, Data
from vgg_ablate.errors import SpecError
from vgg_ablate.models import width_matching
from vgg_ablate.records import PlannedRun, Run, TuningRun


@dataclass(frozen=True, slots=True)
class StudyCell:
    """One run that a study asks for. Costs are per example; `work` is macs of the whole training, in proportion."""

    variant: str
    seed: int
    run: Run
    costs: dict[str, int]
    changes: dict[str, object]
    work: float
    horizon: float | None = None  # the level of the study's horizons; None: it has none
    shares: tuple[StudyCell, ...] = ()  # further cells that get their records from this cell's training
    repeats: str = ""  # key of a recorded run of the same training, which is trained again for this evaluation
    members: tuple[str, ...] = ()  # keys of recorded runs whose kept predictions are averaged instead of a training

    @property
    def key(self) -> str:
        """The run's name."""
        return self.run.key

    @property
    def title(self) -> str:
        """For people: `five/3`."""
        return f"{self.variant}/{self.seed}"

    @property
    def planned(self) -> PlannedRun:
        """The cell as a manifest has it."""
        training_key = self.run.training_key
        return PlannedRun(
            variant=self.variant,
            seed=self.seed,
            key=self.key,
            training_key="" if training_key == self.key else training_key,
        )


class PlanDivision(NamedTuple):
    """What is missing of a plan, by how it is made."""

    trainings: tuple[StudyCell, ...]  # one cell per training, with those that share it
    averages: tuple[StudyCell, ...]  # ensembles of runs that are recorded, or will be, with their predictions kept


@dataclass(frozen=True)
class Plan:
    """Every cell of a study, in the order in which they are to run."""

    study: Study
    fingerprint: Callable[[Data], str]
    cells: tuple[StudyCell, ...]
    tuning: tuple[TuningRun, ...] = ()  # what the study's variants were tuned by

    @cached_property
    def planned(self) -> tuple[PlannedRun, ...]:
        """The cells as a manifest has them: by variant, then seed."""
        order = {variant.name: index for index, variant in enumerate(self.study.all_variants)}
        cells = sorted(self.cells, key=lambda cell: order[cell.variant])
        return tuple(cell.planned for cell in cells)

    def missing(self, recorded: set[str], until: float | None = None) -> tuple[StudyCell, ...]:
        """The cells whose run is not among the recorded keys; of cells that share a run, the first.

        With `until`, those of the horizons up to this level.
        """
        first = {cell.key: cell for cell in reversed(self.cells)}
        wanted = (cell for cell in self.cells if cell.key not in recorded and first[cell.key] is cell)
        return tuple(cell for cell in wanted if until is None or cell.horizon is None or cell.horizon <= until)

    def divide(
        self,
        recorded: set[str],
        kept: Collection[str] = (),
        unfinished: Collection[str] = (),
        until: float | None = None,
    ) -> PlanDivision:
        """Divide the missing cells, of the horizons up to `until`, into trainings and averages.

        `kept`: keys of finished runs whose predictions are stored. `unfinished`: training keys that have a checkpoint,
        from which a recorded training goes on without being repeated.
        """
        missing = self.missing(recorded, until)
        coming = {cell.key for cell in missing if cell.run.train.keep == "predictions"}.union(kept)
        averages = {
            cell.key: replace(cell, members=keys, work=0.0) for cell in missing if (keys := _members(cell, coming))
        }
        known = {cell.run.training_key: cell.key for cell in self.cells if cell.key in recorded}
        groups: dict[str, list[StudyCell]] = {}
        for cell in missing:
            if cell.key not in averages:
                groups.setdefault(cell.run.training_key, []).append(cell)
        trainings = []
        for training_key, (first, *others) in groups.items():
            repeats = "" if training_key in unfinished else known.get(training_key, "")
            trainings.append(replace(first, shares=tuple(others), repeats=repeats))
        return PlanDivision(tuple(trainings), tuple(averages.values()))


def build_plan(study: Study, fingerprint: Callable[[Data], str], tuning: tuple[TuningRun, ...] = ()) -> Plan:
    """The study's cells, the lowest level of its horizons first; then seed by seed, and in a seed the longest first.

    An interrupted study is then balanced, and no long run is left to the end alone. Raises SpecError where an arch
    cannot exist or a trend has no slope, and what `fingerprint` raises where the data are not there.
    """
    once = cache_fingerprints(fingerprint)
    resolved = {one.variant.name: one for one in width_matching.resolve_variants(study.all_variants)}
    if problems := study.find_trend_problems({name: one.costs.as_dict() for name, one in resolved.items()}):
        raise SpecError(problems)
    cells = [
        cell
        for variants in study.variants_by_horizon
        for seed in study.seed_list
        for cell in sorted(
            build_cells([resolved[variant.name] for variant in variants], once, [seed]), key=lambda cell: -cell.work
        )
    ]
    return Plan(study, fingerprint, tuple(cells), tuning)


def build_cells(
    resolved: Iterable[width_matching.ResolvedVariant], fingerprint: Callable[[Data], str], seeds: Iterable[int]
) -> tuple[StudyCell, ...]:
    """These variants on these seeds, seed by seed."""
    return tuple(_cell(one, fingerprint(one.variant.data), seed) for seed in seeds for one in resolved)


def cache_fingerprints(fingerprint: Callable[[Data], str]) -> Callable[[Data], str]:
    """Return `fingerprint` so that it is called once for all data that are declared alike.

    Variants that differ in augmentation or in image size have the same examples, and listing 60,000 files takes time.
    """
    known: dict[tuple[object, ...], str] = {}

    def remembered(data: Data) -> str:
        declared = tuple(getattr(data, field) for field in sorted(DECLARATION_FIELDS - {"image_size"}))
        if declared not in known:
            known[declared] = fingerprint(data)
        return known[declared]

    return remembered


def compute_work(run: Run, macs: int) -> float:
    """What a training costs, in proportion to others on the same data: macs x epochs x examples."""
    return float(macs) * run.train.epochs * (run.data.limit or 1)


def _members(cell: StudyCell, coming: Collection[str]) -> tuple[str, ...]:
    """The keys of an ensemble's nets as runs of their own, where the predictions of all are or will be kept."""
    keys = tuple(net.key for net in cell.run.nets) if cell.run.train.ensemble else ()
    return keys if all(key in coming for key in keys) else ()


def _cell(one: width_matching.ResolvedVariant, fingerprint: str, seed: int) -> StudyCell:
    variant = one.variant
    run = Run(arch=one.arch, data=variant.data, train=one.train, fingerprint=fingerprint, seed=seed)
    cost = compute_work(run, one.costs.macs)
    return StudyCell(variant.name, seed, run, one.costs.as_dict(), variant.changes, cost, variant.horizon)
