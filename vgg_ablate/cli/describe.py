"""`describe PRESET|STUDY[:VARIANT]`: the layers of a net, its costs and its receptive field."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vgg_ablate.cli.arguments import JSON
from vgg_ablate.errors import Problem, SpecError

if TYPE_CHECKING:
    from vgg_ablate.models.width_matching import ResolvedVariant

TARGET = Annotated[
    str | None,
    typer.Argument(metavar="PRESET|STUDY[:VARIANT]", help="Preset such as D, study file, or stages: '16 16 | 32 32'."),
]
SIZE = Annotated[int | None, typer.Option("--image-size", metavar="N", min=1, help="Side of the image, in pixels.")]
CLASSES = Annotated[int | None, typer.Option("--classes", metavar="N", min=1, help="Number of classes.")]
SVG = Annotated[
    Path | None, typer.Option("--svg", metavar="FILE", help="Draw the net, or the variants, into an SVG file.")
]
FILTERS = Annotated[
    Path | None,
    typer.Option(
        "--filters",
        metavar="RECORD|WEIGHTS",
        help="Draw the first filters of a trained net; the run of a record is trained again.",
    ),
]
FIELD = Annotated[
    bool,
    typer.Option(
        "--field",
        help="Measure the effective receptive field; of a RECORD or WEIGHTS file, with its trained weights. Slow.",
    ),
]
DEVICE = Annotated[
    str | None,
    typer.Option(help="Device on which a record is trained again: cpu, cuda:0; default: that of the record."),
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
    """Show the layers, receptive fields, parameters and MACs of a net, or the variants of a study side by side."""
    from vgg_ablate.cli.inspect_weights import draw_field, draw_filters, is_trained

    if filters is not None:
        if target is not None or field:
            rule = "--filters takes no other net and no --field"
            raise SpecError(Problem(rule, location="command line", got=target or "--field"))
        draw_filters(filters, svg, device, as_json=as_json)
    elif target is None:
        raise SpecError(Problem("needs a preset, a study file or stages", location="command line"))
    elif field:
        draw_field(target, image_size, classes, svg, device, as_json=as_json)
    elif is_trained(target):
        raise SpecError(Problem("a trained net needs --field, or --filters before its name", location=target))
    else:
        _describe_nets(target, image_size, classes, svg, as_json=as_json)


def _describe_nets(
    target: str, image_size: int | None, classes: int | None, svg: Path | None, *, as_json: bool
) -> None:
    from vgg_ablate.cli.targets import resolve_target, warn_about_size

    nets = resolve_target(target, image_size, classes)
    warn_about_size(nets)
    if svg is not None:
        from vgg_ablate.diagrams import network, table1
        from vgg_ablate.files import replace_file

        replace_file(svg, network.draw_networks([table1.describe_variant(net) for net in nets]))
        print(f"written: {svg}", file=sys.stderr)
    _print_nets(nets, as_json=as_json)


def _print_nets(nets: Sequence[ResolvedVariant], *, as_json: bool) -> None:
    import json

    from vgg_ablate.diagrams import layer_table, table1
    from vgg_ablate.formatting import table

    descriptions = [table1.describe_variant(net) for net in nets]
    if as_json:
        documents = [layer_table.build_variant_data(description) for description in descriptions]
        print(json.dumps(documents[0] if len(documents) == 1 else {"variants": documents}, indent=1))
    elif len(descriptions) == 1:
        for net in descriptions[0].nets:  # several nets: an ensemble
            column = table1.build_table1_column(net)
            table.print_tables([column, layer_table.build_layer_table(net.arch, net.name)])
        if descriptions[0].ensemble:
            table.print_tables([table1.build_cost_table(descriptions)])
    else:
        table.print_tables(table1.build_variant_tables(descriptions))
