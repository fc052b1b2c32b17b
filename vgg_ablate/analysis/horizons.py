"""Verdicts at every level of a study's horizons, and whether the longest two agree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd

from vgg_ablate.analysis.decisions import Decisions, judge_looks
from vgg_ablate.analysis.examples import CorrectExamples
from vgg_ablate.analysis.verdicts import HorizonVerdict, Verdict
from vgg_ablate.config.claims import TrendQuantities
from vgg_ablate.config.horizons import format_level_name
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
    levels = {variant.name: variant.levels for variant in study.variants}
    for level in study.horizon_levels[:-1]:
        # The runs of `five@20` take the name `five`, so that the claims on `five` apply to them as they stand.
        names = {format_level_name(variant.name, level): variant.name for variant in study.variants}
        runs = frame[frame["variant"].isin(list(names))]
        judged = judge_looks(
            [verdict.claim for verdict in last_level],
            runs.assign(variant=runs["variant"].map(names)),
            study.seed_list,
            levels=levels,
            looks=study.looks,
            examples=_rename_examples(examples, names),
            quantities={over: _rename_numbers(numbers, names) for over, numbers in quantities.items()},
            followed=decisions.followed if study.stop else None,
        )
        for verdict in judged.verdicts:
            by_claim[verdict.claim.id][level] = verdict
    return tuple(
        _with_levels(verdict, study, by_claim[verdict.claim.id]) if verdict.claim.id in by_claim else verdict
        for verdict in verdicts
    )


def _with_levels(verdict: Verdict, study: Study, by_level: Mapping[float, Verdict]) -> Verdict:
    horizons = {
        str(level): HorizonVerdict(found.mean, found.ci_low, found.ci_high, found.verdict, complete=found.complete)
        for level, found in ((level, by_level[level]) for level in study.horizon_levels)
    }
    before, last = list(horizons.values())[-2:]
    stable = before.verdict == last.verdict if before.complete and last.complete else None
    return replace(verdict, horizons=horizons, stable=stable)


def _rename_numbers(numbers: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    return {name: numbers[level_name] for level_name, name in names.items() if level_name in numbers}


def _rename_examples(examples: CorrectExamples | None, names: Mapping[str, str]) -> CorrectExamples | None:
    if examples is None:
        return None
    return {(names[name], seed): correct for (name, seed), correct in examples.items() if name in names}
