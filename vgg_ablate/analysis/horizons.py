"""The verdicts at every level of a study's horizons, by the same rule: does the last one still agree with the first?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from vgg_ablate.analysis.verdicts import CorrectExamples, HorizonVerdict, Verdict, judge_claims
from vgg_ablate.config.claims import TrendQuantities
from vgg_ablate.config.horizons import format_level_name
from vgg_ablate.config.study import Study


def judge_horizons(
    study: Study,
    verdicts: Sequence[Verdict],
    frame: pd.DataFrame,
    quantities: TrendQuantities,
    examples: CorrectExamples | None = None,
) -> tuple[Verdict, ...]:
    """The verdicts, each with what is found at every level, and whether the two longest levels agree.

    A claim that names a variant at a lower level itself is about that level, and left as it is.
    """
    if not study.horizons:
        return tuple(verdicts)
    lower = {variant.name for variant in study.horizon_variants}
    about = [verdict for verdict in verdicts if not verdict.weights.keys() & lower]
    found = {verdict.claim.id: {study.horizon_levels[-1]: verdict} for verdict in about}
    levels = {variant.name: variant.levels for variant in study.variants}
    for level in study.horizon_levels[:-1]:
        names = {format_level_name(variant.name, level): variant.name for variant in study.variants}
        at = frame[frame["variant"].isin(list(names))]
        judged = judge_claims(
            [verdict.claim for verdict in about],
            at.assign(variant=at["variant"].map(names)),
            study.seed_list,
            levels=levels,
            looks=study.looks,
            examples=_renamed(examples, names),
            quantities={over: _by_name(its, names) for over, its in quantities.items()},
        )
        for verdict in judged:
            found[verdict.claim.id][level] = verdict
    return tuple(
        _with_levels(verdict, study, found[verdict.claim.id]) if verdict.claim.id in found else verdict
        for verdict in verdicts
    )


def _with_levels(verdict: Verdict, study: Study, found: Mapping[float, Verdict]) -> Verdict:
    at = {str(level): found[level] for level in study.horizon_levels}
    shown = {
        level: HorizonVerdict(one.mean, one.ci_low, one.ci_high, one.verdict, complete=one.complete)
        for level, one in at.items()
    }
    one, other = list(at.values())[-2:]
    stable = one.verdict == other.verdict if one.complete and other.complete else None
    return replace(verdict, horizons=shown, stable=stable)


def _by_name(numbers: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    return {name: numbers[lower] for lower, name in names.items() if lower in numbers}


def _renamed(examples: CorrectExamples | None, names: Mapping[str, str]) -> CorrectExamples | None:
    if examples is None:
        return None
    return {(names[name], seed): rows for (name, seed), rows in examples.items() if name in names}
