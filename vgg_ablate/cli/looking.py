"""What `describe --filters` and `describe --field` show: weights, and how far a net really sees. These need torch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import Problem, SpecError

if TYPE_CHECKING:
    from vgg_ablate.net.model import Vgg
    from vgg_ablate.report.weights import Seen
    from vgg_ablate.spec.arch import Arch


def draw_filters(path: Path, svg: Path | None) -> None:
    """Draw the first convolution's filters of a weights file."""
    from vgg_ablate.net.influence import first_filters
    from vgg_ablate.net.interop import loaded
    from vgg_ablate.records import replace_whole
    from vgg_ablate.report import weights

    _, model = loaded(_weights(path))
    where = svg or path.with_suffix(".filters.svg")
    replace_whole(where, weights.filters(first_filters(model), path.stem))
    print(f"written: {where}")


def draw_field(target: str, image_size: int | None, classes: int | None, svg: Path | None) -> None:
    """Measure how far the centre unit of the last map sees, over noise; print it, and draw it where asked."""
    from vgg_ablate.records import replace_whole
    from vgg_ablate.report import weights
    from vgg_ablate.report.table import printed

    if target.endswith(".safetensors"):
        from vgg_ablate.net.interop import loaded

        arch, model = loaded(_weights(Path(target)))
        seen, how = [_seen(Path(target).stem, arch, model)], "weights as trained"
    else:
        from vgg_ablate.cli.nets import resolved

        nets = resolved(target, image_size, classes)
        seen, how = [_seen(one.variant.name, one.arch, None) for one in nets], "weights as first drawn, from seed 0"
    printed([weights.table(seen, f"{how}; mean over 8 images of noise")])
    if svg is not None:
        replace_whole(svg, weights.fields(seen))
        print(f"written: {svg}", file=sys.stderr)


def _seen(name: str, arch: Arch, model: Vgg | None) -> Seen:
    from vgg_ablate.net.influence import field_of_noise, side_of_most
    from vgg_ablate.net.layers import layers, parts
    from vgg_ablate.net.sight import centre_square
    from vgg_ablate.report.weights import Seen

    rows, columns = centre_square(parts(layers(arch))[0])
    found = field_of_noise(arch, model)
    return Seen(name, found, rows, columns, min(side_of_most(found), len(found)))


def _weights(path: Path) -> Path:
    if path.suffix != ".safetensors":
        rule = "is no weights file (.safetensors): records hold none; `export STUDY VARIANT` makes one"
        raise SpecError(Problem(rule, place=str(path)))
    return path
