"""How often a study says what is not so: 5,000 simulated studies at every number of seeds, at nominal 5 %.

The truth lies on an edge of what is claimed, where a rule errs most: there nobody can know which side it is on, and any
verdict but "inconclusive" counts as an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from vgg_ablate.analysis import stats
from vgg_ablate.analysis.stats import ALPHA
from vgg_ablate.analysis.verdicts import judge_claims
from vgg_ablate.config.claims import Claim

STUDIES, SEEDS = 5000, [3, 5, 10]
KINDS = ("better", "worse", "not_worse", "equivalent", "different")


def claim(kind: str, margin: float, a: str = "a") -> Claim:
    return Claim.model_validate({"id": a, "text": "t", "kind": kind, "a": a, "b": "base", "margin": margin})


def edge(its: Claim) -> float:
    """A true gain with which the claim is as true as it is false."""
    return next(end for end in its.region if abs(end) < inf)


def words(claims: Sequence[Claim], gains: NDArray[np.float64]) -> NDArray[np.str_]:
    """The verdicts on the claims of one metric, for many studies at once; `gains`: studies x claims x seeds."""
    found = [
        stats.compute_evidence(stats.estimate_paired(gains[:, index]), its.region, outside=its.kind == "different")
        for index, its in enumerate(claims)
    ]
    q = stats.adjust_holm(np.stack([one.p for one in found], axis=-1))
    holds = np.stack([one.supporting < one.refuting for one in found], axis=-1)
    return np.where(q > ALPHA, "inconclusive", np.where(holds, "supported", "refuted"))


def simulated(claims: Sequence[Claim], truths: Sequence[float], seeds: int, draw: int) -> NDArray[np.float64]:
    """Gains of variants over a base that all of them share, with noise of each and of what the seed does to all."""
    random = np.random.default_rng(draw)
    luck, base, own = random.normal(0, 1, (STUDIES, 1, seeds)), random.normal(0, 1, (STUDIES, 1, seeds)), len(claims)
    return np.asarray(truths)[:, None] + (luck + random.normal(0, 1, (STUDIES, own, seeds))) - (luck + base)


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("margin", [0.5, 30.0])
@pytest.mark.parametrize("kind", KINDS)
def test_one_claim_of_any_kind_errs_in_at_most_6_percent(kind: str, margin: float, seeds: int) -> None:
    its = claim(kind, margin)
    said = words([its], simulated([its], [edge(its)], seeds, seeds))
    wrong = (said != "inconclusive").mean()
    assert wrong <= 0.06
    assert wrong > (0.04 if margin > 1 else 0.015)  # a rule that never says anything errs never


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("kind", ["better", "worse", "different"])
def test_where_nothing_differs_a_claim_of_a_difference_errs_in_at_most_6_percent(kind: str, seeds: int) -> None:
    its = claim(kind, 0.0)
    assert 0.04 < (words([its], simulated([its], [0.0], seeds, 20 + seeds)) != "inconclusive").mean() <= 0.06


@pytest.mark.parametrize("seeds", SEEDS)
def test_error_counts_on_a_small_test_set_err_no_more_often(seeds: int) -> None:
    """Errors of 360 digits are few whole numbers, far from a bell; studies without any spread say nothing."""
    random = np.random.default_rng(seeds)
    ability = random.normal(0.96, 0.003, (STUDIES, 1, seeds))
    gains = np.diff(random.binomial(360, ability, (STUDIES, 2, seeds)), axis=1) / 3.6
    gains = gains[np.ptp(gains, axis=-1)[:, 0] > 0]
    for kind in ("better", "different"):
        assert (words([claim(kind, 0.0)], gains) != "inconclusive").sum() / STUDIES <= 0.06


@pytest.mark.parametrize("seeds", SEEDS)
def test_a_study_with_a_claim_of_every_kind_errs_in_at_most_6_percent(seeds: int) -> None:
    """Anywhere among its claims, all of which are on an edge and share a base."""
    claims = [claim(kind, 30.0, kind) for kind in KINDS]
    wrong = words(claims, simulated(claims, [edge(its) for its in claims], seeds, 40 + seeds)) != "inconclusive"
    assert 0.02 < wrong.any(axis=-1).mean() <= 0.06
    assert wrong.any(axis=0).all()


@pytest.mark.parametrize("seeds", SEEDS)
def test_claims_that_are_plainly_true_do_not_make_the_others_err_more(seeds: int) -> None:
    """Holm steps down: what has been decided no longer counts among the tests of the rest."""
    claims = [claim(kind, 1.0, kind) for kind in KINDS]
    truths = [edge(claims[0]), -1000.0, 1000.0, edge(claims[3]), 1000.0]
    said = words(claims, simulated(claims, truths, seeds, 60 + seeds))
    assert (said[:, [1, 2, 4]] == "supported").mean() > 0.95
    assert 0.02 < (said[:, [0, 3]] != "inconclusive").any(axis=-1).mean() <= 0.06


@pytest.mark.parametrize("seeds", SEEDS)
def test_the_simulated_rule_is_that_of_the_verdicts(seeds: int) -> None:
    """On a few of the studies, the words are those that `judge` finds in the same numbers as test accuracies."""
    claims = [claim(kind, 1.0, kind).model_copy(update={"metric": "test_accuracy"}) for kind in KINDS]
    gains = simulated(claims, [2.0, -1.5, -1.0, 0.5, 3.0], seeds, 80)[:25]
    gains[::2] /= 8  # so that all words come up
    said = words(claims, gains)
    assert set(said.ravel()) == {"supported", "refuted", "inconclusive"}
    for study, expected in zip(gains, said, strict=True):
        accuracies = {"base": np.zeros(seeds)} | dict(zip(KINDS, study / 100, strict=True))
        verdicts = judge_claims(claims, frame(accuracies), range(seeds))
        assert [verdict.verdict for verdict in verdicts] == list(expected)


def frame(accuracies: dict[str, NDArray[np.float64]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "outcome": "finished", "test_accuracy": 0.5 + value}
            | {"test_error": 0.5 - value, "val_error": value, "train_loss": value + seed}
            for name, values in accuracies.items()
            for seed, value in enumerate(values.tolist())
        ]
    )
