"""The verdict of a statement, from its computation and from the claims of its studies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from vgg_ablate.analysis.metrics import get_claim_unit
from vgg_ablate.analysis.pairs import compute_sides
from vgg_ablate.analysis.summary import Report, load_report
from vgg_ablate.analysis.variant_rows import MetricSummary
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.text import count_noun
from vgg_ablate.paper.analytic import COMPUTATIONS
from vgg_ablate.paper.catalogue import CATALOGUE
from vgg_ablate.paper.computed import Computation
from vgg_ablate.paper.statement import ClaimReference, Statement

StandingVerdict = Literal["supported", "refuted", "no difference", "inconclusive", "not run yet", "out of reach"]
ReadReport = Callable[[str], Report | None]  # name of a study -> its report; None where it has no results


@dataclass(frozen=True)
class ClaimAnswer:
    """The verdict of one claim, or None if its study has no results.

    Until every run at the longest training is recorded, it is the verdict at the longest one that is (`so_far`).
    """

    reference: ClaimReference
    verdict: Verdict | None
    scale: str = ""  # of the study: data set, widths, epochs, seeds
    epochs: int = 0
    sides: tuple[MetricSummary, MetricSummary] | None = None  # errors of a and b, where the claim has two sides
    so_far: str = ""  # `20 of 40 epochs`: a shorter training than the one that decides; empty for that one

    @property
    def word(self) -> StandingVerdict:
        """The verdict, or "not run yet" where runs of the claim are missing at every training length."""
        return self.verdict.verdict if self.verdict is not None and self.verdict.is_complete else "not run yet"

    @property
    def is_moving(self) -> bool:
        """Whether the two longest trainings disagree."""
        return self.verdict is not None and self.verdict.is_stable is False


@dataclass(frozen=True)
class Standing:
    """A statement with its computation and the answers of its claims."""

    statement: Statement
    computation: Computation | None
    answers: tuple[ClaimAnswer, ...]

    @property
    def deciding_answers(self) -> tuple[ClaimAnswer, ...]:
        """The answers of the claims that decide."""
        return tuple(answer for answer in self.answers if answer.reference.decides)

    @property
    def is_trained(self) -> bool:
        """Whether trained runs decide, or would: arithmetic alone does not answer the statement."""
        return bool(self.deciding_answers) or bool(self.statement.out_of_reach)

    @property
    def scale(self) -> str:
        """The scales of the deciding studies; empty if none of them has results."""
        return "; ".join(dict.fromkeys(answer.scale for answer in self.deciding_answers if answer.verdict))

    @property
    def verdict(self) -> StandingVerdict:
        """The verdict on the statement.

        One refuted part refutes it; it is supported only if every deciding part is.
        """
        if self.statement.out_of_reach:
            return "out of reach"
        verdicts: list[StandingVerdict] = [answer.word for answer in self.deciding_answers]
        if self.computation:
            verdicts.append("supported" if self.computation.agrees else "refuted")
        # "not run yet" comes before "inconclusive": a statement is not judged on half of its claims.
        precedence: tuple[StandingVerdict, ...] = ("refuted", "not run yet", "inconclusive", "no difference")
        return next((word for word in precedence if word in verdicts), "supported")

    @property
    def word(self) -> str:
        """The verdict of a trained statement in the sense of the paper; of a computed one, the verdict itself.

        "as in the paper", "no difference of at least 0.5 points", "reversed here" ("differs here" where the paper
        states that nothing differs), "still moving" where the two longest trainings disagree, "unclear", "not tested".
        "So far" follows where a longer training will decide.
        """
        verdict = self.verdict
        if verdict == "out of reach":
            return "not tested"
        if not self.is_trained or verdict == "not run yet":
            return verdict
        return self._find_word(verdict) + (", so far" if any(answer.so_far for answer in self.deciding_answers) else "")

    def _find_word(self, verdict: StandingVerdict) -> str:
        refuted = [answer for answer in self.deciding_answers if answer.word == "refuted"]
        if any(answer.is_moving for answer in (refuted or self.deciding_answers)):
            return "still moving"
        match verdict:
            case "supported":
                return f"as in the {'note' if self.statement.kind == 'note' else 'paper'}"
            case "refuted":
                kinds = {answer.verdict.claim.kind for answer in refuted if answer.verdict is not None}
                return "differs here" if kinds == {"equivalent"} else "reversed here"
            case "no difference":
                return f"no difference of at least {self._describe_smallest_effect()}"
            case _:
                return "unclear"

    def _describe_smallest_effect(self) -> str:
        claims = [
            answer.verdict.claim
            for answer in self.deciding_answers
            if answer.verdict is not None and answer.word == "no difference"
        ]
        sizes = dict.fromkeys(
            f"{numbers.format_compact(claim.smallest_effect)} {get_claim_unit(claim)}"
            for claim in claims
            if claim.smallest_effect
        )
        return " or ".join(sizes)


def build_report_reader(results: Path) -> ReadReport:
    """Return a function that reads the report of a study below `results`, each of them once.

    The function raises StorageError if a results folder cannot be read.
    """

    @cache
    def read_report(study: str) -> Report | None:
        return load_report(results / study) if (results / study / "manifest.json").exists() else None

    return read_report


def collect_standings(read_report: ReadReport) -> tuple[Standing, ...]:
    """Return the standing of every statement. Raises StorageError if a results folder cannot be read."""
    return tuple(_judge(statement, read_report) for statement in CATALOGUE)


def describe_scale(report: Report) -> str:
    """Return the scale at which a study's verdicts hold: data, widths, norm, epochs and seeds."""
    base = report.study.base
    data, train = base.data, base.train
    name = f"{data.root} ({data.name})" if data.root else data.name
    examples = f"{data.limit:,} examples" if data.limit else "all examples"
    # From the records and not from the study: a width matched to a budget is only known after the match.
    archs = [arch for record in report.results.records.values() for arch in record.run.archs]
    channels = [conv.channels for arch in archs for stage in arch.stages for conv in stage.convs]
    widths = f"{min(channels)} to {max(channels)} channels, " if channels else ""
    norms = " and ".join(sorted({arch.norm.kind for arch in archs}))
    return (
        f"{name} at {data.shape.image_size} px, {examples}, {widths}norm {norms or base.arch.norm.kind}, "
        f"{count_noun(train.epochs, 'epochs')}, {count_noun(len(report.study.seed_list), 'seeds')}"
    )


def _judge(statement: Statement, read_report: ReadReport) -> Standing:
    computation = COMPUTATIONS[statement.id]() if statement.is_computed else None
    answers = tuple(_find_answer(reference, read_report(reference.study)) for reference in statement.claims)
    return Standing(statement, computation, answers)


def _find_answer(reference: ClaimReference, report: Report | None) -> ClaimAnswer:
    if report is None:
        return ClaimAnswer(reference, None)
    # None also if the saved study does not have the claim yet: it was added after the study ran.
    pairs = zip(report.verdicts, report.shown_verdicts, strict=True)
    last, shown = next((pair for pair in pairs if pair[0].claim.id == reference.claim), (None, None))
    if last is None or shown is None:
        return ClaimAnswer(reference, None)
    epochs, so_far, verdict = report.study.base.train.epochs, "", last
    if not last.is_complete and shown.is_complete and report.level is not None:
        verdict, so_far = shown, f"{report.level} of {report.study.horizon_levels[-1]} epochs"
    sides = None if verdict.is_exact else compute_sides(verdict, report.frame)
    return ClaimAnswer(reference, verdict, describe_scale(report), epochs, sides, so_far)
