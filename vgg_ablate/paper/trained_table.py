"""The table of trained statements: the paper's difference beside the one found here, one row per deciding claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from vgg_ablate.analysis.metrics import get_claim_unit, get_shown_sign
from vgg_ablate.analysis.pairs import compute_shown_difference, flip_interval
from vgg_ablate.analysis.verdicts import HorizonVerdict, Verdict
from vgg_ablate.formatting import numbers
from vgg_ablate.formatting.cells import MeanCell, TableCell, TextCell
from vgg_ablate.formatting.table import Column, Table, TableRow
from vgg_ablate.paper.standing import ClaimAnswer, Standing
from vgg_ablate.report import wording
from vgg_ablate.report.claims_table import build_claim_difference_cell


def build_trained_table(standings: Sequence[Standing]) -> Table:
    """Return one row per deciding claim that has results; `standings` without any give a table without rows."""
    columns = (
        Column("id", "left"),
        Column("the paper's claim", "left"),
        Column("paper: a − b"),
        Column("error of a, %"),
        Column("error of b, %"),
        Column("a − b, points [95 %]"),
        Column("% of b"),
        Column("here", "left"),
    )
    rows = tuple(row for standing in standings for row in _build_rows(standing))
    notes: tuple[str, ...] = (
        "Errors: mean ± standard deviation over the seeds (their number), in percent. a − b is paired by seed; "
        "negative: a has less error. % of b: the same difference relative to the error of b. Paper: top-1 points on "
        "ImageNet, one run per net.",
    )
    shown = [answer.verdict for standing in standings for answer in _select_answers(standing) if answer.verdict]
    notes = tuple(note for note in (*notes, wording.describe_shown_interval(shown)) if note and rows)
    return Table("claims", "The paper's trained claims, here", columns, rows, notes)


def describe_levels(verdict: Verdict) -> str:
    """Return the difference at every recorded level of the horizons: `20: +0.4 [−0.1, 0.9]; 40: ...`."""
    sign = get_shown_sign(verdict.claim.metric)
    return "; ".join(
        f"{level}: {_format_level(judged, sign)}" for level, judged in verdict.horizons.items() if isfinite(judged.mean)
    )


def _format_level(judged: HorizonVerdict, sign: int) -> str:
    low, high = flip_interval((judged.ci_low, judged.ci_high), sign)
    return numbers.format_difference(sign * judged.mean, low, high, (high - low) / 4)  # 4: about two t quantiles


def _select_answers(standing: Standing) -> list[ClaimAnswer]:
    return [answer for answer in standing.deciding_answers if answer.word != "not run yet"]


def _build_rows(standing: Standing) -> Iterator[TableRow]:
    for index, answer in enumerate(_select_answers(standing)):
        assert answer.verdict is not None
        first = index == 0
        cells: tuple[TableCell, ...] = (
            TextCell(standing.statement.id if first else ""),
            TextCell(answer.verdict.claim.text),
            TextCell(_format_printed(answer)),
            *_build_side_cells(answer),
            _build_difference_cell(answer.verdict),
            TextCell(_format_percent(answer)),
            TextCell(_describe_word(standing) if first else ""),
        )
        yield TableRow(cells)


def _describe_word(standing: Standing) -> str:
    """Return the word on a statement, and the training that it is from while a longer one is to come."""
    so_far = dict.fromkeys(answer.so_far for answer in standing.deciding_answers if answer.so_far)
    return f"{standing.word} ({'; '.join(so_far)})" if so_far else standing.word


def _format_printed(answer: ClaimAnswer) -> str:
    printed = answer.reference.printed
    return numbers.DASH if printed is None else numbers.format_number(printed.difference, 1, signed=True)


def _build_side_cells(answer: ClaimAnswer) -> tuple[TableCell, TableCell]:
    assert answer.verdict is not None
    if answer.verdict.counts is not None:
        trained_a, runs_a, trained_b, runs_b = answer.verdict.counts
        return TextCell(f"trained {trained_a}/{runs_a}"), TextCell(f"trained {trained_b}/{runs_b}")
    if answer.sides is None:
        return TextCell(numbers.DASH), TextCell(numbers.DASH)
    a, b = (MeanCell(side.mean, side.sd, side.n, shows_n=True) for side in answer.sides)
    return a, b


def _build_difference_cell(verdict: Verdict) -> TableCell:
    """Return the cell of the difference, with its unit where that is not the one of the heading."""
    if get_claim_unit(verdict.claim) == "points":
        return build_claim_difference_cell(verdict)
    return TextCell(wording.format_estimate(verdict))


def _format_percent(answer: ClaimAnswer) -> str:
    if answer.sides is None or answer.verdict is None or not answer.sides[1].mean:
        return numbers.DASH
    relative = 100 * compute_shown_difference(answer.verdict).mean / answer.sides[1].mean
    return numbers.format_number(relative, 1, signed=True) if isfinite(relative) else numbers.DASH
