"""Studies with horizons and trends: the last level is compared, every level is judged, changes are reported."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import linregress, ttest_1samp

import vgg_ablate
from tests.report.factories import make_results_folder
from vgg_ablate.analysis.detectable import compute_detectable_effects
from vgg_ablate.analysis.frame_csv import read_csv
from vgg_ablate.analysis.metrics import collect_by_seed
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.study import load
from vgg_ablate.manifest import Manifest
from vgg_ablate.report import markdown, write
from vgg_ablate.runs.plan import build_plan

STUDY = """\
version: 1
name: pretend
question: Do pretend variants differ for long?
seeds: 5
smallest_effect: 0.5
horizons: {train.epochs: [1, 2]}
data: {name: cifar10, image_size: 32}
arch: {stages: "4 4 | 8 8", norm: batch}
variants:
  five: {arch.kernel: 5}
  deep: {arch.depth: 4}
claims:
  - {id: small, text: two 3x3 beat one 5x5, kind: better, a: base, b: five}
  - {id: deeper, text: depth helps, kind: better, trend: {over: weight_layers, variants: [five, base, deep]}}
  - {id: cheap, text: w, kind: different, trend: {over: macs, variants: [five, base, deep]}, metric: val_error}
  - {id: longer, text: epochs help, kind: better, trend: {over: train.epochs, variants: [base@1, base]}}
  - {id: both, text: two beat one, kind: better, a: [base, deep], b: five}
  - {id: trains, text: it trains more often, kind: better, a: base, b: five, metric: trained}
  - {id: fewer, text: weights fall, kind: worse, trend: {over: weight_layers, variants: [five, deep]}, metric: params}
