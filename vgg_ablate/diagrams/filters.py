"""Drawings and tables of a net's first filters and of its effective receptive field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.diagrams.svg import SvgSheet, measure_text_width, truncate_text
from vgg_ablate.formatting.cells import CountCell, QuantityCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow

Floats = NDArray[np.float64]

INK, SOFT, RULE = "#1c2126", "#5c656e", "#c9cfd5"
_MINUS, _PLUS, _FIELD, _EFFECTIVE = "#0b5fa5", "#b84a00", "#08365f", "#d55e00"
_MAX_FILTERS = 256  # per drawing
_MAX_CELLS = 56  # per side of a field; finer fields are summed over larger cells, to keep the file small
_MARGIN, _TILE, _GAP, _PANEL = 18.0, 34.0, 6.0, 224.0  # pixels
_OVERLAP = 0.4  # pixels that a cell reaches under the next, so that renderers show no seam between them
_PANELS_PER_ROW, _ROW_HEIGHT = 4, 326.0
_MIN_STRENGTH = 0.02  # fainter cells look white
_TITLE_SIZE, _TEXT_SIZE, _SMALL_SIZE = 14.0, 10.0, 9.5


@dataclass(frozen=True)
class FieldMeasurement:
    """Theoretical and effective receptive field of the centre unit of a net's last map."""

    name: str
    field: Floats  # rows x columns of the image: mean absolute gradient, with sum 1
    rows: tuple[int, int]  # theoretical field in pixels: first, one past the last; may lie in the padding
    columns: tuple[int, int]
    side: int  # of the square that holds 95 % of the gradient, in pixels

    @property
    def theoretical_side(self) -> int:
        """The side of the theoretical receptive field in pixels; of an oblong one, the longer side."""
        return max(self.rows[1] - self.rows[0], self.columns[1] - self.columns[0])


def draw_filters(kernels: Floats, name: str) -> str:
    """Return the filters of a first convolution (filters x channels x rows x columns) as an SVG document.

    Three channels are shown as colours, each filter on its own scale, with grey for 0. Otherwise the mean over channels
    is shown, on one scale for all filters.
    """
    shown = kernels[:_MAX_FILTERS]
    per_row = ceil(sqrt(len(shown) * 1.6))  # a little wider than high
    sheet, colors = SvgSheet(), _color_filters(shown)
    for index in range(len(shown)):
        row, column = divmod(index, per_row)
        corner = (_MARGIN + column * (_TILE + _GAP), 58 + row * (_TILE + _GAP))
        _draw_tile(sheet, colors[index], corner)
    channels = f"{kernels.shape[1]} channel{'s' * (kernels.shape[1] > 1)}"
    subtitle = f"{len(kernels)} filters of {kernels.shape[2]}×{kernels.shape[3]} on {channels}"
    subtitle += f", the first {_MAX_FILTERS}" if len(kernels) > _MAX_FILTERS else ""
    legend = "colours: red, green, blue; grey: 0" if kernels.shape[1] == 3 else "orange: positive, blue: negative"
    width = 2 * _MARGIN + max(per_row * (_TILE + _GAP), measure_text_width(subtitle, _TEXT_SIZE))
    title = truncate_text(name, _TITLE_SIZE, width - 2 * _MARGIN)
    sheet.add_text(_MARGIN, 30, title, size=_TITLE_SIZE, fill=INK, bold=True)
    sheet.add_text(_MARGIN, 46, subtitle, size=_TEXT_SIZE, fill=SOFT)
    bottom = 58 + ceil(len(shown) / per_row) * (_TILE + _GAP)
    sheet.add_text(_MARGIN, bottom + 12, legend, size=_SMALL_SIZE, fill=SOFT)
    return sheet.render(width, bottom + 12 + _MARGIN, f"{name}: first filters", subtitle)


def draw_fields(measurements: Sequence[FieldMeasurement], how: str) -> str:
    """Return the effective fields of several nets, side by side, as an SVG document.

    Darker cells have more gradient, on a square-root scale. `how` names the weights and inputs that were used.
    """
    sheet = SvgSheet()
    for index, measurement in enumerate(measurements):
        row, column = divmod(index, _PANELS_PER_ROW)
        _draw_panel(sheet, measurement, _MARGIN + column * (_PANEL + 2 * _MARGIN), row * _ROW_HEIGHT)
    x, y = _MARGIN, ceil(len(measurements) / _PANELS_PER_ROW) * _ROW_HEIGHT
    for color, text in ((INK, "theoretical receptive field"), (_EFFECTIVE, "holds 95 % of the gradient")):
        sheet.add_box(x, y - 9, 10, 10, "none", f'stroke="{color}" stroke-width="2"')
        sheet.add_text(x + 15, y, text, size=_SMALL_SIZE, fill=SOFT)
        # One panel is too narrow for both entries on one line.
        x, y = (x, y + 16) if len(measurements) == 1 else (x + 29 + measure_text_width(text, _SMALL_SIZE), y)
    width = min(len(measurements), _PANELS_PER_ROW) * (_PANEL + 2 * _MARGIN)
    names = ", ".join(measurement.name for measurement in measurements)
    return sheet.render(width, y + _MARGIN, "Effective receptive fields", f"{names}: {how}")


