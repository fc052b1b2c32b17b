"""Claims against published values and runs that share no seeds, with scipy's tests as oracles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from vgg_ablate.analysis.decisions import judge_looks
from vgg_ablate.analysis.family import judge_family
from vgg_ablate.analysis.sequential import Look
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.claims import Claim
from vgg_ablate.config.published import PublishedValue

SOURCE = "arXiv:0000.00000"


def make_frame(**errors: list[float]) -> pd.DataFrame:
    """Return finished runs with test errors as fractions of 1, on seeds from 0 on."""
    rows = [
        {"variant": name, "seed": seed, "outcome": "finished", "test_error": error, "test_accuracy": 1 - error}
        for name, values in errors.items()
        for seed, error in enumerate(values)
    ]
    return pd.DataFrame(rows)


def judge_published(errors: list[float], **published: object) -> Verdict:
    claim = Claim(id="c", text="c", kind="better", a="net", b=PublishedValue(source=SOURCE, **published))
    return judge_looks([claim], make_frame(net=errors), range(len(errors))).verdicts[0]


errors_in_percent = st.lists(st.integers(100, 9_000).map(lambda number: number / 100), min_size=3, max_size=12).filter(
    lambda values: np.ptp(values) > 0.05
)


@given(errors=errors_in_percent, value=st.floats(1, 90))
def test_a_value_without_spread_is_tested_by_the_one_sample_t(errors: list[float], value: float) -> None:
    verdict = judge_published([error / 100 for error in errors], value=value)
    oracle = scipy_stats.ttest_1samp(errors, value)
    assert verdict.p == pytest.approx(float(oracle.pvalue), rel=1e-6, abs=1e-12)
    assert verdict.method == "one-sample t-test"
    interval = oracle.confidence_interval()
    assert (value - verdict.ci_high, value - verdict.ci_low) == pytest.approx(
        (interval.low, interval.high), rel=1e-6, abs=1e-6
    )


@given(errors=errors_in_percent, value=st.floats(1, 90), sd=st.floats(0.1, 5), n=st.integers(2, 30))
def test_a_value_with_spread_is_tested_by_welch_from_summaries(
    errors: list[float], value: float, sd: float, n: int
) -> None:
    verdict = judge_published([error / 100 for error in errors], value=value, sd=sd, n=n)
    oracle = scipy_stats.ttest_ind_from_stats(
        float(np.mean(errors)), float(np.std(errors, ddof=1)), len(errors), value, sd, n, equal_var=False
    )
    assert verdict.p == pytest.approx(float(oracle.pvalue), rel=1e-6, abs=1e-12)
    assert verdict.method == "Welch's t-test"


def test_a_published_accuracy_has_the_sign_of_an_accuracy() -> None:
    claim = Claim(
        id="c", text="c", kind="better", a="net", b=PublishedValue(value=92.7, source=SOURCE), metric="test_accuracy"
    )
    verdict = judge_looks([claim], make_frame(net=[0.05, 0.052, 0.049, 0.051]), range(4)).verdicts[0]
    assert verdict.verdict == "supported"
    assert verdict.mean == pytest.approx(94.95 - 92.7)


@given(a=errors_in_percent, b=errors_in_percent)
def test_runs_that_share_no_seeds_are_judged_by_welch(a: list[float], b: list[float]) -> None:
    frame = make_frame(a=[error / 100 for error in a], b=[error / 100 for error in b])
    claim = Claim(id="c", text="c", kind="better", a="a", b="b")
    weights = {"c": {"a": 1.0, "b": -1.0}}
    seeds = range(max(len(a), len(b)))
    verdict = judge_family([claim], frame, seeds, weights, Look((len(seeds),), 0, 1, 1), unpaired=True)["c"]
    oracle = scipy_stats.ttest_ind(a, b, equal_var=False)
    assert verdict.p == pytest.approx(float(oracle.pvalue), rel=1e-6, abs=1e-12)
    assert verdict.run_counts == (len(a), len(b))
    assert verdict.method == "Welch's t-test"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": 7.3, "sd": 0.2}, "at least 2 where sd is given"),
        ({"value": 7.3, "sd": 0.2, "n": 1}, "at least 2 where sd is given"),
        ({"value": 7.3, "source": ""}, "at least 1 character"),
    ],
)
def test_an_incomplete_published_value_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PublishedValue.model_validate({"source": SOURCE, **fields})
