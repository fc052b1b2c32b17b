"""The content of a report as a value, before anything is formatted or drawn.

`load_report(folder)` reads a results folder; tables, figures and pages are functions of the Report that it returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from vgg_ablate.analysis.decisions import Decisions, collect_shared_examples, judge_results, mark_unneeded_runs
from vgg_ablate.analysis.effects import FactorialEffects, compute_effects
from vgg_ablate.analysis.examples import CorrectExamples
from vgg_ablate.analysis.family import find_unseeded_variants
from vgg_ablate.analysis.frame import MISSING, NOT_NEEDED, build_epoch_frame, build_run_frame
from vgg_ablate.analysis.horizons import find_shown_level, judge_horizons, judge_level
from vgg_ablate.analysis.proposals import collect_proposals
from vgg_ablate.analysis.results import Results, read_results
from vgg_ablate.analysis.stability import ClaimEffects, collect_claim_effects
from vgg_ablate.analysis.training_state import TrainingState, compute_training_state
from vgg_ablate.analysis.variant_rows import VariantRow, build_variant_rows
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.claims import FactorLevels, TrendQuantities
from vgg_ablate.config.horizons import HorizonLevel
from vgg_ablate.config.study import Study
from vgg_ablate.config.variants import Variant


@dataclass(frozen=True)
class Report:
    """The content of the report of one study."""

    results: Results
    frame: pd.DataFrame  # one row per run
    epochs: pd.DataFrame  # one row per epoch
    # The base, the study's other variants in order, the winners of a search; of horizons, the variants of `level`.
    rows: tuple[VariantRow, ...]
    proposed: tuple[VariantRow, ...]  # the proposals of a search in order, on seeds of their own
    verdicts: tuple[Verdict, ...]  # at the last level of the horizons, which decides
    shown_verdicts: tuple[Verdict, ...]  # at `level`; of a claim that compares levels itself, the one in `verdicts`
    problems: tuple[str, ...]  # a sentence per problem: file, field, rule and what was found
    decisions: Decisions  # the looks behind the verdicts
    level: HorizonLevel | None = None  # the highest level of the horizons that is recorded; None without horizons

    @property
    def study(self) -> Study:
        """The study as it was run."""
        return self.results.study

    @property
    def folder(self) -> Path:
        """The results folder."""
        return self.results.folder

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The versions, devices and command lines of the study's starts."""
        return self.results.manifest.provenance

    @property
    def base(self) -> VariantRow:
        """The row of the base."""
        return self.rows[0]

    @property
    def levels(self) -> FactorLevels:
        """The level of every factor of the design, by variant."""
        return {row.name: row.variant.levels for row in self.rows}

    @property
    def is_last_level(self) -> bool:
        """Whether `rows` and `shown_verdicts` are those of the last level, which decides; True without horizons."""
        return self.level is None or self.level == self.study.horizon_levels[-1]

    @cached_property
    def training_state(self) -> TrainingState:
        """The state of training of the nets in `rows`."""
        return compute_training_state(self.rows, self.epochs, self.verdicts)

    @cached_property
    def factorial_effects(self) -> FactorialEffects:
        """The main effects and interactions of a factorial design."""
        return compute_effects(self.levels, self.base.variant.levels, self.frame, self.study.seed_list)

    @cached_property
    def claim_effects(self) -> list[ClaimEffects]:
        """The differences of every claim on errors at the levels of the horizons."""
        return collect_claim_effects(self.study, self.frame, self.verdicts)

    @cached_property
    def missing(self) -> int:
        """Number of needed runs without a record."""
        return int((self.frame["outcome"] == MISSING).sum())

    @property
    def is_recorded(self) -> bool:
        """Whether any planned run has a record."""
        return not bool(self.frame["outcome"].isin([MISSING, NOT_NEEDED]).all())


def load_report(folder: str | Path) -> Report:
    """Read a results folder and judge its claims. Raises StorageError where the folder holds no study."""
    return build_report(read_results(folder))


def build_report(results: Results) -> Report:
    """Build the report of a results folder that has been read."""
    frame, epochs, study = build_run_frame(results), build_epoch_frame(results), results.study
    winner_names = study.design.winner_names
    proposals = collect_proposals(results)
    variants = [*study.variants, *(proposals[name] for name in winner_names if name in proposals)]
    losers = [variant for name, variant in proposals.items() if name not in winner_names]
    # Claims may name a winner before the search has found it: it has no runs and no levels yet.
    levels = study.levels | {name: {} for name in winner_names} | {variant.name: variant.levels for variant in variants}
    decisions = judge_results(results, frame, levels)
    problems = (*results.problems, *find_unseeded_variants(frame).values(), *decisions.problems)
    quantities = study.collect_quantities(results.costs)
    examples = collect_shared_examples(results)
    verdicts = judge_horizons(study, decisions, frame, quantities, examples)
    level = find_shown_level(study, frame)
    shown_verdicts, shown = verdicts, variants
    if level is not None and level != study.horizon_levels[-1]:
        shown_verdicts = _judge_shown_level(study, level, verdicts, decisions, frame, quantities, examples)
        shown = _get_variants_at(study, level)
    frame = mark_unneeded_runs(frame, study, decisions)
    return Report(
        results=results,
        frame=frame,
        epochs=epochs,
        rows=build_variant_rows(frame, shown, results.costs),
        proposed=build_variant_rows(frame, losers, results.costs, variants[0]),
        verdicts=verdicts,
        shown_verdicts=shown_verdicts,
        problems=problems,
        decisions=decisions,
        level=level,
    )


def _judge_shown_level(
    study: Study,
    level: HorizonLevel,
    verdicts: Sequence[Verdict],
    decisions: Decisions,
    frame: pd.DataFrame,
    quantities: TrendQuantities,
    examples: CorrectExamples | None,
) -> tuple[Verdict, ...]:
    """Return the verdicts at a lower level; a claim that compares levels itself keeps its own."""
    claims = [verdict.claim for verdict in verdicts if verdict.horizons]
    judged = judge_level(study, level, claims, decisions, frame, quantities, examples)
    by_claim = {verdict.claim.id: verdict for verdict in judged}
    return tuple(by_claim.get(verdict.claim.id, verdict) for verdict in verdicts)


def _get_variants_at(study: Study, level: HorizonLevel) -> list[Variant]:
    """Return the variants of a lower level of the horizons with the levels of their factors."""
    variants = study.variants_by_horizon[study.horizon_levels.index(level)]
    return [
        variant.model_copy(update={"levels": last.levels, "changes": last.changes})
        for variant, last in zip(variants, study.variants, strict=True)
    ]