def build_field_table(measurements: Sequence[FieldMeasurement], how: str) -> Table:
    """Return a table with one row per net. `how` names the weights and inputs that were used."""
    rows = [
        TableRow(
            (
                TextCell(measurement.name),
                CountCell(len(measurement.field)),
                CountCell(measurement.theoretical_side),
                CountCell(measurement.side),
                QuantityCell(measurement.side**2 / measurement.theoretical_side**2, "percentage"),
            )
        )
        for measurement in measurements
    ]
    columns = (
        Column("net", "left"),
        Column("image (px)"),
        Column("theoretical field (px)"),
        Column("effective field (px)"),
        Column("of the area"),
    )
    note = "effective field: the side of the square around the centre of mass that holds 95 % of the gradient"
    caption = "Receptive fields of the centre unit of the last map"
    return Table("fields", caption, columns, tuple(rows), (f"{note} (Luo et al., 2016)", how))


def serialize_fields(measurements: Sequence[FieldMeasurement], how: str) -> str:
    """Return the numbers of the table as JSON: one object, or for several nets a list under `variants`."""
    nets = [
        {
            "name": measurement.name,
            "how": how,
            "image_size": len(measurement.field),
            "theoretical_field": measurement.theoretical_side,
            "theoretical_rows": measurement.rows,
            "theoretical_columns": measurement.columns,
            "effective_field": measurement.side,
            "share_of_area": measurement.side**2 / measurement.theoretical_side**2,
        }
        for measurement in measurements
    ]
    return json.dumps(nets[0] if len(nets) == 1 else {"variants": nets}, indent=1)


def _draw_panel(sheet: SvgSheet, measurement: FieldMeasurement, x: float, y: float) -> None:
    field, side = measurement.field, measurement.side
    pixel, top = _PANEL / len(field), y + 58 + 8
    title = truncate_text(measurement.name, _TITLE_SIZE, 0.88 * _PANEL)
    sheet.add_text(x, y + 30, title, size=_TITLE_SIZE, fill=INK, bold=True)
    subtitle = f"theoretical {measurement.theoretical_side} px, effective {side} px"
    sheet.add_text(x, y + 46, subtitle, size=_TEXT_SIZE, fill=SOFT)
    sheet.add_box(x, top, _PANEL, _PANEL, "#ffffff", f'stroke="{RULE}"')
    cells = _sum_cells(field)
    strongest, cell_side = cells.max() or 1.0, pixel * ceil(len(field) / len(cells))
    for row, column in np.argwhere(cells > 0):
        strength = sqrt(cells[row, column] / strongest)
        if strength >= _MIN_STRENGTH:
            width, height = (min(cell_side + _OVERLAP, _PANEL - index * cell_side) for index in (column, row))
            color = _mix_colors("#ffffff", _FIELD, strength)
            sheet.add_box(x + column * cell_side, top + row * cell_side, width, height, color)
    _draw_outline(sheet, x, top, pixel, measurement.rows, measurement.columns, INK)
    center = [float((indices * field).sum()) + 0.5 for indices in np.indices(field.shape)]
    # The square is moved inside the image where the centre of mass is near an edge: no gradient lies outside.
    starts = [min(max(middle - side / 2, 0.0), len(field) - side) for middle in center]
    rows, columns = ((start, start + side) for start in starts)
    _draw_outline(sheet, x, top, pixel, rows, columns, _EFFECTIVE)


def _draw_outline(
    sheet: SvgSheet,
    x: float,
    top: float,
    pixel: float,
    rows: tuple[float, float],
    columns: tuple[float, float],
    color: str,
) -> None:
    """Draw a rectangle given in pixels of the image. Sides outside the image are drawn just outside the panel."""
    low, high = -6.0, _PANEL + 6.0
    left, right = (min(max(side * pixel, low), high) for side in columns)
    upper, lower = (min(max(side * pixel, low), high) for side in rows)
    sheet.add_box(x + left, top + upper, right - left, lower - upper, "none", f'stroke="{color}" stroke-width="2"')


def _sum_cells(field: Floats) -> Floats:
    """Return sums over square cells, at most _MAX_CELLS per side; the last of a row may hold fewer pixels."""
    step = ceil(len(field) / _MAX_CELLS)
    rest = -len(field) % step
    padded = np.pad(field, ((0, rest), (0, rest)))
    count = len(padded) // step
    cells: Floats = padded.reshape(count, step, count, step).sum((1, 3))
    return cells


def _draw_tile(sheet: SvgSheet, colors: list[list[str]], corner: tuple[float, float]) -> None:
    height, width = _TILE / len(colors), _TILE / len(colors[0])
    for row, line in enumerate(colors):
        for column, color in enumerate(line):
            sheet.add_box(corner[0] + column * width, corner[1] + row * height, width, height, color)
    sheet.add_box(*corner, _TILE, _TILE, "none", f'stroke="{RULE}" stroke-width="0.5"')


def _color_filters(kernels: Floats) -> list[list[list[str]]]:
    """Return a colour for every weight: filters x rows x columns."""
    if kernels.shape[1] == 3:
        strongest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
        levels = np.rint(127.5 * (1 + kernels / np.where(strongest > 0, strongest, 1))).astype(int)
        return [
            [["#" + "".join(f"{level:02x}" for level in weight) for weight in row] for row in kernel]
            for kernel in levels.transpose(0, 2, 3, 1)
        ]
    means = kernels.mean(axis=1)
    strongest_mean = float(np.abs(means).max()) or 1.0

    def color(value: float) -> str:
        return _mix_colors("#ffffff", _PLUS if value > 0 else _MINUS, abs(value) / strongest_mean)

    return [[[color(value) for value in row] for row in kernel] for kernel in means]


def _mix_colors(light: str, dark: str, share: float) -> str:
    """Return the colour at `share` of the way from `light` to `dark`, both as #rrggbb."""
    pairs = [(int(light[at : at + 2], 16), int(dark[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(low + (high - low) * share):02x}" for low, high in pairs)
