"""Claims as tests: exit status, JUnit XML, and the badge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from tests.external.factories import CLAIM, make_claims, make_runs, write_claims, write_runs
from tests.report.factories import make_results_folder
from vgg_ablate.cli import app

STUDY = """
version: 1
name: norm
question: Does it help?
seeds: 6
data: {name: digits, image_size: 16}
arch: {stages: "4 | 4"}
train: {epochs: 1}
variants: {normalised: {arch.norm: batch}, wide: {arch.width: 2.0}}
claims:
  - {id: norm-helps, text: it lowers the error, kind: better, a: normalised, b: base, expect: %s}
  - {id: width-helps, text: width lowers the error, kind: better, a: wide, b: base%s}
"""


def measure(variant: str, seed: int) -> float:
    """Make `normalised` 5 points better than the base, and `wide` neither better nor worse."""
    noise = np.random.default_rng([seed, *variant.encode()]).normal(0, 0.004)
    return float(0.8 + 0.05 * (variant == "normalised") + noise)


@pytest.fixture
def run_test(tmp_path: Path) -> Callable[..., Result]:
    """Return a function that writes a study with expectations and its results, and runs `test` on it."""

    def run(expect: str, width: str = "", *options: str) -> Result:
        text = STUDY % (expect, f", expect: {width}" if width else "")
        path, folder = tmp_path / "norm.yaml", tmp_path / "results"
        path.write_text(text, encoding="utf-8")
        if not folder.exists():
            make_results_folder(folder, measure, text=text)
        return CliRunner().invoke(app, ["test", str(path), "--out", str(folder), *options])

    return run


def test_the_exit_status_says_whether_verdicts_are_as_expected(run_test: Callable[..., Result]) -> None:
    passed = run_test("supported")
    assert passed.exit_code == 0
    assert passed.stdout.startswith("passed: norm/norm-helps: supported: it lowers the error: −5.")
    failed = run_test("refuted", "refuted")
    assert failed.exit_code == 1
    assert "failed: norm/norm-helps: expected refuted, got supported" in failed.stdout
    undecided = run_test("supported", "supported")
    assert undecided.exit_code == 3
    assert "undecided: norm/width-helps: expected supported, got inconclusive" in undecided.stdout
    assert run_test("supported", "supported", "--allow-inconclusive").exit_code == 0


def test_junit_has_one_suite_per_study_and_one_test_per_claim(run_test: Callable[..., Result], tmp_path: Path) -> None:
    junit = tmp_path / "claims.xml"
    run_test("refuted", "supported", "--junit", str(junit))
    root = ElementTree.parse(junit).getroot()
    [suite] = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    counts = {name: int(suite.attrib[name]) for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": 2, "failures": 1, "errors": 1, "skipped": 0}
    assert [(case.get("name"), [child.tag for child in case]) for case in suite] == [
        ("norm-helps", ["failure"]),
        ("width-helps", ["error"]),
    ]
    run_test("refuted", "supported", "--junit", str(junit), "--allow-inconclusive")
    assert ElementTree.parse(junit).find("testsuite/testcase/skipped") is not None


@pytest.mark.parametrize(
    ("expect", "width", "words"),
    [("supported", "", "1 of 1"), ("refuted", "", "0 of 1"), ("supported", "supported", "1 of 2")],
)
def test_the_badge_counts_claims(
    run_test: Callable[..., Result], tmp_path: Path, expect: str, width: str, words: str
) -> None:
    badge = tmp_path / "badge.svg"
    run_test(expect, width, "--badge", str(badge))
    root = ElementTree.parse(badge).getroot()
    assert root.get("aria-label") == f"claims: {words} as expected"


def test_a_study_that_was_edited_since_its_last_run_is_refused(run_test: Callable[..., Result], tmp_path: Path) -> None:
    run_test("supported")
    path = tmp_path / "norm.yaml"
    path.write_text(path.read_text().replace("b: base, expect", "b: wide, expect"), encoding="utf-8")
    result = CliRunner().invoke(app, ["test", str(path), "--out", str(tmp_path / "results")])
    assert "decides otherwise than the study in" in str(result.exception)
    assert "vgg_ablate run" in str(result.exception)


def test_a_study_without_expectations_is_refused(run_test: Callable[..., Result]) -> None:
    result = run_test("null")
    assert "no claim has the verdict that it expects; add to one: expect: supported" in str(result.exception)


def test_a_study_that_was_not_run_is_undecided_and_the_others_are_judged(
    run_test: Callable[..., Result], tmp_path: Path
) -> None:
    run_test("supported")
    (tmp_path / "new.yaml").write_text((STUDY % ("supported", "")).replace("name: norm", "name: not-run"), "utf-8")
    # The results folder stands for the study that was run: --out would hold for both.
    result = CliRunner().invoke(app, ["test", str(tmp_path / "new.yaml"), str(tmp_path / "results")])
    assert result.exit_code == 3
    undecided, passed = result.stdout.splitlines()
    assert undecided.startswith("undecided: not-run/norm-helps: expected supported, got inconclusive: ")
    assert undecided.endswith(f"not run yet; first: python -m vgg_ablate run {tmp_path / 'new.yaml'}")
    assert passed.startswith("passed: norm/norm-helps: ")


def test_claims_about_runs_of_another_program(tmp_path: Path) -> None:
    runs = write_runs(tmp_path / "runs.csv", make_runs())
    for expect, status in (("supported", 0), ("refuted", 1)):
        claims = write_claims(tmp_path / "claims.yaml", claims=[{**CLAIM, "expect": expect}])
        assert CliRunner().invoke(app, ["test", str(claims), "--runs", str(runs)]).exit_code == status


def test_an_expectation_changes_no_verdict_of_judge() -> None:
    import vgg_ablate

    plain, expecting = (
        vgg_ablate.judge(make_runs(), make_claims(claims=[claim])).claims
        for claim in (CLAIM, {**CLAIM, "expect": "refuted"})
    )
    assert plain.equals(expecting)
