"""Nets for tests: presets, Hypothesis strategies of small nets, and the class map of a net."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from torch import Tensor

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.models.vgg import Vgg

IMAGENET = Shape(224, 3, 1000)


def make_arch(given: Any, shape: Shape = IMAGENET) -> Arch:
    """Return the net of anything that a study can hold under `arch:`, in its normal form."""
    return Arch.model_validate(given).with_shape(shape).to_normal_form()


@st.composite
def arch_mappings(draw: st.DrawFn, kernels: tuple[str, ...] = ("1", "3", "5", "1x3", "3x1")) -> dict[str, Any]:
    """Draw what a study could hold under `arch:` for a small net."""
    conv = st.builds(
        lambda channels, side, bare: f"{4 * channels}@{side}{bare}",
        st.integers(1, 6),
        st.sampled_from(kernels),
        st.sampled_from(["", "", "", "~", "~norm"]),
    )
    stages = draw(st.lists(st.lists(conv, min_size=1, max_size=3).map(" ".join), min_size=1, max_size=3))
    head = {
        "hidden": draw(st.lists(st.integers(1, 20), max_size=3)),
        "dropout": draw(st.sampled_from([0.0, 0.5])),
        "pool": draw(st.sampled_from(["none", "global", 2])),
        "convolutional": draw(st.booleans()),
    }
    return {
        "stages": draw(st.sampled_from([" | ", " / "])).join(stages),
        "norm": draw(st.sampled_from(["none", "batch", "lrn", {"kind": "group", "groups": 4}])),
        "pool": draw(st.sampled_from(["max", "average", "conv"])),
        "bias": draw(st.booleans()),
        "activation": draw(st.sampled_from(["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"])),
        "head": head,
    }


@st.composite
def archs(draw: st.DrawFn) -> Arch:
    """Draw a small net in its normal form."""
    shape = Shape(draw(st.integers(12, 20)), draw(st.sampled_from([1, 3])), draw(st.integers(2, 12)))
    return make_arch(draw(arch_mappings()), shape)


def compute_class_map(model: Vgg, images: Tensor) -> Tensor:
    """Return the logits of a convolutional head at every position: float, N x classes x rows x columns.

    The map is 1 x 1 on images of the net's own size. On larger ones of side Q it has floor(Q / 32) - 6 rows for five
    poolings and a 7 x 7 last map (claim A15).
    """
    maps: Tensor = model.avgpool(model.features(images))
    for module in list(model.classifier)[:-2]:  # the last two average over the map and flatten
        maps = module(maps)
    return maps
