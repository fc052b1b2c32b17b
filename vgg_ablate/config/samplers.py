"""The samplers and pruners of a search, with their settings. `runs/search/sampler.py` builds Optuna's from them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vgg_ablate.config.types import ByKind, Count, FrozenModel, Whole


class TpeSampler(FrozenModel):
    """Multivariate tree-structured Parzen estimator that accounts for running trials (Bergstra et al. 2011; Optuna)."""

    kind: Literal["tpe"]
    startup_trials: Count = 10
    """Number of variants drawn at random before the model is used. Unit: variants. Example: 10"""


class NsgaIISampler(FrozenModel):
    """Non-dominated sorting genetic algorithm II (Deb et al. 2002; Optuna)."""

    kind: Literal["nsga2"]
    population: Annotated[int, Field(strict=True, ge=2)] = 50
    """Number of variants of one generation. Unit: variants. Example: 50"""


class GaussianProcessSampler(FrozenModel):
    """Bayesian optimisation with a Gaussian process (Optuna), for few, long runs."""

    kind: Literal["gp"]
    startup_trials: Count = 10
    """Number of variants drawn at random before the model is used. Unit: variants. Example: 10"""


class RandomSampler(FrozenModel):
    """Independent random draws."""

    kind: Literal["random"]


class QmcSampler(FrozenModel):
    """Quasi-Monte Carlo: a scrambled Sobol sequence, which covers the space more evenly than independent draws."""

    kind: Literal["qmc"]


class GridSampler(FrozenModel):
    """Every combination, in an order drawn from the seed, so that an interrupted grid is balanced."""

    kind: Literal["grid"]


class NoPruner(FrozenModel):
    """No pruning: every run trains to its last epoch."""

    kind: Literal["none"]


class MedianPruner(FrozenModel):
    """A rule that stops a variant whose validation error is above the median of the others at the same epoch."""

    kind: Literal["median"]
    startup_trials: Whole = 5
    """Number of variants that must have ended before any is stopped. Unit: variants. Example: 5"""
    warmup_epochs: Whole = 0
    """Epochs before which no variant is stopped. Unit: epochs. Example: 2"""


class SuccessiveHalvingPruner(FrozenModel):
    """Asynchronous successive halving: the best 1/reduction_factor of each rung continue (Li et al. 2018)."""

    kind: Literal["successive_halving"]
    min_epochs: Count = 1
    """Epochs of the first rung. Unit: epochs. Example: 1"""
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = 3
    """One variant of this many continues at each rung. Example: 3"""


class HyperbandPruner(FrozenModel):
    """Several successive halvings with different first rungs (Li et al. 2017)."""

    kind: Literal["hyperband"]
    min_epochs: Count = 1
    """Epochs of the first rung. Unit: epochs. Example: 1"""
    reduction_factor: Annotated[int, Field(strict=True, ge=2)] = 3
    """One variant of this many continues at each rung. Example: 3"""


Sampler = Annotated[
    TpeSampler | NsgaIISampler | GaussianProcessSampler | RandomSampler | QmcSampler | GridSampler,
    Field(discriminator="kind"),
    ByKind,
]
Pruner = Annotated[
    NoPruner | MedianPruner | SuccessiveHalvingPruner | HyperbandPruner, Field(discriminator="kind"), ByKind
]
