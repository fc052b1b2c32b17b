"""Figures agree with the verdicts, are the same in every process, and have no overlapping texts."""

from __future__ import annotations

import subprocess
import sys
from itertools import combinations
from math import isnan
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from tests.report import design_factories, factories
from vgg_ablate.analysis import summary
from vgg_ablate.analysis.pairs import compute_deciding_interval, compute_gains
from vgg_ablate.analysis.summary import Report
from vgg_ablate.records import Record
from vgg_ablate.report import write
from vgg_ablate.report.figures import canvas, confusion, cost_error, curves, forest, nets, registry, scales

KINDS = """\
version: 1
name: kinds
question: Do all kinds of claims show?
seeds: 6
data: {name: digits, image_size: 32}
arch: {stages: "4 4 | 8 8", norm: batch}
train: {epochs: 3}
variants:
  five: {arch.kernel: 5}
  wide: {arch.width: 2}
  deep: {arch.depth: 3}
claims:
  - {id: better, text: base beats five, kind: better, a: base, b: five, margin: 0.5}
  - {id: worse, text: five is worse than base, kind: worse, a: five, b: base}
  - {id: not-worse, text: wide is not worse than base, kind: not_worse, a: wide, b: base, margin: 0.3}
  - {id: equivalent, text: wide changes nothing, kind: equivalent, a: wide, b: base, margin: 1.0}
  - {id: different, text: deep changes something, kind: different, a: deep, b: base, margin: 0.5}
  - {id: fast, text: five is faster, kind: better, a: five, b: base, metric: images_per_second}
  - {id: weights, text: five has more weights, kind: better, a: base, b: five, metric: params}
"""


