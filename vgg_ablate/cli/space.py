"""`space STUDY`: how many nets a search could propose, which meet its constraints, and which are the best of them."""

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
        help="Points of a space that is too large to be counted whole; default: 1,000,000, of matched nets 100,000.",
    ),
]
FILE = Annotated[Path | None, typer.Option(metavar="FILE", help="The front as CSV; its picture goes beside it (.svg).")]


def space(
    study: STUDY, overrides: OVERRIDES = None, draw: DRAW = None, front: FILE = None, as_json: JSON = False
) -> None:
    """Count a design space by closed form: what exists, what meets the constraints, and the front of the best nets."""
    import json
    from time import perf_counter

    from vgg_ablate.space.survey import build_space

    asked = load_study(study, overrides)
    start = perf_counter()
    found = build_space(asked).survey(draw)
    seconds = perf_counter() - start
    print(f"{found.seen:,} nets counted in {seconds:.1f} s ({found.seen / seconds:,.0f}/s)", file=sys.stderr)
    if front is not None:
        _write(found, front, asked.name)
    if as_json:
        print(json.dumps(_data(found), indent=1))
    else:
        print_survey(found)


def _write(found: Survey, path: Path, name: str) -> None:
    from vgg_ablate.files import replace_file
    from vgg_ablate.report.html.front import draw_front, serialize_front

    replace_file(path, serialize_front(found.front))
    replace_file(path.with_suffix(".svg"), draw_front(found.front, name))
    print(f"written: {path} and {path.with_suffix('.svg')}", file=sys.stderr)


def _data(found: Survey) -> dict[str, object]:
    return {
        "size": found.size,
        "seen": found.seen,
        "drawn": found.scales,
        "exist": found.exist,
        "unmatched": found.unmatched,
        "meet": found.meet,
        "low": found.low,
        "high": found.high,
        "front": [{"point": point, **costs.as_dict()} for point, costs in found.front],
    }


def print_survey(found: Survey) -> None:
    """How many nets there are, how many of them meet the constraints, and what these cost."""
    from vgg_ablate.formatting import numbers

    whole = "no end of nets" if found.size is None else f"{found.size:,} nets"
    drawn = "" if found.seen == found.size else f"; {found.seen:,} drawn at random, as a search draws them first"
    print(f"the space has {whole}{drawn}")
    for path, scale in found.scales.items():
        print(f"  {path} has no step: drawn {scale}")
    if found.unmatched is not None:
        missed = numbers.format_percentage(found.unmatched / found.seen)
        print(f"{found.unmatched:,} meet their budget at no width ({missed}); the others are counted at theirs")
    print(f"{found.exist:,} exist ({numbers.format_percentage(found.exist / found.seen)})")
    print(f"{found.meet:,} meet the constraints ({numbers.format_percentage(found.meet / found.seen)})")
    for cost, low in found.low.items():
        print(f"  {cost}: {numbers.format_count(low)} to {numbers.format_count(found.high[cost])}")
    print(f"{len(found.front):,} are not bettered by another in params, macs and receptive_field together")
