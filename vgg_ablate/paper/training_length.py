"""The paper's comparisons of nets over the length of the training: results/paper/training-length.svg.

The registered runs are those of the study `depth`. The shorter trainings are those of withdrawn studies: they decide
nothing, and show where a comparison begins.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vgg_ablate.analysis.data_facts import collect_data_facts
from vgg_ablate.analysis.stability import collect_level_differences
from vgg_ablate.analysis.stats import FloatArray
from vgg_ablate.analysis.summary import Report
from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import DATASETS
from vgg_ablate.paper.standing import ReadReport
from vgg_ablate.report.figures import canvas
from vgg_ablate.report.figures.level_effects import EffectPanel, EffectPoint, build_point, plot_level_effects

STUDY = "depth"
# Only studies on CIFAR-10 with the nets of `depth`, batch normalisation included.
WITHDRAWN_STUDIES = ("depth", "shallow", "longer", "all-images", "all-images-depth", "all-images-longer")
_WIDTH = 0.125

ErrorsBySeed = dict[int, float]
NetErrors = dict[tuple[str, int], ErrorsBySeed]  # (preset, images seen) -> test errors


class Comparison(NamedTuple):
    """Two nets of the paper, and what it prints for them."""

    title: str
    a: str  # preset
    b: str
    printed_percent: float  # a - b, as a percentage of the error of b


COMPARISONS = (
    # "7 % worse": 7 % more error than B, read as a relative change; the paper prints neither error.
    Comparison("B against shallow (5x5): E06", "B", "shallow", 100 * (1 / 1.07 - 1)),
    # Top-1 errors of table 3, S = Q = 256.
    Comparison("B against A: E02", "B", "A", 100 * (28.7 / 29.6 - 1)),
    Comparison("C against B: E04", "C", "B", 100 * (28.1 / 28.7 - 1)),
    Comparison("D against B: E02", "D", "B", 100 * (27.0 / 28.7 - 1)),
    Comparison("E against D: E03", "E", "D", 100 * (27.3 / 27.0 - 1)),
)


def render_training_length(read_report: ReadReport, withdrawn: Path) -> str:
    """Draw the relative differences over the images that the training has seen, as SVG; empty without any run."""
    panels = collect_length_panels(read_report, withdrawn)
    if not panels:
        return ""
    return canvas.render_svg(lambda: plot_level_effects(panels, "images seen, thousands", "a − b, % of b"))


def collect_length_panels(read_report: ReadReport, withdrawn: Path) -> list[EffectPanel]:
    """Return one panel per comparison that has runs; differences are percentages of the error of b.

    `withdrawn` is the folder of the withdrawn studies.
    """
    errors, registered = read_withdrawn_errors(withdrawn), read_report(STUDY)
    panels = []
    for comparison in COMPARISONS:
        points = _compare_withdrawn(comparison, errors) + _compare_registered(comparison, registered)
        if points:
            panels.append(EffectPanel(comparison.title, points, reference=comparison.printed_percent))
    return panels


def read_withdrawn_errors(folder: Path) -> NetErrors:
    """Return the test errors of the withdrawn studies, by preset and number of images that the training has seen.

    Their records are of an older version, so that they are read as JSON. Nets that are no preset are left out.
    """
    errors: NetErrors = {}
    all_images = DATASETS["cifar10"].examples
    assert all_images is not None  # the data set has a fixed size
    for study in WITHDRAWN_STUDIES:
        for path in sorted((folder / study / "records").glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            run, tested = record["run"], record["tested"]
            preset = _name_presets().get(_describe_convs(run["arch"]["stages"]))
            if preset is None or tested is None:
                continue
            data = run["data"]
            images = round((data["limit"] or all_images.train) * (1 - data["validation"])) * run["train"]["epochs"]
            errors.setdefault((preset, images), {})[run["seed"]] = 1 - tested["test_accuracy"]
    return errors


@cache
def _name_presets() -> dict[str, str]:
    """Return the preset of every compared net, by its convolutions at the width of the studies."""
    presets = {preset for comparison in COMPARISONS for preset in (comparison.a, comparison.b)}
    archs = {preset: Arch.model_validate({"preset": preset, "width": _WIDTH}).to_normal_form() for preset in presets}
    return {_describe_convs(arch.model_dump(mode="json")["stages"]): preset for preset, arch in archs.items()}


def _describe_convs(stages: list[dict[str, Any]]) -> str:
    return json.dumps([[[conv["channels"], conv["kernel"]] for conv in stage["convs"]] for stage in stages])


def _compare_withdrawn(comparison: Comparison, errors: NetErrors) -> tuple[EffectPoint, ...]:
    points = []
    for preset, images in sorted(errors, key=lambda key: key[1]):
        if preset != comparison.a or (comparison.b, images) not in errors:
            continue
        a, b = errors[comparison.a, images], errors[comparison.b, images]
        seeds = sorted(set(a) & set(b))
        differences = np.array([a[seed] - b[seed] for seed in seeds])
        points.append(_build_relative_point(images, differences, np.array([b[seed] for seed in seeds]), withdrawn=True))
    return tuple(points)


def _compare_registered(comparison: Comparison, report: Report | None) -> tuple[EffectPoint, ...]:
    if report is None:
        return ()
    images = collect_data_facts(report.results, report.base.name).train
    a, b = ("base" if preset == "B" else preset for preset in (comparison.a, comparison.b))  # names of variants
    differences = collect_level_differences(report.study, report.frame, {a: 1.0, b: -1.0})
    errors = collect_level_differences(report.study, report.frame, {b: 1.0})
    return tuple(
        _build_relative_point(round(float(level) * images), seeds, errors[level])
        for level, seeds in differences.items()
        if images is not None
    )


def _build_relative_point(
    images: int, differences: FloatArray, errors: FloatArray, *, withdrawn: bool = False
) -> EffectPoint:
    """Return the mean difference with its interval, both as a percentage of the mean error of b."""
    point = build_point(images / 1000, differences)
    factor = 100 / float(errors.mean())
    return EffectPoint(point.level, factor * point.mean, factor * point.low, factor * point.high, withdrawn)
