"""Verdicts over runs of other programs, with scipy's tests and our own reports as oracles, and faults named by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from scipy import stats as scipy_stats
from typer.testing import CliRunner

import vgg_ablate
from tests.external.factories import CLAIM, METRIC, make_claims, make_runs, write_claims, write_runs
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.cli import app
from vgg_ablate.errors import SpecError

RESULTS = Path(__file__).parents[2] / "results"


def judge_one(runs: pd.DataFrame, **changes: Any) -> pd.Series[Any]:
    return vgg_ablate.judge(runs, make_claims(**changes)).claims.iloc[0]


def test_runs_with_common_seeds_are_judged_by_the_paired_t() -> None:
    runs = make_runs()
    wide = runs.pivot(index="seed", columns="variant", values="loss")
    oracle = scipy_stats.ttest_rel(wide["dropout"], wide["base"])
    claim = judge_one(runs)
    assert claim.verdict == "supported"
    assert claim.p == pytest.approx(oracle.pvalue, rel=1e-6)
    interval = oracle.confidence_interval()
    assert (-claim.ci_high, -claim.ci_low) == pytest.approx((interval.low, interval.high), rel=1e-6)


@pytest.mark.parametrize("how", ["other seeds", "no seeds", "pairing: none"])
def test_runs_without_common_seeds_are_judged_by_welch(how: str) -> None:
    runs, changes = make_runs(), dict[str, Any]()
    if how == "other seeds":
        runs["seed"] += 100 * (runs["variant"] == "dropout")
    elif how == "no seeds":
        runs, changes = runs.drop(columns="seed"), {"columns": {"seed": None}}
    else:
        changes = {"pairing": "none"}
    report = vgg_ablate.judge(runs, make_claims(**changes))
    samples = [runs.loc[runs["variant"] == name, "loss"] for name in ("dropout", "base")]
    oracle = scipy_stats.ttest_ind(*samples, equal_var=False)
    assert report.claims.loc[0, "p"] == pytest.approx(oracle.pvalue, rel=1e-6)
    assert any("Welch" in note for note in report.notes)
    assert "6 and 6 runs, Welch's t-test" in str(report)


def test_the_runs_of_a_study_have_the_verdicts_of_its_report() -> None:
    report = load_report(RESULTS / "kernels")
    names = {"test_error": "lower", "test_accuracy": "higher"}
    claims = [
        {
            "id": verdict.claim.id,
            "text": verdict.claim.text,
            "kind": verdict.claim.kind,
            "a": verdict.claim.a,
            "b": verdict.claim.b,
            # In fractions of 1 here, in percentage points in the report.
            "margin": verdict.claim.margin / 100,
            "smallest_effect": (verdict.claim.smallest_effect or 0.0) / 100,
            "metric": {"name": verdict.claim.metric, "direction": names[verdict.claim.metric]},
        }
        for verdict in report.verdicts
        if verdict.claim.metric in names and not verdict.claim.within and verdict.claim.trend is None
    ]
    assert len(claims) > 1
    judged = vgg_ablate.judge(report.frame, {"version": 1, "claims": claims}).claims.set_index("id")
    for verdict in report.verdicts:
        if verdict.claim.id in judged.index:
            assert judged.loc[verdict.claim.id, "verdict"] == verdict.verdict
            assert judged.loc[verdict.claim.id, "mean"] == pytest.approx(verdict.mean / 100)


def test_several_claims_share_one_error_rate() -> None:
    runs = make_runs(effect=-0.012)
    alone = judge_one(runs)
    twins = [CLAIM, *({**CLAIM, "id": f"twin-{index}"} for index in range(9))]
    assert judge_one(runs, claims=twins).q == pytest.approx(min(1.0, 10 * alone.p))


def test_a_published_number_is_one_side() -> None:
    claim = {**CLAIM, "b": {"value": 0.70, "sd": 0.01, "n": 3, "source": "arXiv:0000.00000"}}
    runs = make_runs()
    values = runs.loc[runs["variant"] == "dropout", "loss"]
    oracle = scipy_stats.ttest_ind_from_stats(values.mean(), values.std(), 6, 0.70, 0.01, 3, equal_var=False)
    report = vgg_ablate.judge(runs, make_claims(claims=[claim]))
    assert report.claims.loc[0, "p"] == pytest.approx(oracle.pvalue, rel=1e-6)
    assert "arXiv:0000.00000" in str(report)
    exact = vgg_ablate.judge(runs, make_claims(claims=[{**CLAIM, "b": {"value": 0.7, "source": "a table"}}]))
    assert exact.claims.loc[0, "p"] == pytest.approx(scipy_stats.ttest_1samp(values, 0.7).pvalue, rel=1e-6)
    assert "one-sample t-test against 0.7, taken as exact because no spread is published" in str(exact)


def test_an_exact_metric_is_compared_exactly() -> None:
    runs = make_runs().assign(params=lambda table: 1_000 + (table["variant"] == "base"))
    metric = {"name": "params", "direction": "lower", "exact": True}
    assert judge_one(runs, metric=metric).verdict == "supported"
    equal = judge_one(runs.assign(params=7), metric=metric)
    assert (equal.verdict, str(float(equal["mean"]))) == ("refuted", "0.0")
    runs.loc[0, "params"] = 7
    with pytest.raises(SpecError, match="base: params is exact, but its runs have 7 and 1001"):
        judge_one(runs, metric=metric)


def test_a_missing_seed_is_named_and_gives_no_verdict_unless_it_is_left_out() -> None:
    runs = make_runs().drop(index=8)
    claim = judge_one(runs)
    assert (claim.verdict, claim.reason) == ("inconclusive", "dropout: seed 2 missing")
    left_out = vgg_ablate.judge(runs, make_claims(missing_seeds="leave_out"))
    assert left_out.claims.loc[0, "n"] == 5
    assert left_out.notes == ("dropout: no run of seed 2",)
    assert "a and b include it and a − b does not: dropout-helps has 5 pairs." in str(left_out)
    assert "pairs" not in str(vgg_ablate.judge(make_runs(), make_claims()))


def test_a_value_that_is_not_finite_is_named_and_gives_no_verdict() -> None:
    runs = make_runs()
    runs.loc[8, "loss"] = float("nan")
    report = vgg_ablate.judge(runs, make_claims())
    assert report.claims.loc[0, "reason"] == "dropout: seed 2 has no loss"
    assert report.notes == ("row 8: dropout has no finite loss",)


def test_seeds_may_be_words() -> None:
    runs = make_runs()
    runs["seed"] = [f"run-{chr(97 + seed)}" for seed in runs["seed"]]
    assert judge_one(runs).verdict == "supported"
    assert judge_one(runs.drop(index=8)).reason == "dropout: seed run-c missing"
    assert vgg_ablate.judge(runs.drop(index=8), make_claims()).notes == ("dropout: no run of seed run-c",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("variant,seed,loss\nbase,1,0.5\nbase,1,0.6\n", r"runs.csv: row 3: base, seed 1: a second run; .*row 2"),
        ("variant,seed,loss\nbase,,0.5\n", "row 2: base: seed is empty"),
        ("variant,seed,loss\n,1,0.5\n", "row 2: variant is empty"),
        ("variant,seed,loss\nbase,1,x\n", "row 2: loss must be a number, got 'x'"),
        ("variant,seed,loss\nbase,1,50 %\nbase,2,0.5\n", "row 3: loss has mixed units: % in .*row 2, none here"),
        (
            "model,seed,loss\nbase,1,0.5\n",
            "columns.variant: column not found in .*; available: model, seed, loss; write columns: {variant: model}",
        ),
        (
            "variant,loss\nbase,0.5\n",
            "columns.seed: .*; write columns: {seed: .*}, or {seed: null} where runs have none",
        ),
        ("variant;seed;loss\nbase;1;0,5\n", "runs.csv:1: the columns are separated by ';'; must be ','$"),
        ("variant,seed,losss\nbase,1,0.5\n", "metric.name: column not found.*did you mean 'losss'"),
        ("variant,seed,loss\nbase,1,0.5\n", r"claims\[0\].a: unknown variant; available: base, got 'dropout'"),
        ("", "cannot be read as CSV"),
    ],
)
def test_every_fault_of_the_runs_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError, match=message):
        vgg_ablate.judge(path, make_claims())


def test_a_fault_of_the_claims_about_the_runs_is_located_in_their_file(tmp_path: Path) -> None:
    runs, claims = write_runs(tmp_path / "runs.csv", make_runs()), tmp_path / "claims.yaml"
    text = (
        "version: 1\nmetric: {name: NAME, direction: lower}\ncolumns: {variant: COLUMN}\nclaims:\n"
        "  - {id: helps, text: t, kind: better, a: dropout, b: SIDE}\n"
    )
    for name, column, side, place in (
        ("los", "variant", "base", "2:10: metric.name: column not found in .*runs.csv"),
        ("loss", "model", "base", "3:11: columns.variant: column not found in .*runs.csv"),
        ("loss", "variant", "bass", r"5:52: claims\[0\].b: unknown variant; available: base, dropout, got 'bass'"),
    ):
        claims.write_text(text.replace("NAME", name).replace("COLUMN", column).replace("SIDE", side), encoding="utf-8")
        with pytest.raises(SpecError, match=f"claims.yaml:{place}"):
            vgg_ablate.judge(runs, claims)
    result = CliRunner().invoke(app, ["judge", str(claims), str(runs)])
    assert str(result.exception).startswith("command line: RUNS: must be runs, and ")
    assert "seem to be swapped" in str(result.exception)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric": None}, "must be given, here or for all claims"),
        ({"claims": [CLAIM, CLAIM]}, "must be unique"),
        ({"claims": []}, "at least 1"),
        ({"metric": {**METRIC, "direction": "down"}}, "lower"),
        ({"claims": [{**CLAIM, "kind": "equivalent"}]}, "must be greater than 0 for a claim of kind equivalent"),
        ({"claims": [CLAIM, {**CLAIM, "id": "b", "metric": {**METRIC, "unit": "bits"}}]}, "described in two ways"),
    ],
)
def test_every_fault_of_the_claims_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        vgg_ablate.judge(make_runs(), make_claims(**changes))


def test_the_command_prints_tables_or_json_and_writes_a_report(tmp_path: Path) -> None:
    runs, claims = write_runs(tmp_path / "runs.csv", make_runs()), write_claims(tmp_path / "claims.yaml")
    out = tmp_path / "report"
    result = CliRunner().invoke(app, ["judge", str(runs), str(claims), "--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    assert "supported" in result.stdout
    assert {path.name for path in out.rglob("*") if path.is_file()} == {
        "claims.json", "table.tex", "report.md", "report.html", "forest.svg",
    }  # fmt: skip
    document = json.loads(CliRunner().invoke(app, ["judge", str(runs), str(claims), "--json"]).stdout)
    assert document == json.loads((out / "claims.json").read_text())
    assert {"id", "kind", "metric", "a", "b", "n", "mean", "sd", "ci_low", "ci_high", "p", "q", "verdict"} <= set(
        document["claims"][0]
    )


def test_names_with_markup_are_shown_as_text(tmp_path: Path) -> None:
    runs = make_runs(variants=("base", "<script>alert(1)</script>"))
    report = vgg_ablate.judge(runs, make_claims(claims=[{**CLAIM, "a": "<script>alert(1)</script>"}]))
    report.write(tmp_path)
    for name in ("report.html", "report.md"):
        assert "<script>alert" not in (tmp_path / name).read_text(encoding="utf-8")
