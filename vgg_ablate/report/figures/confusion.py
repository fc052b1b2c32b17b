"""The confusion matrix of the base, with the accuracy of every class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from vgg_ablate.analysis.data_facts import collect_data_facts, sum_confusion
from vgg_ablate.analysis.summary import Report
from vgg_ablate.formatting import numbers
from vgg_ablate.report.figures import canvas

MAX_CLASSES = 20  # with more, the numbers in the cells cannot be read
_LEFT, _TOP, _PITCH = 1.1, 0.35, 0.27  # inches: names of classes, predicted classes, side of a cell


@dataclass(frozen=True)
class ConfusionMatrix:
    """Numbers of test answers, summed over seeds: rows are the true classes, columns the predicted ones."""

    counts: NDArray[np.int64]
    names: tuple[str, ...]


def collect_confusion(report: Report) -> ConfusionMatrix | None:
    """Return the confusion matrix of the base; None where the records have none, or too many classes to draw."""
    counts = sum_confusion(report.results, report.base.name)
    if counts is None or len(counts) > MAX_CLASSES:
        return None
    names = collect_data_facts(report.results, report.base.name).class_names
    return ConfusionMatrix(counts, names if len(names) == len(counts) else tuple(map(str, range(len(counts)))))


def plot_confusion(matrix: ConfusionMatrix) -> Figure:
    """Draw one row per true class: the share of its answers as shade, their number as text, the accuracy beside."""
    count = len(matrix.counts)
    side = _PITCH * count
    figure = canvas.create_figure(canvas.WIDTH, _TOP + side + 0.45)
    axes = canvas.add_axes(figure, _LEFT, _TOP, side, side)
    totals = matrix.counts.sum(axis=1, keepdims=True)
    errors = np.where(np.eye(count, dtype=bool), 0.0, matrix.counts / np.maximum(totals, 1))
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -0.5)
    darkest = float(errors.max()) or 1.0
    for row in range(count):
        for column in range(count):
            if row == column or not matrix.counts[row, column]:
                continue
            share = 0.1 + 0.6 * float(errors[row, column]) / darkest
            axes.fill_between(
                [column - 0.5, column + 0.5], row - 0.5, row + 0.5, color=canvas.REFUTED_COLOR, alpha=share, linewidth=0
            )
            axes.text(column, row, str(matrix.counts[row, column]), ha="center", va="center", fontsize=6)
        accuracy = matrix.counts[row, row] / totals[row, 0] if totals[row, 0] else float("nan")
        axes.text(count - 0.3, row, numbers.format_percentage(float(accuracy)), va="center", fontsize=7.5)
    names = [canvas.wrap_text(name, _LEFT - 0.15, canvas.SMALL_FONT_SIZE, 1)[0] for name in matrix.names]
    axes.set_yticks(range(count), names)
    axes.set_xticks(range(count), [str(index) for index in range(count)])
    axes.set_xlabel("predicted class, in the order of the rows; right: accuracy of the true class")
    return figure
