"""The paper's statements that arithmetic can decide: A01 to A18."""

from __future__ import annotations

from typing import Any

from vgg_ablate.paper.statement import Statement


def _build_analytic(number: int, section: str, text: str, **more: Any) -> Statement:
    return Statement(id=f"A{number:02}", kind="analytic", section=section, text=text, is_computed=True, **more)


ANALYTIC = (
    _build_analytic(
        1,
        "2.3",
        "Two stacked 3x3 convolutions, without pooling in between, see 5x5 pixels.",
        numbers="5",
        comparison="two 3x3 against one 5x5",
        metric="receptive field",
    ),
    _build_analytic(
        2,
        "2.3",
        "Three stacked 3x3 convolutions see 7x7 pixels.",
        numbers="7",
        comparison="three 3x3 against one 7x7",
        metric="receptive field",
    ),
    _build_analytic(
        3,
        "2.3",
        "With C channels in and out and no biases, one 7x7 needs 81 % more weights than three 3x3.",
        numbers="27 C² and 49 C²: 81 % more",
        comparison="three 3x3 against one 7x7",
        metric="weights",
        caveats=("The saving holds at constant width; E06 states the cost of a pair where the width doubles.",),
    ),
    _build_analytic(
        4,
        "2.3",
        "The stack of three has three ReLUs, the single layer has one.",
        numbers="3 and 1",
        comparison="three 3x3 against one 7x7",
        metric="activation layers",
    ),
    _build_analytic(
        5,
        "2.3",
        "The stack constrains the 7x7 to a decomposition through 3x3 filters.",
        comparison="three linear 3x3 against the 7x7 that they compose to",
        metric="largest difference of the outputs, float64",
        caveats=(
            "Exact only without activation and padding between the three; with ReLU in between it is an analogy.",
        ),
    ),
    _build_analytic(
        6,
        "2.2",
        "The nets have 133 to 144 million parameters.",
        numbers="133, 133, 134, 138, 144 million (A and A-LRN, B, C, D, E)",
        comparison="A, A-LRN, B, C, D, E",
        metric="params",
    ),
    _build_analytic(
        7,
        "2.2",
        "The nets have 11 to 19 weight layers: 8 to 16 convolutions and 3 fully connected ones.",
        numbers="11, 11, 13, 16, 16, 19",
        comparison="A, A-LRN, B, C, D, E",
        metric="weight layers",
    ),
    _build_analytic(
        8,
        "2.1-2.2",
        "The width starts at 64 and doubles after each pooling up to 512; there are five poolings.",
        numbers="64, 128, 256, 512, 512; 224 px to 7 px",
        comparison="A, A-LRN, B, C, D, E",
        metric="shapes",
    ),
    _build_analytic(
        9,
        "2.2",
        "In spite of their depth the nets have no more weights than a shallower net with wider layers (OverFeat).",
        numbers="144 million in OverFeat",
        comparison="E against OverFeat",
        metric="params",
        caveats=("OverFeat's count is the paper's, rounded to a million, and so is the comparison.",),
    ),
    _build_analytic(
        10,
        "2.3",
        "1x1 convolutions leave the receptive field as it is.",
        comparison="C against B, after the last convolution, after the last pooling, after the first dense layer",
        metric="receptive field",
    ),
    _build_analytic(
        11,
        "2.3",
        "Each 1x1 convolution maps C channels to C and adds one ReLU.",
        comparison="C against B",
        metric="activation layers, params, macs",
        caveats=("More activations come with 0.4 % more weights and 4 % more MACs: C and B differ in all three.",),
    ),
    _build_analytic(
        12,
        "4.1",
        "C and D have the same depth.",
        numbers="16 and 16",
        comparison="C against D",
        metric="weight layers",
        caveats=("Their sizes differ: D has 4.7 million more parameters and 3.7 G more MACs.",),
    ),
    _build_analytic(
        13,
        "4.1",
        "A shallow net of five 5x5 layers, one for each pair of 3x3 of B, has B's receptive field.",
        comparison="shallow against B, after each block",
        metric="receptive field",
    ),
    _build_analytic(
        14,
        "3.2",
        "The fully connected layers can be turned into convolutions, the first into a 7x7, the others into 1x1.",
        comparison="D with a dense and with a convolutional head",
        metric="params, output at the training size",
    ),
    _build_analytic(
        15,
        "3.2",
        "Dense evaluation gives a class map whose size depends on the input's.",
        comparison="D at 224, 256, 288, 352, 384, 416 and 512 px",
        metric="pixels per side",
    ),
    _build_analytic(
        16,
        "2.1",
        "Local response normalisation costs memory and time and has no parameters.",
        comparison="A-LRN against A",
        metric="params, activations",
        caveats=("It is one layer, but on the largest map. Its time is not computed here; the study lrn measures it.",),
    ),
    _build_analytic(
        17,
        "3.2",
        "A 5x5 grid of crops and its flips, 50 crops per scale and 150 over three, cost more than dense evaluation.",
        numbers="50 per scale, 150 over 3 scales",
        comparison="150 crops against 3 scales and 2 flips of dense evaluation, D, square image",
        metric="macs",
    ),
    _build_analytic(
        18,
        "3.1",
        "370,000 iterations are 74 epochs.",
        numbers="370K, 74, batch 256, 1.3 million images",
        metric="epochs",
        caveats=('With the rounded "1.3M images" of the text it would be 72.9; the set has 1,281,167.',),
    ),
)
