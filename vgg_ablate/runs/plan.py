"""A study -> the runs that it asks for: variants x seeds, keyed by content. Pure: nothing is read, nothing trains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from vgg_ablate.records import Planned, Run
from vgg_ablate.spec.arch import Arch
from vgg_ablate.spec.recipe import Data
from vgg_ablate.spec.study import Study, Variant


class Costed(Protocol):
    """What a run needs to know of its arch's costs."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one example's forward pass."""

    def as_dict(self) -> dict[str, int]:
        """Every cost by name."""


class Resolved(Protocol):
    """A variant whose arch is spelled out, shaped and matched: `net.match.Resolved`."""

    @property
    def variant(self) -> Variant:
        """The variant as the study has it."""

    @property
    def arch(self) -> Arch:
        """The normal form."""

    @property
    def costs(self) -> Costed:
        """Of one example."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One run that a study asks for. Costs are per example; `work` is macs of the whole training, in proportion."""

    variant: str
    seed: int
    run: Run
    costs: dict[str, int]
    changes: dict[str, object]
    work: float

    @property
    def key(self) -> str:
        """The run's name."""
        return self.run.key

    @property
    def title(self) -> str:
        """For people: `five/3`."""
        return f"{self.variant}/{self.seed}"


@dataclass(frozen=True)
class Plan:
    """Every cell of a study, in the order in which they are to run."""

    study: Study
    cells: tuple[Cell, ...]

    @cached_property
    def planned(self) -> tuple[Planned, ...]:
        """The cells as a manifest has them: by variant, then seed."""
        order = {variant.name: index for index, variant in enumerate(self.study.variants)}
        cells = sorted(self.cells, key=lambda cell: order[cell.variant])
        return tuple(Planned(variant=cell.variant, seed=cell.seed, key=cell.key) for cell in cells)

    def missing(self, recorded: set[str]) -> tuple[Cell, ...]:
        """The cells whose run is not among the recorded keys; of cells that share a run, the first."""
        first = {cell.key: cell for cell in reversed(self.cells)}
        return tuple(cell for cell in self.cells if cell.key not in recorded and first[cell.key] is cell)


def plan(
    study: Study,
    resolve: Callable[[Sequence[Variant]], Sequence[Resolved]],
    fingerprint: Callable[[Data], str],
) -> Plan:
    """The study's cells, seed by seed, and within a seed the longest first.

    An interrupted study is then balanced, and no long run is left to the end alone. Raises what `resolve`
    (SpecError: an arch that cannot exist) and `fingerprint` (DataMissing) raise.
    """
    resolved = resolve(study.variants)
    fingerprints = _each(fingerprint, [one.variant.data for one in resolved])
    by_seed = (_cells(resolved, fingerprints, seed) for seed in study.seed_list)
    return Plan(study, tuple(cell for cells in by_seed for cell in sorted(cells, key=lambda cell: -cell.work)))


def work(run: Run, macs: int) -> float:
    """What a training costs, in proportion to others on the same data: macs x epochs x examples."""
    return float(macs) * run.train.epochs * (run.data.limit or 1)


def _cells(resolved: Sequence[Resolved], fingerprints: Sequence[str], seed: int) -> Iterator[Cell]:
    for one, fingerprint in zip(resolved, fingerprints, strict=True):
        variant = one.variant
        run = Run(arch=one.arch, data=variant.data, train=variant.train, fingerprint=fingerprint, seed=seed)
        yield Cell(variant.name, seed, run, one.costs.as_dict(), variant.changes, work(run, one.costs.macs))


def _each(fingerprint: Callable[[Data], str], data: Sequence[Data]) -> list[str]:
    """One fingerprint an item; equal data are read once."""
    known: dict[str, str] = {}
    for one in data:
        name = one.model_dump_json()
        if name not in known:
            known[name] = fingerprint(one)
    return [known[one.model_dump_json()] for one in data]
