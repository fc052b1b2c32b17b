"""The proposals of a search: their nets and runs, their records, and which of them are open."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from vgg_ablate.config.search import FIRST_SEARCH_SEED, Search
from vgg_ablate.config.study import Study
from vgg_ablate.config.training import Data
from vgg_ablate.models.width_matching import ResolvedVariant, resolve_point
from vgg_ablate.records import Outcome, Record
from vgg_ablate.runs.plan import StudyCell, build_cells
from vgg_ablate.runs.search.proposal import JudgedProposal, Proposal

# The validation error of a run that diverged or did not fit into memory. Without a value the sampler would learn
# nothing from it and propose the same region again.
_WORST_ERROR = 1.0


@dataclass(frozen=True)
class ProposalPlanner:
    """Turns proposals and winners into nets, and nets into runs."""

    study: Study
    design: Search
    fingerprint: Callable[[Data], str]

    def resolve(self, proposal: Proposal, name: str) -> ResolvedVariant:
        """Return the net of a proposal as the variant `name`. Raises SpecError where the net cannot exist."""
        return resolve_point(self.study, name, proposal.point)

    def plan_runs(self, resolved: ResolvedVariant) -> tuple[StudyCell, ...]:
        """Return the runs of a proposal, one per seed of the search."""
        if self.design.epochs is not None:
            train = resolved.variant.train.model_copy(update={"epochs": self.design.epochs})
            resolved = replace(resolved, variant=resolved.variant.model_copy(update={"train": train}))
        # Proposals have seeds of their own, so that the winners are judged on seeds that did not choose them.
        return build_cells(
            [resolved], self.fingerprint, range(FIRST_SEARCH_SEED, FIRST_SEARCH_SEED + self.design.seeds)
        )

    def plan_winners(self, best: Sequence[JudgedProposal]) -> tuple[StudyCell, ...]:
        """Return the runs of the winners on the study's own seeds, since the best of many scores is biased."""
        names = zip(self.design.winner_names, best, strict=False)
        resolved = [self.resolve(judged.proposal, name) for name, judged in names]
        return build_cells(resolved, self.fingerprint, self.study.seed_list)


@dataclass
class OpenProposal:
    """A proposal whose runs are not all recorded."""

    proposal: Proposal
    cells: tuple[StudyCell, ...]  # one per seed
    records: dict[int, Record] = field(default_factory=dict)  # by index in `cells`
    submitted: set[int] = field(default_factory=set)  # indices of cells that were handed out or are recorded
    is_stopped: bool = False  # by the pruner

    @property
    def is_recorded(self) -> bool:
        """Whether every seed has its record."""
        return len(self.records) == len(self.cells)

    @property
    def is_running(self) -> bool:
        """Whether a cell that was handed out has no record yet."""
        return bool(self.submitted - self.records.keys())

    def compute_mean_error(self) -> float:
        """Return the mean validation error over the recorded seeds, as a fraction."""
        return fmean(_get_error(record) for record in self.records.values())

    def compute_values(self, objectives: Sequence[str]) -> list[float]:
        """Return the value of each objective: means over the seeds, or a cost of the net."""
        values: list[float] = []
        for objective in objectives:
            if objective == "val_error":
                values.append(self.compute_mean_error())
            elif objective == "train_seconds":
                values.append(fmean(record.train_seconds for record in self.records.values()))
            else:
                values.append(float(self.cells[0].costs[objective]))
        return values

    def describe_runs(self) -> dict[str, object]:
        """Return what the ledger keeps of the runs besides their values."""
        records = list(self.records.values())
        attributes: dict[str, object] = {
            "keys": " ".join(record.key for record in records),
            "train_seconds": round(fmean(record.train_seconds for record in records), 3),
        }
        if unfinished := [record for record in records if record.outcome is not Outcome.FINISHED]:
            attributes |= {"outcome": str(unfinished[0].outcome), "reason": unfinished[0].reason}
        return attributes


class ProposalTracker:
    """Every proposal of a search, with its runs."""

    def __init__(self) -> None:
        self.cells: dict[str, tuple[StudyCell, ...]] = {}  # variant -> its runs, without seeds that are not needed
        self.open: dict[int, OpenProposal] = {}  # by number of the proposal
        self.identities: set[str] = set()  # of every admitted point; the budget counts these
        self.train_seconds: dict[str, float] = {}  # by key of a proposed run
        self._members: dict[str, list[tuple[OpenProposal, int]]] = {}  # key -> proposals with this run, and its index

    def add(self, proposal: Proposal, cells: tuple[StudyCell, ...]) -> bool:
        """Open a proposal; return whether its point is new."""
        is_new = proposal.identity not in self.identities
        self.identities.add(proposal.identity)
        opened = self.open[proposal.number] = OpenProposal(proposal, cells)
        if is_new:
            self.cells[proposal.name] = cells
        for index, cell in enumerate(cells):
            self._members.setdefault(cell.key, []).append((opened, index))
        return is_new

    def add_judged(self, proposal: Proposal, cells: tuple[StudyCell, ...]) -> None:
        """Add a proposal that an earlier start has judged by these runs."""
        self.identities.add(proposal.identity)
        self.cells[proposal.name] = cells

    def list_open(self, key: str) -> list[tuple[OpenProposal, int]]:
        """Return the open proposals that have a run with this key, with the run's index in each.

        There can be several: different points may resolve to one net, and a sampler may repeat a point.
        """
        return [entry for entry in self._members.get(key, ()) if entry[0].proposal.number in self.open]

    def list_cells(self) -> Iterator[StudyCell]:
        """Yield the runs of all proposals."""
        return (cell for cells in self.cells.values() for cell in cells)

    def take_next_seed(self, *, sequential: bool) -> StudyCell | None:
        """Return the next run of the open proposals, which counts as handed out; None where no run is due.

        With `sequential`, a proposal's next seed waits for the record of the one before.
        """
        for opened in self.open.values():
            waiting = set(range(len(opened.cells))) - opened.submitted
            if waiting and not opened.is_stopped and not (sequential and opened.is_running):
                index = min(waiting)
                opened.submitted.add(index)
                return opened.cells[index]
        return None

    def close(self, opened: OpenProposal) -> int:
        """Close a proposal; return how many of its runs are not needed any more."""
        del self.open[opened.proposal.number]
        if opened.proposal.name in self.cells:
            self.cells[opened.proposal.name] = tuple(opened.cells[index] for index in sorted(opened.records))
        return len(opened.cells) - len(opened.records)


def _get_error(record: Record) -> float:
    return _WORST_ERROR if record.tested is None else 1 - record.tested.val_accuracy
