"""The statements of the study note that this project started from: N1 to N7.

The note's "VGG16" is the preset `note`. It has one convolution in the first block: 15 weight layers and 138,320,616
parameters, 36,928 fewer than D.
"""

from __future__ import annotations

from typing import Any

from vgg_ablate.paper.statement import ClaimReference, Statement


def _build_note(number: int, text: str, **more: Any) -> Statement:
    return Statement(id=f"N{number}", kind="note", section="note", text=text, **more)


NOTE = (
    _build_note(
        1,
        "A 7x7 convolution can be replaced by three 3x3, a 5x5 by two 3x3.",
        comparison="one large filter against a stack of 3x3",
        metric="receptive field, output",
        caveats=(
            "The receptive field is the same; the function is not: three 3x3 express fewer linear filters (A05).",
        ),
        is_computed=True,
        claims=(
            ClaimReference("kernels-cifar10", "pair", decides=False),
            ClaimReference("kernels-cifar10", "triple", decides=False),
            ClaimReference("kernels-cifar10", "triple-matched", decides=False),
            ClaimReference("kernels", "pair", decides=False),
            ClaimReference("kernels", "triple", decides=False),
        ),
    ),
    _build_note(
        2,
        "One 5x5 has 25 weights, two 3x3 have 18: deepening with small filters saves parameters, the more the deeper.",
        numbers="25 and 18",
        comparison="one n x n against its stack of 3x3, equal widths",
        metric="weights",
        caveats=("Where a block widens from C to 2C, one 5x5 (50 C²) has fewer weights than the pair (54 C²).",),
        is_computed=True,
    ),
    _build_note(
        3,
        "Stacking enlarges the receptive field.",
        comparison="1 to 4 stacked 3x3",
        metric="receptive field",
        is_computed=True,
    ),
    _build_note(
        4,
        "The activations between the stacked layers add non-linearity and expressive power.",
        comparison="pairs of 3x3 with and without norm and activation in between",
        metric="activation layers; test error",
        is_computed=True,
        claims=(
            ClaimReference("activation", "activation-helps"),
            ClaimReference("activation", "norm-and-activation-help", decides=False),
            ClaimReference("kernels-cifar10", "pair-activation", decides=False),
            ClaimReference("kernels-cifar10", "triple-activation", decides=False),
        ),
    ),
    _build_note(
        5,
        "The three fully connected layers hold too many parameters.",
        comparison="dense layers against all of D; dense head against global average pooling",
        metric="share of params; test error",
        elsewhere="CIFAR-10, a conventional net (Lin et al., arXiv:1312.4400): dense head 17.56, with dropout 15.99, "
        "global average pooling 16.46 % error",
        caveats=(
            '"Too many" is a judgement: the share is computed, and the study heads tests what the layers contribute.',
        ),
        is_computed=True,
        claims=(
            ClaimReference("heads", "gap-as-good-as-dense"),
            ClaimReference("heads", "none-as-good-as-dense", decides=False),
            ClaimReference("heads", "gap-has-fewer-params", decides=False),
        ),
    ),
    _build_note(
        6,
        "Its modules chain like railway carriages.",
        comparison="the blocks of D",
        metric="shapes",
        is_computed=True,
    ),
    _build_note(
        7,
        "`in_channels` and `num_classes` are arguments.",
        comparison="note at 1 and 3 channels, 10 and 1000 classes",
        metric="params",
        is_computed=True,
    ),
)