def load_random_report(folder: Path, seed: int, spread: float) -> Report:
    """Load a report with every kind of claim over random accuracies."""
    draws = np.random.default_rng(seed)
    means = {name: draws.uniform(0.9, 0.98) for name in ("base", "five", "wide", "deep")}
    noise = {(name, s): draws.normal(0, spread) for name in means for s in range(6)}
    return summary.load_report(
        factories.make_results_folder(folder, lambda name, s: means[name] + noise[name, s], text=KINDS)
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return load_random_report(tmp_path_factory.mktemp("figures") / "kinds", 3, 0.004)


@pytest.fixture(scope="module", params=design_factories.DESIGNS)
def design(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Load a report of every kind of design."""
    return summary.load_report(
        design_factories.make_design_folder(tmp_path_factory.mktemp("designs") / request.param, request.param)
    )


def find_hidden_texts(figure: Figure) -> list[tuple[str, str]]:
    """Return pairs of texts that overlap, and texts that cross the edge of the figure."""
    figure.set_dpi(288)  # at this resolution hinting does not widen letters
    agg = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    renderer = agg.get_renderer()  # type: ignore[no-untyped-call]
    undrawn = _find_undrawn_labels(figure)
    texts = [text for text in figure.findobj(Text) if isinstance(text, Text) and text.get_visible() and text.get_text()]
    # Text.get_window_extent and not the method of an annotation, which includes the line to its point.
    shown = [(text.get_text(), Text.get_window_extent(text, renderer)) for text in texts if text not in undrawn]
    faults = [(one, other) for (one, a), (other, b) in combinations(shown, 2) if a.padded(-2).overlaps(b.padded(-2))]
    whole = figure.bbox
    return faults + [
        (text, "the edge")
        for text, box in shown
        if box.x0 < -4 or box.y0 < -4 or box.x1 > whole.x1 + 4 or box.y1 > whole.y1 + 4
    ]


def _find_undrawn_labels(figure: Figure) -> set[Text]:
    """Return labels of ticks outside of their axes, which matplotlib keeps without drawing them."""
    labels: set[Text] = set()
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            outside = [tick for tick in axis.get_major_ticks() if not min(limits) <= tick.get_loc() <= max(limits)]
            labels |= {label for tick in outside for label in (tick.label1, tick.label2)}
    return labels


def test_no_text_hides_another(report: Report) -> None:
    with canvas.use_style():
        hidden = {spec.name: find_hidden_texts(spec.draw()) for spec in registry.build_figure_specs(report)}
    assert hidden == {name: [] for name in ("forest", "budget", "nets", "curves")}


def test_every_design_has_its_figures_without_overlapping_texts(design: Report) -> None:
    specs = list(registry.build_figure_specs(design))
    assert [spec.name for spec in specs] == design_factories.DESIGNS[design.study.design.kind][1]
    with canvas.use_style():
        hidden = {spec.name: find_hidden_texts(spec.draw()) for spec in specs}
    assert hidden == {name: [] for name in hidden}


def test_a_figure_is_added_by_one_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(report: Report) -> registry.Draw | None:
        seeds = report.study.seed_list
        return (lambda: canvas.create_figure(2, len(seeds))) if len(seeds) == 6 else None

    entry = registry.FigureEntry("seeds", "The seeds", "One inch per seed.", prepare)
    monkeypatch.setattr(registry, "FIGURES", (entry, *registry.FIGURES))
    folder = factories.make_results_folder(tmp_path / "six", text=KINDS)
    write.write_report(folder)
    assert 'height="432pt"' in (folder / "figures" / "seeds.svg").read_text(encoding="utf-8")
    assert "![The seeds](figures/seeds.svg)" in (folder / "report.md").read_text(encoding="utf-8")
    assert '<figure id="figure-seeds">' in (folder / "report.html").read_text(encoding="utf-8")
    other = factories.make_results_folder(tmp_path / "five")
    assert "figures/seeds.svg" not in write.build_files(write.write_report(other))


def test_nets_mark_the_layers_that_differ_from_the_base(tmp_path: Path) -> None:
    report = summary.load_report(factories.make_results_folder(tmp_path / "kinds", text=KINDS))
    marks = {
        net.name: [
            "missing" if pair.item is None else (*nets.format_layer(pair.item), "new" if pair.differs else "same")
            for block in net.blocks
            for pair in block
            if pair.item is None or pair.item.kind != "pool"
        ]
        for net in nets.collect_nets(report)
    }
    first, second = ("3×3", "4", "same"), ("3×3", "8", "same")
    head = ("fc", "10", "same")
    assert marks["base"] == [first, first, second, second, head]
    assert marks["five"] == [("5×5", "4", "new"), "missing", ("5×5", "8", "new"), "missing", head]
    assert marks["wide"] == [("3×3", "8", "new")] * 2 + [("3×3", "16", "new")] * 2 + [head]
    assert marks["deep"] == [first, first, ("3×3", "4", "new"), second, second, ("3×3", "8", "new"), head]


def test_coordinates_are_rounded_and_words_are_not() -> None:
    def draw() -> Figure:
        figure = canvas.create_figure(2, 1)
        figure.text(1 / 3, 0.5, "+3.799 [3.600, 3.972]")
        return figure

    svg = canvas.render_svg(draw)
    assert ">+3.799 [3.600, 3.972]<" in svg
    assert 'x="48"' in svg


def test_panels_of_a_factorial_design_have_titles_that_differ(tmp_path: Path) -> None:
    factors = "factors: {arch.norm: [batch, none], arch.activation: [relu, gelu], arch.width: [1, 2]}"
    text = f"{design_factories.HEAD}design:\n  kind: factorial\n  {factors}\n"
    report = summary.load_report(factories.make_results_folder(tmp_path / "cells", text=text))
    with canvas.use_style():
        titles = [axes.get_title(loc="left") for axes in curves.plot_curves(curves.collect_curves(report)).axes]
    assert len(set(titles)) == len(titles) == 8
    assert "none, gelu, 2" in titles


def test_a_figure_is_the_same_byte_for_byte_in_another_process(report: Report) -> None:
    code = (
        "import sys; from vgg_ablate.analysis import summary; from vgg_ablate.report.figures import registry\n"
        f"report = summary.load_report({str(report.folder)!r})\n"
        "sys.stdout.write(''.join(figure.svg for figure in registry.render_figures(report)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7", "PATH": ""},
    )
    assert done.stdout == "".join(figure.svg for figure in registry.render_figures(report))


def test_a_figure_keeps_its_text_as_text_and_has_no_date(report: Report) -> None:
    for figure in registry.render_figures(report):
        assert "<text" in figure.svg
        assert "dc:date" not in figure.svg
        assert "http://" not in figure.svg.split("<g", 1)[1]


def test_drawings_by_another_matplotlib_are_not_compared() -> None:
    ours = '<p>1</p><svg viewBox="0 0 1 1">a</svg> Matplotlib v3.11.2'
    theirs = '<p>1</p><svg viewBox="0 0 1 1">b</svg> Matplotlib v3.9.0'
    one, other = canvas.drop_incomparable_drawings(ours, theirs)
    assert one == other == "<p>1</p>"
    assert canvas.drop_incomparable_drawings(ours, ours.replace("a<", "b<"))[1].count("b<") == 1


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000), spread=st.sampled_from([0.001, 0.004, 0.02]))
def test_the_forest_plot_is_the_verdict(seed: int, spread: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    report = load_random_report(tmp_path_factory.mktemp("forest") / "kinds", seed, spread)
    for verdict in report.verdicts:
        if verdict.is_exact or verdict.reason:
            continue
        low, high = compute_deciding_interval(verdict)
        inside = verdict.claim.region[0] < low and high < verdict.claim.region[1]
        beyond = high < verdict.claim.region[0] or low > verdict.claim.region[1]
        yes, no = (beyond, inside) if verdict.claim.kind == "different" else (inside, beyond)
        assert verdict.verdict == ("supported" if yes else "refuted" if no else "inconclusive")


def test_the_gains_behind_a_verdict_average_to_it(report: Report) -> None:
    for verdict in report.verdicts:
        gains = compute_gains(verdict, report.frame)
        assert verdict.is_exact or np.mean(list(gains.values())) == pytest.approx(verdict.mean)
        assert len(gains) == verdict.n


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 9)), min_size=1, max_size=12))
def test_the_front_has_the_points_that_no_other_point_beats(values: list[tuple[int, int]]) -> None:
    points = [
        cost_error.CostPoint(str(index), False, {"macs": macs, "params": macs}, float(error), 0.0)
        for index, (macs, error) in enumerate(values)
    ]
    front = {(point.costs["macs"], point.mean) for point in cost_error.find_front_points(points, "macs")}
    beaten = {
        (macs, error)
        for macs, error in values
        if any(m <= macs and e <= error and (m, e) != (macs, error) for m, e in values)
    }
    assert front == set(values) - beaten


def test_a_claim_without_an_estimate_has_its_row(tmp_path: Path) -> None:
    missing = frozenset({("five", seed) for seed in range(6)})
    report = summary.load_report(factories.make_results_folder(tmp_path / "missing", text=KINDS, missing=missing))
    rows = forest.collect_forest_rows(report)
    assert [isnan(row.mean) for row in rows if row.name in ("better", "equivalent")] == [True, False]
    with canvas.use_style():
        assert find_hidden_texts(forest.plot_forest(rows)) == []


@given(st.integers(1, 10**14), st.floats(1.0, 1e9), st.sampled_from(["x", "y"]))
@settings(max_examples=100, deadline=None)
def test_an_axis_of_costs_can_be_read_whatever_they_are(low: int, ratio: float, way: Literal["x", "y"]) -> None:
    figure = canvas.create_figure(3, 2)
    axes = figure.add_axes((0.2, 0.2, 0.7, 0.7))
    values = [low, round(low * ratio)]
    scales.set_cost_scale(axes, values, way)
    axis, (first, last) = (axes.xaxis, axes.get_xlim()) if way == "x" else (axes.yaxis, axes.get_ylim())
    assert first < min(values) <= max(values) < last
    ticks = [tick for tick in axis.get_majorticklocs() if first <= tick <= last]
    assert 2 <= len(ticks) <= 7


def test_a_long_text_is_wrapped_with_few_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    measure = canvas.measure_text_inches

    def count_and_measure(text: str, size: float = canvas.FONT_SIZE) -> float:
        measured.append(len(text))
        return measure(text, size)

    monkeypatch.setattr(canvas, "measure_text_inches", count_and_measure)
    long = " ".join(f"word{number}" for number in range(20_000))
    lines = canvas.wrap_text(long, 2.4)
    assert len(lines) == 3
    assert long.startswith(" ".join(lines).removesuffix("…"))
    assert sum(measured) < 20_000  # letters: each word was measured in the whole rest of the text before


def test_confusions_are_summed_over_seeds_where_records_have_them(tmp_path: Path) -> None:
    counts = np.full((10, 10), 1) + 8 * np.eye(10, dtype=int)

    def add_confusion(record: Record, variant: str) -> Record:
        assert record.tested is not None
        tested = record.tested.model_copy(update={"details": {"confusion": counts.tolist()}})
        return record.model_copy(update={"tested": tested})

    without = summary.load_report(factories.make_results_folder(tmp_path / "without"))
    assert confusion.collect_confusion(without) is None
    report = summary.load_report(factories.make_results_folder(tmp_path / "with", change=add_confusion))
    matrix = confusion.collect_confusion(report)
    assert matrix is not None
    assert matrix.counts.tolist() == (5 * counts).tolist()
    assert matrix.names == tuple("0123456789")
    with canvas.use_style():
        assert find_hidden_texts(confusion.plot_confusion(matrix)) == []


def test_shortened_names_of_a_factorial_stay_distinct() -> None:
    names = [f"net={net}+std={std}+lr={lr}" for net in "AD" for std in (0.01, 0.056) for lr in (0.01, 0.1)]
    shortened = [canvas.shorten_name(name, 1.2) for name in names]
    assert shortened[1] == "A, 0.01, 0.1"
    assert len(set(shortened)) == len(names)
    assert canvas.shorten_name("five-matched", 1.2) == "five-matched"
