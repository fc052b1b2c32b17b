"""The plan of a study: variants x seeds as runs with content keys. Pure: reads no file and trains nothing."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from vgg_ablate.config.study import Study
from vgg_ablate.config.training import DECLARATION_FIELDS, Data
from vgg_ablate.errors import SpecError
from vgg_ablate.manifest import PlannedRun, TuningRun, format_run_name
from vgg_ablate.models import width_matching
from vgg_ablate.records import Run


@dataclass(frozen=True, slots=True)
class StudyCell:
    """One run of a study: a variant on a seed."""

    variant: str
    seed: int
    run: Run
    costs: dict[str, int]  # per example
    changes: dict[str, object]  # what the variant changes of the base: path -> value
    work: float  # macs of the whole training, up to a factor that is the same for all runs of one data set
    horizon: float | None = None  # level of the study's horizons; None: the study has none
    shares: tuple[StudyCell, ...] = ()  # further cells that get their records from this cell's training
    repeats: str = ""  # key of a recorded run whose training is repeated for another evaluation
    members: tuple[str, ...] = ()  # keys of recorded runs whose stored predictions are averaged instead of a training

    @property
    def key(self) -> str:
        """The content key of the run."""
        return self.run.key

    @property
    def title(self) -> str:
        """Variant and seed for display: `five/3`."""
        return format_run_name(self.variant, self.seed)

    def is_beyond(self, level: float | None) -> bool:
        """Return whether the cell is at a higher level of the horizons; never without a level."""
        return level is not None and self.horizon is not None and self.horizon > level

    @property
    def planned(self) -> PlannedRun:
        """The cell as it is listed in a manifest."""
        training_key = self.run.training_key
        return PlannedRun(
            variant=self.variant,
            seed=self.seed,
            key=self.key,
            training_key="" if training_key == self.key else training_key,
        )


class PlanDivision(NamedTuple):
    """The missing cells of a plan, by how their records are made."""

    trainings: tuple[StudyCell, ...]  # one cell per training; `shares` holds the others
    averages: tuple[StudyCell, ...]  # ensembles whose members are recorded, or will be, with stored predictions


@dataclass(frozen=True)
class Plan:
    """Every cell of a study in the order of training."""

    study: Study
    fingerprint: Callable[[Data], str]
    cells: tuple[StudyCell, ...]
    tuning: tuple[TuningRun, ...] = ()  # the trials by which the study's variants were tuned

    @cached_property
    def planned(self) -> tuple[PlannedRun, ...]:
        """The cells as a manifest lists them: by variant, then by seed."""
        order = {variant.name: index for index, variant in enumerate(self.study.all_variants)}
        cells = sorted(self.cells, key=lambda cell: order[cell.variant])
        return tuple(cell.planned for cell in cells)

    def list_missing(self, recorded: set[str], until: float | None = None) -> tuple[StudyCell, ...]:
        """Return the cells whose run is not recorded; of several cells with the same run, only the first.

        With `until`, return only cells at levels of the horizons up to this one.
        """
        first = {cell.key: cell for cell in reversed(self.cells)}
        wanted = (cell for cell in self.cells if cell.key not in recorded and first[cell.key] is cell)
        return tuple(cell for cell in wanted if not cell.is_beyond(until))

    def divide(
        self,
        recorded: set[str],
        kept: Collection[str] = (),
        unfinished: Collection[str] = (),
        until: float | None = None,
        needed: Collection[str] | None = None,
    ) -> PlanDivision:
        """Divide the missing cells, at levels of the horizons up to `until`, into trainings and averages.

        With `needed`, divide only the cells with these keys.

        `kept`: keys of finished runs whose predictions are stored. `unfinished`: training keys that have a checkpoint,
        from which a recorded training continues instead of being repeated.
        """
        missing = [cell for cell in self.list_missing(recorded, until) if needed is None or cell.key in needed]
        will_be_kept = {cell.key for cell in missing if cell.run.train.keep == "predictions"}.union(kept)
        averages = {
            cell.key: replace(cell, members=keys, work=0.0)
            for cell in missing
            if (keys := _find_members(cell, will_be_kept))
        }
        recorded_trainings = {cell.run.training_key: cell.key for cell in self.cells if cell.key in recorded}
        groups: dict[str, list[StudyCell]] = {}
        for cell in missing:
            if cell.key not in averages:
                groups.setdefault(cell.run.training_key, []).append(cell)
        trainings = []
        for training_key, (first, *others) in groups.items():
            repeats = "" if training_key in unfinished else recorded_trainings.get(training_key, "")
            trainings.append(replace(first, shares=tuple(others), repeats=repeats))
        return PlanDivision(tuple(trainings), tuple(averages.values()))


def build_plan(
    study: Study,
    fingerprint: Callable[[Data], str],
    tuning: tuple[TuningRun, ...] = (),
    nets: Sequence[width_matching.ResolvedVariant] = (),
) -> Plan:
    """Plan a study: the lowest level of its horizons first, then seed by seed, and per seed the longest run first.

    `fingerprint` returns the fingerprint of a data set's pixels. `nets` are those of all variants, if they are resolved
    already. Raises SpecError if an arch cannot exist or a trend has no slope, and what `fingerprint` raises if the data
    are missing.
    """
    fingerprint_once = cache_fingerprints(fingerprint)
    resolved = {item.variant.name: item for item in nets or width_matching.resolve_variants(study.all_variants)}
    if problems := study.find_trend_problems({name: item.costs.as_dict() for name, item in resolved.items()}):
        raise SpecError(problems)
    # Seed by seed, because an interrupted study then has every variant on the same seeds. The longest first, because
    # a long run that starts last would train alone while the other workers wait.
    cells = [
        cell
        for variants in study.variants_by_horizon
        for seed in study.seed_list
        for cell in sorted(
            build_cells([resolved[variant.name] for variant in variants], fingerprint_once, [seed]),
            key=lambda cell: -cell.work,
        )
    ]
    return Plan(study, fingerprint, tuple(cells), tuning)


def build_cells(
    resolved: Iterable[width_matching.ResolvedVariant], fingerprint: Callable[[Data], str], seeds: Iterable[int]
) -> tuple[StudyCell, ...]:
    """Return the cells of these variants on these seeds, seed by seed."""
    return tuple(_build_cell(item, fingerprint(item.variant.data), seed) for seed in seeds for item in resolved)


def cache_fingerprints(fingerprint: Callable[[Data], str]) -> Callable[[Data], str]:
    """Wrap `fingerprint` so that it is called once for all data that are declared alike.

    Variants that differ in augmentation or image size have the same examples, and listing 60,000 files takes seconds.
    """
    known: dict[tuple[object, ...], str] = {}

    def fingerprint_once(data: Data) -> str:
        declaration = tuple(getattr(data, field) for field in sorted(DECLARATION_FIELDS - {"image_size"}))
        if declaration not in known:
            known[declaration] = fingerprint(data)
        return known[declaration]

    return fingerprint_once


def compute_work(run: Run, macs: int) -> float:
    """Return the work of a training relative to others on the same data: macs x epochs x examples."""
    return float(macs) * run.train.epochs * (run.data.limit or 1)


def _find_members(cell: StudyCell, kept: Collection[str]) -> tuple[str, ...]:
    """Return the keys of an ensemble's nets as runs of their own, if the predictions of all are in `kept`."""
    keys = tuple(net.key for net in cell.run.nets) if cell.run.train.ensemble else ()
    return keys if all(key in kept for key in keys) else ()


def _build_cell(resolved: width_matching.ResolvedVariant, fingerprint: str, seed: int) -> StudyCell:
    variant = resolved.variant
    run = Run(arch=resolved.arch, data=variant.data, train=resolved.train, fingerprint=fingerprint, seed=seed)
    work = compute_work(run, resolved.costs.macs)
    return StudyCell(variant.name, seed, run, resolved.costs.as_dict(), variant.changes, work, variant.horizon)
