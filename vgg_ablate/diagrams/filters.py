"""Pictures of what a trained net looks at: its first filters, and its effective receptive field."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from vgg_ablate.diagrams.svg import SvgSheet, measure_text_width, truncate_text
from vgg_ablate.formatting.table import Column, CountCell, QuantityCell, Table, TableRow, TextCell

Floats = NDArray[np.float64]

INK, SOFT, RULE = "#1c2126", "#5c656e", "#c9cfd5"
_MINUS, _PLUS, _FIELD, _EFFECTIVE = "#0b5fa5", "#b84a00", "#08365f", "#d55e00"
_MOST = 256  # filters in one picture
_CELLS = 56  # a side: finer fields are drawn in larger cells
_MARGIN, _TILE, _GAP, _PANEL = 18.0, 34.0, 6.0, 224.0
_LAP = 0.4  # by which a cell reaches under the next, so that no seam shows between them
_ABREAST, _ROW = 4, 326.0  # panels in a row, pixels from one row to the next


@dataclass(frozen=True)
class FieldMeasurement:
    """How far the centre unit of a net's last map could see, and how far it does."""

    name: str
    field: Floats  # rows x columns of the image: mean absolute gradient, summing to 1
    rows: tuple[int, int]  # pixels, first and one past the last, that it could see; they may lie in the padding
    columns: tuple[int, int]
    side: int  # of the square that holds 95 % of the gradient

    @property
    def could(self) -> int:
        """The theoretical receptive field in pixels; of oblong ones, the longer way."""
        return max(self.rows[1] - self.rows[0], self.columns[1] - self.columns[0])


def draw_filters(kernels: Floats, name: str) -> str:
    """The first convolution's filters (filters x channels x rows x columns) as SVG.

    Three channels are shown as colours, each filter on its own scale, grey being 0. Otherwise the mean over channels,
    all on one scale.
    """
    shown = kernels[:_MOST]
    across = ceil(sqrt(len(shown) * 1.6))
    sheet, colours = SvgSheet(), _colours(shown)
    for index in range(len(shown)):
        row, column = divmod(index, across)
        corner = (_MARGIN + column * (_TILE + _GAP), 58 + row * (_TILE + _GAP))
        _tile(sheet, colours[index], corner)
    channels = f"{kernels.shape[1]} channel{'s' * (kernels.shape[1] > 1)}"
    words = f"{len(kernels)} filters of {kernels.shape[2]}×{kernels.shape[3]} on {channels}"
    words += f", the first {_MOST}" if len(kernels) > _MOST else ""
    scale = "colours: red, green, blue; grey: 0" if kernels.shape[1] == 3 else "orange: positive, blue: negative"
    width = max(2 * _MARGIN + across * (_TILE + _GAP), 2 * _MARGIN + measure_text_width(words, 10.0))
    sheet.text(_MARGIN, 30, truncate_text(name, 14.0, width - 2 * _MARGIN), size=14.0, fill=INK, bold=True)
    sheet.text(_MARGIN, 46, words, size=10.0, fill=SOFT)
    foot = 58 + ceil(len(shown) / across) * (_TILE + _GAP)
    sheet.text(_MARGIN, foot + 12, scale, size=9.5, fill=SOFT)
    return sheet.written(width, foot + 12 + _MARGIN, f"{name}: first filters", words)


def draw_fields(nets: Sequence[FieldMeasurement], how: str) -> str:
    """Effective fields beside each other as SVG: darker is more gradient, on a square-root scale.

    `how` says over which weights and inputs.
    """
    sheet = SvgSheet()
    for index, one in enumerate(nets):
        row, column = divmod(index, _ABREAST)
        _panel(sheet, one, _MARGIN + column * (_PANEL + 2 * _MARGIN), row * _ROW)
    x, y = _MARGIN, ceil(len(nets) / _ABREAST) * _ROW
    for colour, words in ((INK, "theoretical receptive field"), (_EFFECTIVE, "holds 95 % of the gradient")):
        sheet.box(x, y - 9, 10, 10, "none", f'stroke="{colour}" stroke-width="2"')
        sheet.text(x + 15, y, words, size=9.5, fill=SOFT)
        x, y = (x, y + 16) if len(nets) == 1 else (x + 29 + measure_text_width(words, 9.5), y)
    width = min(len(nets), _ABREAST) * (_PANEL + 2 * _MARGIN)
    names = ", ".join(one.name for one in nets)
    return sheet.written(width, y + _MARGIN, "Effective receptive fields", f"{names}: {how}")


def build_field_table(nets: Sequence[FieldMeasurement], how: str) -> Table:
    """A row a net; `how` says over which weights and inputs."""
    rows = [
        TableRow(
            (
                TextCell(one.name),
                CountCell(len(one.field)),
                CountCell(one.could),
                CountCell(one.side),
                QuantityCell(one.side**2 / one.could**2, "percentage"),
            )
        )
        for one in nets
    ]
    columns = (
        Column("net", "net", "left"),
        Column("image (px)", "image_size"),
        Column("could see (px)", "theoretical"),
        Column("sees (px)", "effective"),
        Column("of the area", "share"),
    )
    note = "sees: the side of the square around the gradient's middle that holds 95 % of it (Luo et al., 2016)"
    return Table("fields", "The centre unit of the last map", columns, tuple(rows), (note, how))


