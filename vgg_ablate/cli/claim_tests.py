"""`test STUDY...`: claims as tests, with JUnit XML and an exit status for CI."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import JSON, OUT, find_results_folder, load_study
from vgg_ablate.errors import Problem, SpecError

if TYPE_CHECKING:
    from vgg_ablate.report.claim_tests import ClaimTest

STUDIES = Annotated[
    list[Path],
    typer.Argument(metavar="STUDY...", help="Study files or results folders; with --runs, files of claims."),
]
RUNS = Annotated[
    str | None, typer.Option(metavar="RUNS", help="Runs of another program, as for judge; STUDY is a file of claims.")
]
JUNIT = Annotated[Path | None, typer.Option(metavar="FILE", help="Write JUnit XML.")]
BADGE = Annotated[Path | None, typer.Option(metavar="FILE", help="Write an SVG badge.")]
ALLOW = Annotated[bool, typer.Option("--allow-inconclusive", help="Do not fail for a claim that is inconclusive.")]


def check_claims(
    studies: STUDIES,
    runs: RUNS = None,
    out: OUT = None,
    junit: JUNIT = None,
    badge: BADGE = None,
    allow_inconclusive: ALLOW = False,
    as_json: JSON = False,
) -> None:
    """Check that every claim with `expect` has the expected verdict, by the records; nothing is trained.

    Exit status 1 if a verdict is another one, 3 if a claim is inconclusive or its study was not run yet.
    """
    from vgg_ablate.files import replace_file
    from vgg_ablate.report import claim_tests

    tests = _judge_claims(studies, runs) if runs is not None else _collect_study_tests(studies, out)
    if not tests:
        names = ", ".join(map(str, studies))
        rule = "no claim has the verdict that it expects; add to one: expect: supported, refuted or no difference"
        raise SpecError(Problem(rule, "claims", names))
    if junit is not None:
        replace_file(junit, claim_tests.render_junit(tests, allow_inconclusive=allow_inconclusive))
    if badge is not None:
        replace_file(badge, claim_tests.render_badge(tests))
    if as_json:
        print(json.dumps([{**asdict(item), "state": item.state} for item in tests], indent=1, ensure_ascii=False))
    else:
        print("\n".join(item.describe() for item in tests))
    states = {item.state for item in tests}
    if "failed" in states:
        raise typer.Exit(1)
    if "undecided" in states and not allow_inconclusive:
        raise typer.Exit(3)


def _collect_study_tests(studies: list[Path], out: Path | None) -> list[ClaimTest]:
    from vgg_ablate.analysis.summary import load_report
    from vgg_ablate.report.claim_tests import collect_claim_tests, list_unrun_tests
    from vgg_ablate.runs.results_dir import read_manifest, save_texts

    tests: list[ClaimTest] = []
    for study in studies:
        folder = find_results_folder(study, out)
        if study.is_file() and read_manifest(folder) is None:
            tests += list_unrun_tests(load_study(study, None), f"not run yet; first: python -m vgg_ablate run {study}")
            continue
        # Expectations are those of the file. A verdict on a claim that was edited since would be about another one.
        if study.is_file() and not save_texts(load_study(study, None), folder):
            rule = f"decides otherwise than the study in {folder}; first: python -m vgg_ablate run {study}"
            raise SpecError(Problem(rule, location=str(study)))
        report = load_report(folder)
        tests += collect_claim_tests(report.study.name, report.verdicts)
    return tests


def _judge_claims(files: list[Path], runs: str) -> list[ClaimTest]:
    from vgg_ablate.external.claims_file import load_claims
    from vgg_ablate.external.judging import judge_runs
    from vgg_ablate.external.sources import read_runs
    from vgg_ablate.report.claim_tests import collect_claim_tests

    source = read_runs(runs)
    tests: list[ClaimTest] = []
    for file in files:
        judgement = judge_runs(source, load_claims(file))
        with judgement.use_metrics():
            tests += collect_claim_tests(file.stem, judgement.verdicts)
    return tests
