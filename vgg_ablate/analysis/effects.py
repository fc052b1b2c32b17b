"""Main effects and two-factor interactions of a factorial design, as contrasts of variants paired by seed.

Effects go through the same statistics as claims. Interactions of three and more factors are in the analysis of variance
only: nobody reads them as contrasts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np
import pandas as pd

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.anova import AnovaRow, analyze_variance, shorten_factor
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.variant_rows import PRIMARY_METRIC, PairedDifference, compute_paired_difference
from vgg_ablate.config.claims import FactorLevels


@dataclass(frozen=True)
class Effect:
    """A contrast between levels, on the metric as it is shown: negative is less error."""

    factors: tuple[str, ...]  # one for a main effect, two for an interaction
    label: str  # "kernel: 5 - 3", "kernel: 5 - 3, at norm batch more than at norm none"
    weights: Mapping[str, float]  # variant -> weight
    difference: PairedDifference
    p: float
    q: float = nan  # Holm's, over the main effects or over the interactions


@dataclass(frozen=True)
class FactorialEffects:
    """The effects of a factorial design; `sources` is empty where a cell or a seed is missing."""

    factors: Mapping[str, tuple[str, ...]]  # factor -> levels, the reference first
    means: Mapping[tuple[str, str], tuple[float, ...]]  # (factor, level) -> mean over its variants, per shared seed
    main: tuple[Effect, ...]
    interactions: tuple[Effect, ...]
    sources: tuple[AnovaRow, ...]
    seeds: tuple[int, ...]  # those that every variant of the design has finished


def compute_effects(
    levels: FactorLevels, base: Mapping[str, str], frame: pd.DataFrame, seeds: Sequence[int]
) -> FactorialEffects:
    """Compute the effects of variants that have levels of two or more factors each; `base` are those of the base."""
    levels = {name: own for name, own in levels.items() if own}
    factors = _collect_factors(levels, base)
    table = collect_by_seed(frame, PRIMARY_METRIC)
    seeds = tuple(seed for seed in seeds if all(seed in table.get(name, {}) for name in levels))
    means = {
        (factor, level): tuple(
            float(np.mean([table[name][seed] for name, own in levels.items() if own.get(factor) == level]))
            for seed in seeds
        )
        for factor, factor_levels in factors.items()
        for level in factor_levels
    }
    return FactorialEffects(
        factors,
        means,
        _adjust_effects(_compute_main_effects(factors, levels, table, seeds)),
        _adjust_effects(_compute_interactions(factors, levels, table, seeds)),
        analyze_variance(factors, levels, table, seeds),
        seeds,
    )


def _collect_factors(levels: FactorLevels, base: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the levels of every factor in the order of the study, the base's level (the reference) first."""
    factors: dict[str, list[str]] = {}
    for own in levels.values():
        for factor, level in own.items():
            known = factors.setdefault(factor, [])
            if level not in known:
                known.append(level)
    return {
        factor: tuple(sorted(known, key=lambda level, factor=factor: level != base.get(factor, level)))  # type: ignore[misc]
        for factor, known in factors.items()
    }


def _compute_main_effects(
    factors: Mapping[str, Sequence[str]],
    levels: FactorLevels,
    table: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
) -> Iterator[Effect]:
    for factor, (reference, *others) in factors.items():
        for level in others:
            weights: dict[str, float] = {}
            _add_mean(weights, levels, {factor: level}, 1.0)
            _add_mean(weights, levels, {factor: reference}, -1.0)
            label = f"{shorten_factor(factor)}: {level} - {reference}"
            yield _compute_effect((factor,), label, weights, table, seeds)


def _compute_interactions(
    factors: Mapping[str, Sequence[str]],
    levels: FactorLevels,
    table: Mapping[str, Mapping[int, float]],
    seeds: Sequence[int],
) -> Iterator[Effect]:
    for (first, (reference, *levels_first)), (second, (base, *levels_second)) in itertools.combinations(
        factors.items(), 2
    ):
        for level, other in itertools.product(levels_first, levels_second):
            weights: dict[str, float] = {}
            for a, b in itertools.product((level, reference), (other, base)):
                sign = (1 if a == level else -1) * (1 if b == other else -1)
                _add_mean(weights, levels, {first: a, second: b}, sign)
            names = shorten_factor(first), shorten_factor(second)
            label = f"{names[0]}: {level} - {reference}, at {names[1]} {other} more than at {names[1]} {base}"
            yield _compute_effect((first, second), label, weights, table, seeds)


def _add_mean(weights: dict[str, float], levels: FactorLevels, where: Mapping[str, str], sign: float) -> None:
    """Add to the weights those of the mean over all variants at these levels, times the sign."""
    names = [name for name, own in levels.items() if all(own.get(factor) == level for factor, level in where.items())]
    for name in names:
        weights[name] = weights.get(name, 0.0) + sign / len(names)


def _compute_effect(
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


def _adjust_effects(effects: Iterator[Effect]) -> tuple[Effect, ...]:
    """Return the effects with Holm's q; one without a p-value counts with p = 1 and keeps q = NaN."""
    family = list(effects)
    q = stats.adjust_holm([1.0 if np.isnan(effect.p) else effect.p for effect in family])
    return tuple(
        effect if np.isnan(effect.p) else replace(effect, q=float(adjusted))
        for effect, adjusted in zip(family, q, strict=True)
    )
