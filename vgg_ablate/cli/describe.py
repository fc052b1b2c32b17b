"""`describe PRESET|STUDY[:VARIANT]`: what a net is made of, what it costs, how far it sees."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import JSON
from vgg_ablate.errors import Problem, SpecError

if TYPE_CHECKING:
    from vgg_ablate.models.width_matching import ResolvedVariant

TARGET = Annotated[
    str | None,
    typer.Argument(metavar="PRESET|STUDY[:VARIANT]", help="D, a study file, or stages such as '16 16 | 32 32'."),
]
SIZE = Annotated[int | None, typer.Option("--image-size", metavar="N", min=1, help="Pixels a side.")]
CLASSES = Annotated[int | None, typer.Option("--classes", metavar="N", min=1, help="How many classes.")]
SVG = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", help="Draw the net, or the variants, as trains of blocks.")
]


FILTERS = Annotated[
    Path | None,
    typer.Option(
        "--filters",
        metavar="RECORD|WEIGHTS",
        help="Draw the first filters of a trained net; a record is trained again.",
    ),
]
FIELD = Annotated[
    bool, typer.Option("--field", help="Measure how far the net really sees; RECORD or WEIGHTS: as trained. Slow.")
]
DEVICE = Annotated[
    str | None, typer.Option(help="Where a record is trained again: cpu, cuda:0; default: what it says.")
]


def describe(
    target: TARGET = None,
    image_size: SIZE = None,
    classes: CLASSES = None,
    as_json: JSON = False,
    svg: SVG = None,
    filters: FILTERS = None,
    field: FIELD = False,
    device: DEVICE = None,
) -> None:
    """Show a net's layers, receptive fields, params and MACs; of a study, its variants side by side."""
    from vgg_ablate.cli.inspect_weights import draw_field, draw_filters, is_trained

    if filters is not None:
        if target is not None or field:
            rule = "--filters shows one trained net, and nothing beside it"
            raise SpecError(Problem(rule, place="command line", got=target or "--field"))
        draw_filters(filters, svg, device, as_json=as_json)
    elif target is None:
        raise SpecError(Problem("a preset, a study file or stages must be given", place="command line"))
    elif field:
        draw_field(target, image_size, classes, svg, device, as_json=as_json)
    elif is_trained(target):
        rule = "a trained net is shown by `--field`, or `--filters` before its name"
        raise SpecError(Problem(rule, place=target))
    else:
        _told(target, image_size, classes, svg, as_json=as_json)


def _told(target: str, image_size: int | None, classes: int | None, svg: Path | None, *, as_json: bool) -> None:
    from vgg_ablate.cli.targets import resolve_target, warn_about_size

    nets = resolve_target(target, image_size, classes)
    warn_about_size(nets)
    if svg is not None:
        from vgg_ablate.diagrams import network, table1
        from vgg_ablate.files import replace_file

        replace_file(svg, network.draw_networks([table1.describe_variant(one) for one in nets]))
        print(f"written: {svg}", file=sys.stderr)
    _said(nets, as_json=as_json)


def _said(nets: tuple[ResolvedVariant, ...], *, as_json: bool) -> None:
    import json

    from vgg_ablate.diagrams import layer_table, table1
    from vgg_ablate.formatting import table

    named = [table1.describe_variant(one) for one in nets]
    if as_json:
        found = [layer_table.build_variant_data(one) for one in named]
        print(json.dumps(found[0] if len(found) == 1 else {"variants": found}, indent=1))
    elif len(named) == 1:
        each = [
            (table1.build_table1_column(one), layer_table.build_layer_table(one.arch, one.name))
            for one in named[0].nets
        ]
        table.print_tables([shown for pair in each for shown in pair])
        if named[0].ensemble:
            table.print_tables([table1.build_cost_table(named)])
    else:
        table.print_tables(table1.build_variant_tables(named))
