"""`space STUDY`: count the nets that a search could propose, those within its constraints, and the best of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import JSON, OVERRIDES, STUDY, load_study

if TYPE_CHECKING:
    from vgg_ablate.space.survey import Survey

DRAW = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        help="Points to draw from a space that is too large to be counted; "
        "default: 1,000,000, or 100,000 where nets are matched to a budget.",
    ),
]
FRONT = Annotated[
    Path | None, typer.Option("--front", metavar="FILE", help="Write the Pareto front as CSV, and as SVG beside it.")
]


def space(
    study: STUDY, overrides: OVERRIDES = None, draw: DRAW = None, front: FRONT = None, as_json: JSON = False
) -> None:
    """Count a search's space without training: nets that exist, nets within the constraints, and their Pareto front."""
    import json
    from time import perf_counter

    from vgg_ablate.space.refusals import SPARSE_SHARE, find_refusals
    from vgg_ablate.space.survey import build_space

    checked = load_study(study, overrides)
    start = perf_counter()
    built = build_space(checked)
    survey = built.survey(draw)
    seconds = perf_counter() - start
    print(f"{survey.seen:,} nets counted in {seconds:.1f} s ({survey.seen / seconds:,.0f}/s)", file=sys.stderr)
    if front is not None:
        _write_front(survey, front, checked.name)
    if as_json:
        print(json.dumps(_build_document(survey), indent=1))
    else:
        print_survey(survey)
        if survey.meet < SPARSE_SHARE * survey.seen:
            print(find_refusals(built, checked))


def _write_front(survey: Survey, path: Path, name: str) -> None:
    from vgg_ablate.files import replace_file
    from vgg_ablate.report.figures.pareto import draw_front, serialize_front

    replace_file(path, serialize_front(survey.front))
    replace_file(path.with_suffix(".svg"), draw_front(survey.front, name))
    print(f"written: {path} and {path.with_suffix('.svg')}", file=sys.stderr)


def _build_document(survey: Survey) -> dict[str, object]:
    return {
        "size": survey.size,
        "seen": survey.seen,
        "drawn": survey.scales,
        "exist": survey.exist,
        "unmatched": survey.unmatched,
        "meet": survey.meet,
        "low": survey.low,
        "high": survey.high,
        "front": [{"point": point, **costs.as_dict()} for point, costs in survey.front],
    }


def print_survey(survey: Survey) -> None:
    """Print how many nets a space has, how many are within the constraints, and the range of their costs."""
    from vgg_ablate.formatting import numbers

    size = "infinitely many nets" if survey.size is None else f"{survey.size:,} nets"
    drawn = "" if survey.seen == survey.size else f"; {survey.seen:,} drawn at random, as a search starts"
    print(f"the space has {size}{drawn}")
    for path, scale in survey.scales.items():
        print(f"  {path} has no step: drawn {scale}")
    if survey.unmatched is not None:
        share = numbers.format_percentage(survey.unmatched / survey.seen)
        print(f"{survey.unmatched:,} do not meet their budget at any width ({share})")
    print(f"{survey.exist:,} exist ({numbers.format_percentage(survey.exist / survey.seen)})")
    print(f"{survey.meet:,} meet the constraints ({numbers.format_percentage(survey.meet / survey.seen)})")
    for cost, low in survey.low.items():
        print(f"  {cost}: {numbers.format_count(low)} to {numbers.format_count(survey.high[cost])}")
    print(f"{len(survey.front):,} are on the Pareto front of params, macs and receptive_field")
