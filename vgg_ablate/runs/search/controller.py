"""A search as a source of runs: first the plan of the study, then the sampler's proposals, then the winners.

Equal runs are trained once, whichever proposals they belong to. A proposal gets its value once, after its last seed.
The scheduler drives a controller through the four methods of a RunSource; `resume_search` makes one.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from pathlib import Path

from vgg_ablate.config.search import Search
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.manifest import PlannedRun
from vgg_ablate.records import Epoch, Outcome, Record, RecordStore
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.plan import Plan, StudyCell, cache_fingerprints
from vgg_ablate.runs.progress.views import ProgressState
from vgg_ablate.runs.recorded import read_outcomes
from vgg_ablate.runs.results_dir import read_manifest
from vgg_ablate.runs.search.judge import ProposalJudge
from vgg_ablate.runs.search.proposal import JudgedProposal, Proposal
from vgg_ablate.runs.search.proposals import ProposalPlanner, ProposalTracker
from vgg_ablate.runs.search.sampler import OptunaSampler

# Proposals in a row that are outside the constraints or known already, after which the space counts as exhausted.
_MAX_FRUITLESS = 200


def resume_search(plan: Plan, folder: Path, ledger: Ledger) -> SearchController:
    """Return the controller of a search as the results folder and the ledger have left it.

    A lost ledger is rebuilt: the proposals come from the manifest, their values from the records. Raises SpecError
    where the space is not the one with which the search began, and StorageError.
    """
    design = plan.study.search
    assert design is not None  # the driver asks only for searches
    epochs = design.epochs or plan.study.base.train.epochs
    sampler = OptunaSampler.load(ledger, design, epochs * design.seeds)
    manifest = read_manifest(folder)
    sampler.restore_proposals(manifest.provenance.get("proposals", []) if manifest is not None else [])
    proposed = design.count_runs(len(plan.study.seed_list))
    total = None if proposed is None else proposed + len(plan.cells)
    state = ProgressState(plan.study.name, total)
    controller = SearchController(plan, design, sampler, RecordStore(folder / "records"), state)
    controller.resume()
    return controller


class SearchController:
    """The source of a search's runs: decides which run comes next, and judges proposals by their records."""

    needed: set[str] | None = None  # None: a search needs all of its runs

    def __init__(
        self, plan: Plan, design: Search, sampler: OptunaSampler, store: RecordStore, state: ProgressState
    ) -> None:
        self.state = state
        self._plan = plan
        self._design = design
        self._sampler = sampler
        self._refusals = Counter[str]()  # by the rule that a refused proposal breaks
        self._store = store
        self._planner = ProposalPlanner(plan.study, design, cache_fingerprints(plan.fingerprint))
        self._proposals = ProposalTracker()
        self._judge = ProposalJudge(design, sampler, self._proposals, state)
        self._winners: tuple[StudyCell, ...] | None = None  # None: the search has not ended
        self._queue: deque[StudyCell] = deque()
        self._submitted: set[str] = set()  # keys of runs that are with a worker

    def resume(self) -> None:
        """Queue what is missing of the plan and of judged proposals, reopen the others, and end a finished search."""
        self._queue.extend(self._plan.list_missing(self._store.keys()))
        self._count(self._plan.cells)
        for judged in self._sampler.list_judged():
            if not judged.refused:
                self._restore(judged)
        # Open proposals after judged ones: an open one may repeat the point of a judged one, and then counts once.
        for proposal in self._sampler.reopen():
            self._admit(proposal)
        if not self._proposals.open and self._is_budget_spent() and (cell := self._start_winners()) is not None:
            self._queue.appendleft(cell)

    # The property and the four methods of a RunSource.

    @property
    def stops_runs(self) -> bool:
        """Whether the search has a pruner."""
        return self._design.pruner.kind != "none"

    def take_next_run(self) -> StudyCell | None:
        """Return the next run that is neither recorded nor with a worker."""
        while (cell := self._find_candidate()) is not None:
            if cell.key in self._store:
                self._judge.add_record(cell.key, self._store.get(cell.key))
            elif cell.key not in self._submitted:
                self._submitted.add(cell.key)
                return cell
        return None

    def report_epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Report an epoch of a proposal's first seed to the pruner; return whether the run should stop."""
        return self._judge.report_epoch(cell, epoch)

    def finish_run(self, cell: StudyCell, record: Record) -> None:
        """Add the record to every proposal that has this run."""
        self._submitted.discard(cell.key)
        self._judge.add_record(cell.key, record)

    def requeue_run(self, cell: StudyCell) -> None:
        """Put a lost run at the front of the queue."""
        self._submitted.discard(cell.key)
        self._queue.appendleft(cell)

    @property
    def cells(self) -> tuple[StudyCell, ...]:
        """All runs so far: those of the plan, of the winners and of the proposals."""
        return (*self._plan.cells, *(self._winners or ()), *self._proposals.list_cells())

    def list_planned(self) -> tuple[PlannedRun, ...]:
        """Return all runs so far, as the manifest lists them."""
        return tuple(cell.planned for cell in self.cells)

    def has_unfinished_runs(self) -> bool:
        """Return whether there is anything to run."""
        return self._winners is None or bool(self._queue)

    def count_tolerated_outcomes(self) -> Counter[str]:
        """Count the outcomes of proposed runs, failures excepted: a pruned or diverged proposal is a result."""
        outcomes = read_outcomes(self._store, {cell.key for cell in self._proposals.list_cells()})
        counts = Counter(outcomes[cell.key] for cell in self._proposals.list_cells() if cell.key in outcomes)
        return Counter({str(outcome): count for outcome, count in counts.items() if outcome is not Outcome.FAILED})

    def list_points(self) -> list[dict[str, object]]:
        """Return every proposed point, by number: with the records, enough to rebuild the ledger."""
        return self._sampler.points

    def _find_candidate(self) -> StudyCell | None:
        """Return the run to hand out next, unless it is recorded or with a worker.

        With a pruner, seeds of a proposal run one after the other, so that a loser costs one. New proposals come before
        further seeds of proposals that are still running: only where no proposal is left do workers take these.
        """
        if self._queue:
            return self._queue.popleft()
        sequential = self._design.pruner.kind != "none"
        return (
            self._proposals.take_next_seed(sequential=sequential)
            or self._propose(sequential=sequential)
            or self._proposals.take_next_seed(sequential=False)
            or self._start_winners()
        )

    def _propose(self, *, sequential: bool) -> StudyCell | None:
        """Return the first run of a new proposal, within the budget and the constraints."""
        for _ in range(_MAX_FRUITLESS):
            if self._is_budget_spent():
                return None
            proposal = self._sampler.propose()
            if proposal is None:
                return None
            if self._admit(proposal) and (cell := self._proposals.take_next_seed(sequential=sequential)) is not None:
                return cell
        if not self._proposals.identities:
            (refusal, count), *_ = self._refusals.most_common(1)
            rule = f"none of {_MAX_FRUITLESS} proposals can be trained: {count} are refused by {refusal}"
            raise SpecError(Problem(f"{rule}; `space` counts the nets that a search could propose", "design"))
        self._sampler.mark_exhausted()
        return None

    def _admit(self, proposal: Proposal) -> bool:
        """Open a proposal unless its net cannot exist or is outside the constraints; return whether it has runs to do.

        A refused proposal is pruned in Optuna, with its excess over each constraint, and is never trained.
        """
        number = proposal.number
        try:
            resolved = self._planner.resolve(proposal, proposal.name)
        except SpecError as error:
            self._refusals[error.problems[0].rule] += 1
            self._sampler.annotate(number, {"variant": proposal.name, "reason": str(error)}, {"possible": 1.0})
            self._sampler.tell(number, None)
            return False
        costs = resolved.costs.as_dict()
        excess: dict[str, float] = {}
        for constraint in self._design.constraints:
            over = constraint.compute_excess(costs)
            excess[constraint.cost] = max(over, excess.get(constraint.cost, over))  # a cost may have two bounds
            self._refusals[str(constraint)] += over > 0
        attributes = {"variant": proposal.name, "params": costs["params"], "macs": costs["macs"]}
        outside = [f"{name} {costs[name]:,}" for name, value in excess.items() if value > 0]
        if outside:
            attributes["reason"] = f"outside the constraints: {', '.join(outside)}"
        self._sampler.annotate(number, attributes, excess)
        if outside:
            self._sampler.tell(number, None)
            return False
        cells = self._planner.plan_runs(resolved)
        if self._proposals.add(proposal, cells):
            self._count(cells)
        for cell in cells:  # runs that the plan or another proposal has trained already
            if cell.key in self._store:
                self._judge.add_record(cell.key, self._store.get(cell.key))
        return number in self._proposals.open

    def _is_budget_spent(self) -> bool:
        """Return whether the budget over all starts, or the space, is used up."""
        budget = self._design.budget
        if budget.variants is not None and len(self._proposals.identities) >= budget.variants:
            return True
        # Seconds of training over all workers and starts: wall time depends on the number of workers.
        if budget.hours is not None and sum(self._proposals.train_seconds.values()) >= 3600 * budget.hours:
            return True
        return self._sampler.is_exhausted

    def _start_winners(self) -> StudyCell | None:
        """Queue the winners, on the seeds of the study, once every proposal is judged; return the first run."""
        if self._proposals.open or self._winners is not None:
            return None
        self._winners = self._planner.plan_winners(self._sampler.select_best(self._design.best))
        self._count(self._winners)
        self._queue.extend(cell for cell in self._winners if cell.key not in self._store)
        return self._queue.popleft() if self._queue else None

    def _restore(self, judged: JudgedProposal) -> None:
        """Count the runs of a judged proposal, and queue those whose record is lost.

        A result needs its record: the ledger alone is not enough. A run that the pruner had stopped is stopped
        at the same epoch again.
        """
        proposal = judged.proposal
        if proposal.identity in self._proposals.identities:
            return
        cells = self._planner.plan_runs(self._planner.resolve(proposal, proposal.name))
        needed = tuple(cell for cell in cells if cell.key in judged.keys or cell.key in self._store)
        self._proposals.add_judged(proposal, needed)
        for cell in needed:
            if cell.key in self._store:
                self._proposals.train_seconds[cell.key] = self._store.get(cell.key).train_seconds
            else:
                self._judge.stop_epochs[cell.key] = None if judged.values is not None else judged.last_step
                self._queue.append(cell)
        self._count(needed)
        self._judge.lower_total(len(cells) - len(needed))

    def _count(self, cells: Sequence[StudyCell]) -> None:
        missing = [cell for cell in cells if cell.key not in self._store]
        self.state.recorded += len(cells) - len(missing)
        self.state.forecast.expect(missing)
