"""The error rate of verdicts, in 5,000 simulated studies per number of seeds; nominally 5 %.

The true gain lies on an edge of the claimed region, where a rule errs most. No verdict but "inconclusive" is right
there, so that every other one counts as an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.decisions import judge_looks
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.config.claims import Claim

STUDIES, SEEDS = 5000, [3, 5, 10]
KINDS = ("better", "worse", "not_worse", "equivalent", "different")


def make_claim(kind: str, margin: float, a: str = "a") -> Claim:
    return Claim.model_validate({"id": a, "text": "t", "kind": kind, "a": a, "b": "base", "margin": margin})


def get_edge(claim: Claim) -> float:
    """Return a finite end of the claimed region."""
    return next(end for end in claim.region if abs(end) < inf)


def simulate_verdicts(claims: Sequence[Claim], gains: NDArray[np.float64]) -> NDArray[np.str_]:
    """Judge the claims on one metric for many studies at once; `gains` is studies x claims x seeds."""
    evidence = [
        stats.compute_evidence(stats.estimate_paired(gains[:, index]), claim.region, outside=claim.kind == "different")
        for index, claim in enumerate(claims)
    ]
    q = stats.adjust_holm(np.stack([item.p for item in evidence], axis=-1))
    holds = np.stack([item.supporting < item.refuting for item in evidence], axis=-1)
    return np.where(q > ALPHA, "inconclusive", np.where(holds, "supported", "refuted"))


def simulate_gains(claims: Sequence[Claim], truths: Sequence[float], seeds: int, draw: int) -> NDArray[np.float64]:
    """Return gains over a shared base (studies x claims x seeds), with noise per run and per seed."""
    random = np.random.default_rng(draw)
    seed_effect, base = random.normal(0, 1, (STUDIES, 1, seeds)), random.normal(0, 1, (STUDIES, 1, seeds))
    own = random.normal(0, 1, (STUDIES, len(claims), seeds))
    return np.asarray(truths)[:, None] + (seed_effect + own) - (seed_effect + base)


def test_a_percentile_bootstrap_of_five_seeds_errs_in_16_percent() -> None:
    """The rate that docs/statistics.md states, as a reason for the paired t."""
    random = np.random.default_rng(0)
    differences = random.normal(0, 1, (2000, 5))
    means = np.take_along_axis(differences[:, None], random.integers(0, 5, (2000, 1000, 5)), axis=2).mean(axis=2)
    low, high = np.quantile(means, [0.025, 0.975], axis=1)
    assert ((low > 0) | (high < 0)).mean() == pytest.approx(0.16, abs=0.02)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("margin", [0.5, 30.0])
@pytest.mark.parametrize("kind", KINDS)
def test_one_claim_of_any_kind_errs_in_at_most_6_percent(kind: str, margin: float, seeds: int) -> None:
    claim = make_claim(kind, margin)
    verdicts = simulate_verdicts([claim], simulate_gains([claim], [get_edge(claim)], seeds, seeds))
    wrong = (verdicts != "inconclusive").mean()
    assert wrong <= 0.06
    assert wrong > (0.04 if margin > 1 else 0.015)  # a rule that never decides would pass the upper bound alone


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", ["better", "worse", "different"])
def test_where_nothing_differs_a_claim_of_a_difference_errs_in_at_most_6_percent(kind: str, seeds: int) -> None:
    claim = make_claim(kind, 0.0)
    assert (
        0.04
        < (simulate_verdicts([claim], simulate_gains([claim], [0.0], seeds, 20 + seeds)) != "inconclusive").mean()
        <= 0.06
    )


@pytest.mark.parametrize("seeds", SEEDS)
def test_error_counts_on_a_small_test_set_err_no_more_often(seeds: int) -> None:
    """Errors on 360 digits are small whole numbers, far from normal; studies without any spread are undecided."""
    random = np.random.default_rng(seeds)
    ability = random.normal(0.96, 0.003, (STUDIES, 1, seeds))
    gains = np.diff(random.binomial(360, ability, (STUDIES, 2, seeds)), axis=1) / 3.6
    gains = gains[np.ptp(gains, axis=-1)[:, 0] > 0]
    for kind in ("better", "different"):
        assert (simulate_verdicts([make_claim(kind, 0.0)], gains) != "inconclusive").sum() / STUDIES <= 0.06


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_study_with_a_claim_of_every_kind_errs_in_at_most_6_percent(seeds: int) -> None:
    """Count a study as wrong if any of its claims is: all are on an edge and share a base."""
    claims = [make_claim(kind, 30.0, kind) for kind in KINDS]
    wrong = (
        simulate_verdicts(claims, simulate_gains(claims, [get_edge(claim) for claim in claims], seeds, 40 + seeds))
        != "inconclusive"
    )
    assert 0.02 < wrong.any(axis=-1).mean() <= 0.06
    assert wrong.any(axis=0).all()


@pytest.mark.parametrize("seeds", SEEDS)
def test_claims_that_are_plainly_true_do_not_make_the_others_err_more(seeds: int) -> None:
    """Holm's correction steps down: a claim that is decided makes the others easier, and must not make them err."""
    claims = [make_claim(kind, 1.0, kind) for kind in KINDS]
    truths = [get_edge(claims[0]), -1000.0, 1000.0, get_edge(claims[3]), 1000.0]
    verdicts = simulate_verdicts(claims, simulate_gains(claims, truths, seeds, 60 + seeds))
    assert (verdicts[:, [1, 2, 4]] == "supported").mean() > 0.95
    assert 0.02 < (verdicts[:, [0, 3]] != "inconclusive").any(axis=-1).mean() <= 0.06


@pytest.mark.parametrize("seeds", SEEDS)
def test_the_simulated_rule_is_that_of_the_verdicts(seeds: int) -> None:
    """On some of the studies the verdicts are those of `judge_looks` for the same numbers as test accuracies."""
    claims = [make_claim(kind, 1.0, kind).model_copy(update={"metric": "test_accuracy"}) for kind in KINDS]
    gains = simulate_gains(claims, [2.0, -1.5, -1.0, 0.5, 3.0], seeds, 80)[:25]
    gains[::2] /= 8  # so that all three verdicts occur
    simulated = simulate_verdicts(claims, gains)
    assert set(simulated.ravel()) == {"supported", "refuted", "inconclusive"}
    for study, expected in zip(gains, simulated, strict=True):
        accuracies = {"base": np.zeros(seeds)} | dict(zip(KINDS, study / 100, strict=True))
        verdicts = judge_looks(claims, make_frame(accuracies), range(seeds)).verdicts
        assert [verdict.verdict for verdict in verdicts] == list(expected)


def make_frame(accuracies: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "outcome": "finished", "test_accuracy": 0.5 + value}
            | {"test_error": 0.5 - value, "val_error": value, "train_loss": value + seed}
            for name, values in accuracies.items()
            for seed, value in enumerate(values.tolist())
        ]
    )
