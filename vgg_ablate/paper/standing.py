"""Where a statement stands: what was computed, what the records of its studies say, and the word that follows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vgg_ablate.analysis import summary
from vgg_ablate.analysis.summary import Report
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.paper.analytic import COMPUTATIONS
from vgg_ablate.paper.catalogue import CATALOGUE
from vgg_ablate.paper.computed import Computation
from vgg_ablate.paper.statement import ClaimReference, Statement

StandingWord = Literal["supported", "refuted", "inconclusive", "not run yet", "out of reach"]


@dataclass(frozen=True)
class ClaimAnswer:
    """What one claim of a study says; without a verdict where its study has no results."""

    asked: ClaimReference
    verdict: Verdict | None
    scale: str = ""  # at which its study was run, in words

    @property
    def word(self) -> StandingWord:
        """The verdict's."""
        return self.verdict.verdict if self.verdict else "not run yet"


@dataclass(frozen=True)
class Standing:
    """A statement, and all that bears on it."""

    statement: Statement
    computed: Computation | None
    answers: tuple[ClaimAnswer, ...]

    @property
    def deciding(self) -> tuple[ClaimAnswer, ...]:
        """The answers that decide."""
        return tuple(answer for answer in self.answers if answer.asked.decides)

    @property
    def scale(self) -> str:
        """Of the studies that decide, in words; empty where nothing was trained."""
        return "; ".join(dict.fromkeys(answer.scale for answer in self.deciding if answer.verdict))

    @property
    def word(self) -> StandingWord:
        """Refuted by one is refuted; supported is what everything that decides supports."""
        if self.statement.out_of_reach:
            return "out of reach"
        words: list[StandingWord] = [answer.word for answer in self.deciding]
        if self.computed:
            words.append("supported" if self.computed.agrees else "refuted")
        first: tuple[StandingWord, ...] = ("refuted", "not run yet", "inconclusive")
        return next((word for word in first if word in words), "supported")


def collect_standings(results: Path, catalogue: Iterable[Statement] = CATALOGUE) -> tuple[Standing, ...]:
    """Every statement, with what the folders below `results` say. Raises StorageFailed where one cannot be read."""
    catalogue = tuple(catalogue)
    studies = dict.fromkeys(asked.study for statement in catalogue for asked in statement.asked)
    reports = {
        name: summary.load_report(results / name) for name in studies if (results / name / "manifest.json").exists()
    }
    return tuple(_standing(statement, reports) for statement in catalogue)


def _standing(statement: Statement, reports: Mapping[str, Report]) -> Standing:
    computed = COMPUTATIONS[statement.id]() if statement.computed else None
    return Standing(statement, computed, tuple(_answer(asked, reports.get(asked.study)) for asked in statement.asked))


def _answer(asked: ClaimReference, report: Report | None) -> ClaimAnswer:
    if report is None:
        return ClaimAnswer(asked, None)
    verdict = next((one for one in report.verdicts if one.claim.id == asked.claim), None)
    return ClaimAnswer(asked, verdict, describe_scale(report))


def describe_scale(report: Report) -> str:
    """At which scale a study's verdicts hold: data, widths, norm, epochs."""
    base = report.study.base
    data, train = base.data, base.train
    name = f"{data.root} ({data.name})" if data.root else data.name
    examples = f"{data.limit:,} examples" if data.limit else "all examples"
    archs = [arch for record in report.results.records.values() for arch in record.run.archs]
    channels = [conv.channels for arch in archs for stage in arch.stages for conv in stage.convs]
    widths = f"{min(channels)} to {max(channels)} channels, " if channels else ""
    norms = " and ".join(sorted({arch.norm.kind for arch in archs}))
    return (
        f"{name} at {data.shape.image_size} px, {examples}, {widths}norm {norms or base.arch.norm.kind}, "
        f"{train.epochs} epochs, {len(report.study.seed_list)} seeds"
    )
