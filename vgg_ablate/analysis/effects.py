"""Factorial designs: main effects and interactions of two factors as contrasts per seed, and an analysis of variance.

Effects go through the same code as claims: a contrast of variants, paired by seed.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.anova import AnovaRow, analyze_variance, shorten_factor
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import PRIMARY_METRIC, PairedDifference, Report, compute_paired_difference
from vgg_ablate.config.claims import FactorLevels


@dataclass(frozen=True)
class Effect:
    """A contrast between levels, on the metric as it is shown: negative is less error."""

    factors: tuple[str, ...]  # one: a main effect; two: an interaction
    label: str  # "kernel: 5 - 3", "kernel: 5 - 3, at norm: batch more than at none"
    weights: Mapping[str, float]
    difference: PairedDifference
    p: float
    q: float = nan  # Holm's, over the effects of its kind


@dataclass(frozen=True)
class FactorialEffects:
    """What a factorial design says. Empty `sources`: some cell or seed is missing, and no honest analysis is left."""

    factors: Mapping[str, tuple[str, ...]]  # factor -> levels, the reference first
    means: Mapping[tuple[str, str], tuple[float, ...]]  # (factor, level) -> mean over its variants, per whole seed
    main: tuple[Effect, ...]
    interactions: tuple[Effect, ...]
    sources: tuple[AnovaRow, ...]
    seeds: tuple[int, ...]  # that every variant of the design has finished


def compute_effects(report: Report) -> FactorialEffects:
    """Of a report whose variants have levels of two or more factors each."""
    levels = {name: its for name, its in report.levels.items() if its}
    factors = _factors(levels, report.levels.get(report.study.base.name, {}))
    table = collect_by_seed(report.frame, PRIMARY_METRIC)
    seeds = tuple(seed for seed in report.study.seed_list if all(seed in table.get(name, {}) for name in levels))
    means = {
        (factor, level): tuple(
            float(np.mean([table[name][seed] for name, its in levels.items() if its.get(factor) == level]))
            for seed in seeds
        )
        for factor, its_levels in factors.items()
        for level in its_levels
    }
    return FactorialEffects(
        factors,
        means,
        _corrected(_main(factors, levels, table, seeds)),
        _corrected(_interactions(factors, levels, table, seeds)),
        analyze_variance(factors, levels, table, seeds),
        seeds,
    )


def _factors(levels: FactorLevels, base: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The base's level is the reference, else the first that was written."""
    factors: dict[str, list[str]] = {}
    for its in levels.values():
        for factor, level in its.items():
            known = factors.setdefault(factor, [])
            if level not in known:
                known.append(level)
    return {
        factor: tuple(sorted(known, key=lambda level, factor=factor: level != base.get(factor, level)))  # type: ignore[misc]
        for factor, known in factors.items()
    }


def _main(
    factors: Mapping[str, Sequence[str]],
    levels: FactorLevels,
    table: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
) -> Iterator[Effect]:
    for factor, (reference, *others) in factors.items():
        for level in others:
            weights = _mean_of(levels, {factor: level}, 1.0)
            for name, weight in _mean_of(levels, {factor: reference}, -1.0).items():
                weights[name] = weights.get(name, 0.0) + weight
            yield _effect((factor,), f"{shorten_factor(factor)}: {level} - {reference}", weights, table, seeds)


def _interactions(
    factors: Mapping[str, Sequence[str]],
    levels: FactorLevels,
    table: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
) -> Iterator[Effect]:
    for (one, its), (two, others) in itertools.combinations(factors.items(), 2):
        for level, other in itertools.product(its[1:], others[1:]):
            weights: dict[str, float] = {}
            for a, b in itertools.product((level, its[0]), (other, others[0])):
                sign = (1 if a == level else -1) * (1 if b == other else -1)
                for name, weight in _mean_of(levels, {one: a, two: b}, sign).items():
                    weights[name] = weights.get(name, 0.0) + weight
            short_one, short_two = shorten_factor(one), shorten_factor(two)
            label = f"{short_one}: {level} - {its[0]}, at {short_two} {other} more than at {short_two} {others[0]}"
            yield _effect((one, two), label, weights, table, seeds)


def _mean_of(levels: FactorLevels, where: Mapping[str, str], sign: float) -> dict[str, float]:
    here = [name for name, its in levels.items() if all(its.get(factor) == level for factor, level in where.items())]
    return {name: sign / len(here) for name in here}


def _effect(
    factors: tuple[str, ...],
    label: str,
    weights: Mapping[str, float],
    table: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
) -> Effect:
    values = {seed: sum(weight * table[name][seed] for name, weight in weights.items()) for seed in seeds}
    difference = compute_paired_difference(values, dict.fromkeys(values, 0.0))
    p = nan
    if difference.n >= 2 and difference.sd > 0:
        p = float(stats.compute_evidence(stats.estimate_paired(list(values.values())), (0.0, 0.0), outside=True).p)
    return Effect(factors, label, weights, difference, p)


def _corrected(found: Iterator[Effect]) -> tuple[Effect, ...]:
    effects = list(found)
    q = stats.adjust_holm([1.0 if np.isnan(effect.p) else effect.p for effect in effects])
    return tuple(
        effect if np.isnan(effect.p) else replace(effect, q=float(adjusted))
        for effect, adjusted in zip(effects, q, strict=True)
    )
