"""The judging of proposals by their records: the reports to the pruner, and the value of each proposal."""

from __future__ import annotations

from vgg_ablate.config.search import Search
from vgg_ablate.records import Epoch, Outcome, Record
from vgg_ablate.runs.plan import StudyCell
from vgg_ablate.runs.progress.views import ProgressState
from vgg_ablate.runs.search.proposals import OpenProposal, ProposalTracker
from vgg_ablate.runs.search.sampler import OptunaSampler


class ProposalJudge:
    """Reports the errors of proposals to the pruner, and their values to the sampler, once, after the last seed."""

    def __init__(
        self, design: Search, sampler: OptunaSampler, proposals: ProposalTracker, state: ProgressState
    ) -> None:
        self.stop_epochs: dict[str, int | None] = {}  # key -> last epoch, of judged runs whose record is lost
        self._design = design
        self._sampler = sampler
        self._proposals = proposals
        self._state = state

    def report_epoch(self, cell: StudyCell, epoch: Epoch) -> bool:
        """Report an epoch of a proposal's first seed to the pruner; return whether the run should stop."""
        is_last = epoch.epoch >= cell.run.train.epochs  # a run that has ended need not be stopped
        if (stop_epoch := self.stop_epochs.get(cell.key)) is not None:
            return stop_epoch <= epoch.epoch and not is_last
        entries = self._proposals.list_open(cell.key)
        for opened, index in entries:
            # Of the later seeds the pruner gets the mean after each seed (`_judge`), not single epochs.
            if index == 0 and not opened.is_stopped:
                error = 1 - epoch.val_accuracy
                opened.is_stopped = self._sampler.report(opened.proposal.number, epoch.epoch, error)
        return any(opened.is_stopped for opened, _ in entries) and not is_last

    def add_record(self, key: str, record: Record) -> None:
        """Add a record to every open proposal that has its run, and judge these proposals."""
        if record.outcome is Outcome.FAILED:
            return  # a bug is no result of the variant: its proposal stays open until the run is repeated
        for opened, index in self._proposals.list_open(key):
            if index not in opened.records:
                self._proposals.train_seconds[key] = record.train_seconds
                opened.records[index] = record
                if index == 0:
                    self._sampler.report_missing(opened.proposal.number, record.epochs)
                opened.submitted.add(index)
                self._judge(opened, index)

    def lower_total(self, count: int) -> None:
        """Lower the number of runs of the study by runs that are not needed any more."""
        if self._state.total is not None:
            self._state.total -= count

    def _judge(self, opened: OpenProposal, index: int) -> None:
        """Close a proposal whose seeds are all recorded, or which is stopped; else report its mean to the pruner."""
        number = opened.proposal.number
        if any(record.outcome is Outcome.PRUNED for record in opened.records.values()):
            opened.is_stopped = True
        elif index > 0 and self._design.pruner.kind != "none":
            # The mean over n seeds is reported at step n x epochs, beyond the epochs of the first seed.
            step = len(opened.records) * opened.cells[0].run.train.epochs
            is_pruned = self._sampler.report(number, step, opened.compute_mean_error())
            opened.is_stopped = is_pruned or opened.is_stopped
        if opened.is_recorded or opened.is_stopped:
            self._sampler.annotate(number, opened.describe_runs(), {})
        if opened.is_recorded and not opened.is_stopped:
            self._sampler.tell(number, opened.compute_values(self._design.objectives))
            self._proposals.close(opened)
        elif opened.is_stopped and not opened.is_running:
            self._sampler.tell(number, None)
            self.lower_total(self._proposals.close(opened))