"""
ERRORS = {"base@1": 0.3, "five@1": 0.2, "deep@1": 0.35, "base": 0.2, "five": 0.3, "deep": 0.1}


def accuracy(name: str, seed: int) -> float:
    return 1 - ERRORS[name] - 0.004 * float(np.random.default_rng([seed, *map(ord, name)]).normal())


def write_and_read(folder: Path) -> tuple[dict[str, Verdict], dict[str, Any]]:
    report = write.write_report(folder)
    assert report.problems == ()
    document = json.loads(write.serialize_report(report))
    return {one.claim.id: one for one in report.verdicts}, {one["id"]: one for one in document["claims"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_results_folder(tmp_path_factory.mktemp("results") / "pretend", accuracy, text=STUDY)


def test_the_table_and_its_best_are_of_the_last_level(folder: Path) -> None:
    report = load_report(folder)
    assert [row.name for row in report.rows] == ["base", "five", "deep"]
    assert [row.name for row in report.rows if row.is_best] == ["deep"]
    table = vgg_ablate.frame(folder)
    assert list(dict.fromkeys(table["variant"])) == ["base", "five", "deep", "base@1", "five@1", "deep@1"]
    assert dict(zip(table["variant"], table["horizon"], strict=True)) == {
        "base": 2, "five": 2, "deep": 2, "base@1": 1, "five@1": 1, "deep@1": 1
    }  # fmt: skip
    write.write_report(folder)
    assert read_csv(folder / "runs.csv").equals(table)
    assert write.check_report(folder) == []


def test_every_level_is_judged_and_where_the_two_longest_disagree_the_verdict_is_not_stable(folder: Path) -> None:
    _, claims = write_and_read(folder)
    small = claims["small"]
    assert (small["verdict"], small["stable"]) == ("supported", False)
    assert {level: verdict_json["verdict"] for level, verdict_json in small["horizons"].items()} == {
        "1": "refuted",
        "2": "supported",
    }
    assert small["horizons"]["2"]["mean"] == small["mean"]
    assert small["horizons"]["1"]["mean"] == pytest.approx(-10, abs=1)
    assert (claims["fewer"]["stable"], set(claims["fewer"]["horizons"])) == (True, {"1", "2"})
    assert (claims["longer"]["stable"], claims["longer"]["horizons"]) == (None, {})  # it names its levels itself
    assert (small["smallest_effect"], claims["deeper"]["smallest_effect"]) == (0.5, None)


def test_a_level_that_is_not_recorded_says_nothing_about_stability(tmp_path: Path) -> None:
    missing = frozenset((name, seed) for name in ("base", "five", "deep") for seed in range(5))
    _, claims = write_and_read(make_results_folder(tmp_path / "pretend", accuracy, text=STUDY, missing=missing))
    small = claims["small"]
    assert (small["verdict"], small["stable"], small["n"]) == ("inconclusive", None, 0)
    assert (small["horizons"]["1"]["verdict"], small["horizons"]["1"]["complete"]) == ("refuted", True)
    assert (small["horizons"]["2"]["mean"], small["horizons"]["2"]["complete"]) == (None, False)


@pytest.mark.parametrize(
    ("name", "numbers", "metric"),
    [
        ("deeper", {"five": 3, "base": 5, "deep": 9}, "test_error"),
        ("longer", {"base@1": 1, "base": 2}, "test_error"),
    ],
)
def test_a_trend_is_one_slope_a_seed_and_a_t_test_of_them(
    folder: Path, name: str, numbers: dict[str, int], metric: str
) -> None:
    verdicts, _ = write_and_read(folder)
    table, verdict = collect_by_seed(vgg_ablate.frame(folder), metric), verdicts[name]
    slopes = [
        -linregress(list(numbers.values()), [table[variant][seed] for variant in numbers]).slope for seed in range(5)
    ]
    expected = ttest_1samp(slopes, 0)
    assert verdict.mean == pytest.approx(expected.statistic * np.std(slopes, ddof=1) / np.sqrt(5))
    assert verdict.p == pytest.approx(expected.pvalue)
    assert (verdict.ci_low, verdict.ci_high) == pytest.approx(tuple(expected.confidence_interval(0.95)))


def test_trends_and_counts_are_said_in_their_units(folder: Path) -> None:
    write_and_read(folder)
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert re.search(r"depth helps: 3\.\d+ points less error per layer", text, re.IGNORECASE)
    assert " points per layer" in text
    assert " points per million MACs" in text
    assert " points per epoch" in text
    assert "test error falls with weight_layers, over five, base and deep" in text
    assert re.search(r"\| the mean of base and deep 1\d\.\d+ \| five 3\d\.\d+ \| −1\d\.\d+ \[", text)
    assert "base trained 5/5, five 5/5" in text
    for name in ("report.html", "table.tex"):
        assert "weight" in (folder / name).read_text(encoding="utf-8")


def test_a_slope_over_millions_of_macs_is_not_rounded_away(folder: Path) -> None:
    verdicts, _ = write_and_read(folder)
    cost = build_plan(load(folder / "study.yaml"), lambda data: "0" * 16)
    macs = {cell.variant: cell.costs["macs"] for cell in cost.cells}
    table = collect_by_seed(vgg_ablate.frame(folder), "val_error")
    names = ["five", "base", "deep"]
    slopes = [
        -linregress([macs[name] / 1e6 for name in names], [table[name][seed] for name in names]).slope
        for seed in range(5)
    ]
    assert verdicts["cheap"].mean == pytest.approx(np.mean(slopes), rel=1e-6)


def test_an_exact_metric_has_an_exact_slope(folder: Path) -> None:
    verdicts, _ = write_and_read(folder)
    cells = {cell.variant: cell.costs for cell in build_plan(load(folder / "study.yaml"), lambda data: "0" * 16).cells}
    rise = (cells["deep"]["params"] - cells["five"]["params"]) / 6
    assert verdicts["fewer"].mean == pytest.approx(-rise)
    assert verdicts["fewer"].is_exact


def test_what_claims_could_see_is_read_off_the_last_level(folder: Path) -> None:
    effects = {
        one.claim.id: one
        for one in compute_detectable_effects(
            load(folder / "study.yaml"), Manifest.read(folder).planned, "0" * 16, folder
        )
    }
    verdicts, _ = write_and_read(folder)
    for name in ("small", "deeper", "both", "longer"):
        assert effects[name].sd == pytest.approx(verdicts[name].sd)
    assert (effects["trains"].sd, effects["trains"].source) == (None, "counts: an exact test")


def test_a_trend_that_cannot_be_is_named_and_left_out(tmp_path: Path) -> None:
    folder = make_results_folder(tmp_path / "pretend", accuracy, text=STUDY)
    path = folder / "study.yaml"
    edited = path.read_text().replace(
        "over: weight_layers, variants: [five, deep]", "over: macs, variants: [five, five2]"
    )
    edited = edited.replace("  deep:", "  five2: {arch.kernel: 5, train.lr: 0.2}\n  deep:")
    path.write_text(edited)
    report = load_report(folder)
    problem = report.problems[-1]
    assert problem.startswith("study.yaml: claims[6].trend.over: is ")
    assert problem.endswith(" in every variant, so that no slope is defined; this claim is left out")
    assert "fewer" not in {verdict.claim.id for verdict in report.verdicts}
    assert len(report.verdicts) == 6


def register(folder: Path, changed: list[dict[str, Any]], **more: Any) -> list[str]:
    from vgg_ablate.config.content_hash import hash_content
    from vgg_ablate.config.registration import build_deciding_content

    decides = build_deciding_content(load(folder / "study.yaml"))
    registration = {"date": "2026-11-25", "hash": hash_content(decides), "registered_at": "T0", "recorded": 0}
    manifest = Manifest.read(folder)
    known = {**manifest.provenance, "registration": {**registration, "deciding": decides, **more}, "history": changed}
    manifest.model_copy(update={"provenance": known}).write(folder)
    return [
        note
        for note in markdown.build_notes(load_report(folder))
        if note.startswith(("Registered", "Changed", "study.yaml has registered"))
    ]


def test_the_report_says_whether_anything_changed_since_it_was_registered(tmp_path: Path) -> None:
    text = STUDY.replace("seeds: 5", "seeds: 5\nregistered: 2026-11-25")
    folder = make_results_folder(tmp_path / "pretend", accuracy, text=text)
    report = load_report(folder)
    assert "study.yaml has registered: 2026-11-25, but the manifest has no registration." in markdown.build_notes(
        report
    )
    (said,) = register(folder, [])
    assert said.startswith("Registered 2026-11-25 (hash ")
    assert said.endswith("written T0), before the first record; no part that decides claims has changed since.")
    (said,) = register(folder, [], recorded=3)
    assert "after 3 recorded runs; no part" in said
    (said,) = register(folder, [], hash="0" * 16)
    assert said.endswith("; the registered content was edited: its hash is another.")

    register(
        folder, [{"at": "T1", "changed": []}, {"at": "T2", "changed": ["seeds"]}, {"at": "T3", "changed": ["seeds"]}]
    )
    path = folder / "study.yaml"
    path.write_text(path.read_text().replace("seeds: 5", "seeds: 4").replace("kind: different", "kind: better"))
    said, *more = [
        note for note in markdown.build_notes(load_report(folder)) if note.startswith(("Registered", "Changed"))
    ]
    assert said.endswith("; parts that decide claims have changed since.")
    assert more == [
        "Changed after the first record, in study.yaml, not run since: claims[cheap].kind.",
        "Changed after the first record, T2: seeds.",
    ]
