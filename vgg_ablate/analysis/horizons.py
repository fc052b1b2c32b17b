"""Verdicts at every level of a study's horizons, and whether the longest two agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from vgg_ablate.analysis.decisions import Decisions, judge_looks
from vgg_ablate.analysis.examples import CorrectExamples
from vgg_ablate.analysis.frame import MISSING
from vgg_ablate.analysis.verdicts import FEWEST_SEEDS, HorizonVerdict, Verdict
from vgg_ablate.config.claims import Claim, TrendQuantities
from vgg_ablate.config.horizons import HorizonLevel, format_level_name
from vgg_ablate.config.study import Study


def judge_horizons(
    study: Study,
    decisions: Decisions,
    frame: pd.DataFrame,
    quantities: TrendQuantities,
    examples: CorrectExamples | None = None,
) -> tuple[Verdict, ...]:
    """Return the verdicts with `horizons` and `stable` filled in; `decisions` are those of the last level.

    Every level is judged by the same rule, on the runs that the last level asks for. A claim that names a variant at a
    lower level (`base@20`) compares levels itself and is left as it is.
    """
    verdicts = decisions.verdicts
    if not study.horizons:
        return verdicts
    lower = {variant.name for variant in study.horizon_variants}
    last_level = [verdict for verdict in verdicts if not verdict.weights.keys() & lower]
    by_claim = {verdict.claim.id: {study.horizon_levels[-1]: verdict} for verdict in last_level}
    for level in study.horizon_levels[:-1]:
        claims = [verdict.claim for verdict in last_level]
        for verdict in judge_level(study, level, claims, decisions, frame, quantities, examples):
            by_claim[verdict.claim.id][level] = verdict
    return tuple(
        _add_horizons(verdict, study, by_claim[verdict.claim.id]) if verdict.claim.id in by_claim else verdict
        for verdict in verdicts
    )


def judge_level(
    study: Study,
    level: HorizonLevel,
    claims: Sequence[Claim],
    decisions: Decisions,
    frame: pd.DataFrame,
    quantities: TrendQuantities,
    examples: CorrectExamples | None = None,
) -> tuple[Verdict, ...]:
    """Return the verdicts on claims at a lower level of the horizons; their weights name the variants of that level.

    `decisions` are those of the last level, which asks for the runs of every level.
    """
    # The runs of `five@20` take the name `five`, so that the claims on `five` apply to them as they stand.
    names = {format_level_name(variant.name, level): variant.name for variant in study.variants}
    runs = frame[frame["variant"].isin(list(names))]
    judged = judge_looks(
        claims,
        runs.assign(variant=runs["variant"].map(names)),
        study.seed_list,
        levels={variant.name: variant.levels for variant in study.variants},
        looks=study.looks,
        examples=_rename_examples(examples, names),
        quantities={over: _rename_numbers(numbers, names) for over, numbers in quantities.items()},
        followed=decisions.followed if study.stop else None,
    )
    return tuple(
        replace(verdict, weights={format_level_name(name, level): weight for name, weight in verdict.weights.items()})
        for verdict in judged.verdicts
    )


def find_shown_level(study: Study, frame: pd.DataFrame) -> HorizonLevel | None:
    """Return the highest level at which every variant has enough seeds for a verdict; None without horizons.

    Where there is none, return the highest level with a record, and without any record the last level.
    """
    if not study.horizons:
        return None
    recorded = frame[frame["outcome"] != MISSING].groupby("variant").size()
    enough = min(FEWEST_SEEDS, study.looks[0])
    levels = list(zip(study.horizon_levels, study.variants_by_horizon, strict=True))
    for needed in (enough, 1):
        count = min if needed == enough else max
        for level, variants in reversed(levels):
            if count(recorded.get(variant.name, 0) for variant in variants) >= needed:
                return level
    return study.horizon_levels[-1]


def _add_horizons(verdict: Verdict, study: Study, by_level: Mapping[float, Verdict]) -> Verdict:
    horizons = {str(level): _select_numbers(by_level[level]) for level in study.horizon_levels}
    before, last = list(horizons.values())[-2:]
    is_stable = before.verdict == last.verdict if before.is_complete and last.is_complete else None
    return replace(verdict, horizons=horizons, is_stable=is_stable)


def _select_numbers(verdict: Verdict) -> HorizonVerdict:
    return HorizonVerdict(verdict.mean, verdict.ci_low, verdict.ci_high, verdict.verdict, verdict.is_complete)


def _rename_numbers(numbers: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    return {name: numbers[level_name] for level_name, name in names.items() if level_name in numbers}


def _rename_examples(examples: CorrectExamples | None, names: Mapping[str, str]) -> CorrectExamples | None:
    if examples is None:
        return None
    return {(names[name], seed): correct for (name, seed), correct in examples.items() if name in names}