def serialize_fields(nets: Sequence[FieldMeasurement], how: str) -> str:
    """The same as one document: a net, or a list of them. `sees` lies around the gradient's middle, in pixels."""
    found = [
        {
            "name": one.name,
            "how": how,
            "image_size": len(one.field),
            "theoretical_field": one.could,
            "theoretical_rows": one.rows,
            "theoretical_columns": one.columns,
            "effective_field": one.side,
            "share_of_area": one.side**2 / one.could**2,
        }
        for one in nets
    ]
    return json.dumps(found[0] if len(found) == 1 else {"variants": found}, indent=1)


def _panel(sheet: SvgSheet, one: FieldMeasurement, x: float, y: float) -> None:
    pixel, top = _PANEL / len(one.field), y + 58 + 8
    name, words = truncate_text(one.name, 14.0, 0.88 * _PANEL), f"could see {one.could} px, sees {one.side} px"
    sheet.text(x, y + 30, name, size=14.0, fill=INK, bold=True)
    sheet.text(x, y + 46, words, size=10.0, fill=SOFT)
    sheet.box(x, top, _PANEL, _PANEL, "#ffffff", f'stroke="{RULE}"')
    cells = _binned(one.field)
    strongest, side = cells.max() or 1.0, pixel * ceil(len(one.field) / len(cells))
    for row, column in np.argwhere(cells > 0):
        strength = sqrt(cells[row, column] / strongest)
        if strength >= 0.02:
            across, down = (min(side + _LAP, _PANEL - at * side) for at in (column, row))
            sheet.box(x + column * side, top + row * side, across, down, _mixed("#ffffff", _FIELD, strength))
    rows, columns = np.indices(one.field.shape)
    middle = [float((ways * one.field).sum()) + 0.5 for ways in (rows, columns)]
    _outline(sheet, x, top, pixel, one.rows, one.columns, INK)
    inside = [min(max(at - one.side / 2, 0.0), len(one.field) - one.side) for at in middle]  # it ends with the image
    down, across = ((at, at + one.side) for at in inside)
    _outline(sheet, x, top, pixel, down, across, _EFFECTIVE)


def _outline(
    sheet: SvgSheet,
    x: float,
    top: float,
    pixel: float,
    rows: tuple[float, float],
    columns: tuple[float, float],
    ink: str,
) -> None:
    """A square in pixels of the image; what lies outside is drawn just outside the frame."""
    low, high = -6.0, _PANEL + 6.0
    left, right = (min(max(side * pixel, low), high) for side in columns)
    upper, lower = (min(max(side * pixel, low), high) for side in rows)
    sheet.box(x + left, top + upper, right - left, lower - upper, "none", f'stroke="{ink}" stroke-width="2"')


def _binned(field: Floats) -> Floats:
    """Sums over cells, at most _CELLS a side; the last of a row may be narrower."""
    step = ceil(len(field) / _CELLS)
    rest = -len(field) % step
    padded = np.pad(field, ((0, rest), (0, rest)))
    side = len(padded) // step
    binned: Floats = padded.reshape(side, step, side, step).sum((1, 3))
    return binned


def _tile(sheet: SvgSheet, colours: list[list[str]], corner: tuple[float, float]) -> None:
    high, wide = _TILE / len(colours), _TILE / len(colours[0])
    for row, line in enumerate(colours):
        for column, colour in enumerate(line):
            sheet.box(corner[0] + column * wide, corner[1] + row * high, wide, high, colour)
    sheet.box(*corner, _TILE, _TILE, "none", f'stroke="{RULE}" stroke-width="0.5"')


def _colours(kernels: Floats) -> list[list[list[str]]]:
    """A colour for every weight: filters x rows x columns."""
    if kernels.shape[1] == 3:
        strongest = np.abs(kernels).max(axis=(1, 2, 3), keepdims=True)
        levels = np.rint(127.5 * (1 + kernels / np.where(strongest > 0, strongest, 1))).astype(int)
        return [
            [["#" + "".join(f"{level:02x}" for level in weight) for weight in row] for row in one.transpose(1, 2, 0)]
            for one in levels
        ]
    flat = kernels.mean(axis=1)
    strongest = float(np.abs(flat).max()) or 1.0
    return [
        [[_mixed("#ffffff", _PLUS if value > 0 else _MINUS, abs(value) / strongest) for value in row] for row in one]
        for one in flat
    ]


def _mixed(light: str, dark: str, share: float) -> str:
    pairs = [(int(light[at : at + 2], 16), int(dark[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(one + (other - one) * share):02x}" for one, other in pairs)
