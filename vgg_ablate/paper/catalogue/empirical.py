"""The paper's statements that only training can decide: E01 to E20."""

from __future__ import annotations

from typing import Any

from vgg_ablate.paper.statement import ClaimReference, PrintedErrors, Statement

_SMALL_IMAGES = (
    "The paper's geometry divided by eight: crops of 28 px, Q = 32, 48, 64. CIFAR's images have 32 px, so "
    "larger ones are blurred and show no more detail."
)
_CONFOUNDED_DEPTH = (
    "Depth, receptive field, parameters and MACs grow together from net to net; the paper varies all of them at once."
)
_NOISE = (
    "One run per net, no repeated seeds: one standard error of a 27 % error on 50,000 images is 0.20 points, "
    "of an unpaired difference 0.28."
)

_CIFAR_DEPTH = (
    "CIFAR-10, with batch normalisation, the best of 300 epochs on the test set (chengyangfu/pytorch-vgg-cifar10): "
    "A 7.83, B 5.82, D 6.14, E 6.35 % error"
)


def _get_table_3_errors(a: float, b: float) -> PrintedErrors:
    return PrintedErrors(a, b, "table 3, S = Q = 256")


_LRN = _get_table_3_errors(29.6, 29.7)
_FUSION = PrintedErrors(24.0, 24.8, "tables 6 and 4, dense evaluation; D and E alone are equal")


def _build_empirical(number: int, section: str, text: str, **more: Any) -> Statement:
    return Statement(id=f"E{number:02}", kind="empirical", section=section, text=text, **more)


EMPIRICAL = (
    _build_empirical(
        1,
        "2.1, 4.1",
        "Local response normalisation does not improve net A.",
        numbers="A 29.6/10.4, A-LRN 29.7/10.5",
        elsewhere="CIFAR-10, a net of four layers (AlexNet's authors): 13 % error without, 11 % with",
        comparison="A against A-LRN",
        metric="top-1/top-5 error, S = Q = 256",
        caveats=(
            _NOISE + " The difference is 0.1.",
            "The paper's parameters are AlexNet's, whose formula multiplies alpha by the raw sum; Caffe and torch "
            "divide by the size. It is not known which of the two the authors used, so both are tested.",
            "AlexNet's own authors reported a gain of 1.4/1.2 points.",
        ),
        claims=(
            ClaimReference("lrn", "sum-does-not-help", printed=_LRN),
            ClaimReference("lrn", "mean-does-not-help", printed=_LRN),
        ),
    ),
    _build_empirical(
        2,
        "4.1",
        "The error falls with depth, from A with 11 layers to E with 19.",
        numbers="29.6, 28.7, 28.1, 27.0, 27.3 (A, B, C, D, E)",
        elsewhere=_CIFAR_DEPTH,
        comparison="A, B, C, D, E",
        metric="top-1 error, S = Q = 256",
        caveats=(
            "The paper's own table contradicts it: at S = 256 and 384, E is worse than D.",
            _CONFOUNDED_DEPTH,
            _NOISE + " The steps A to B and C to D are larger than that, D to E is smaller.",
        ),
        claims=(
            ClaimReference("depth", "falls-with-depth"),
            ClaimReference("depth-fashion", "falls-with-depth", decides=False),
            ClaimReference("depth-wide", "falls-with-depth", decides=False),
        ),
    ),
    _build_empirical(
        3,
        "4.1",
        "The error saturates at 19 layers; a larger data set might profit from deeper nets.",
        numbers="D minus E: -0.3, -0.1, +0.1 at S = 256, 384, jitter",
        elsewhere=_CIFAR_DEPTH,
        comparison="D against E",
        metric="top-1 error",
        caveats=(
            _NOISE,
            _CONFOUNDED_DEPTH,
            "torchvision's models still gain 0.78 points (0.86 with batch normalisation) from 16 to 19 layers.",
        ),
        claims=(
            ClaimReference("depth", "e-like-d", printed=_get_table_3_errors(27.3, 27.0)),
            ClaimReference("depth-fashion", "e-like-d", decides=False),
        ),
    ),
    _build_empirical(
        4,
        "4.1",
        "The additional non-linearity helps: C, with its 1x1 convolutions, is better than B.",
        numbers="C 28.1/9.4, B 28.7/9.9; several scales 27.7/9.2, 28.2/9.6",
        comparison="C against B",
        metric="top-1/top-5 error",
        caveats=(
            "C also has three more weight layers, 0.4 % more weights and 4 % more MACs than B.",
            _NOISE,
        ),
        claims=(
            ClaimReference("depth", "c-beats-b", printed=_get_table_3_errors(28.1, 28.7)),
            ClaimReference("depth-fashion", "c-beats-b", decides=False),
        ),
    ),
    _build_empirical(
        5,
        "4.1",
        "Spatial context matters: D, with 3x3 in place of C's 1x1, is better than C.",
        numbers="1.1 to 1.7 points of top-1, 0.6 to 0.7 of top-5",
        comparison="D against C",
        metric="top-1/top-5 error",
        caveats=(
            "D has 47 % more convolution weights and 32 % more convolution MACs than C; neither the paper nor this "
            "study controls for them.",
        ),
        claims=(
            ClaimReference("depth", "d-beats-c", printed=_get_table_3_errors(27.0, 28.1)),
            ClaimReference("depth-fashion", "d-beats-c", decides=False),
        ),
    ),
    _build_empirical(
        6,
        "4.1",
        "A shallow net, with one 5x5 for each pair of B's 3x3, is 7 % worse in top-1 error.",
        numbers="7 %",
        comparison="shallow against B",
        metric="top-1 error on a centre crop",
        caveats=(
            "Neither error is printed, nor whether 7 % is absolute or relative; it is a centre-crop figure, so "
            "B's 28.7 % (dense, with flips) is not the error to compare it with.",
            "The shallow net has 15.5 % more convolution weights than B, but 17.5 % fewer convolution MACs and half "
            "the activations: where a block widens from C to 2C, one 5x5 (50 C²) is cheaper than the pair (54 C²).",
        ),
        claims=(
            ClaimReference("depth", "pair-beats-five"),
            ClaimReference("depth", "pair-beats-five-at-equal-macs", decides=False),
            ClaimReference("depth-fashion", "pair-beats-five", decides=False),
            ClaimReference("depth-wide", "pair-beats-five", decides=False),
            ClaimReference("kernels-cifar10", "pair", decides=False),
            ClaimReference("kernels-cifar10", "pair-matched", decides=False),
        ),
    ),
    _build_empirical(
        7,
        "4.1",
        "Training with scale jitter beats training at one scale, even where one scale is tested.",
        numbers="0.8 to 1.8 points of top-1",
        comparison="S in [256; 512] against S = 256 and S = 384; C, D, E",
        metric="top-1/top-5 error",
        caveats=(
            "The paper's jittered nets are fine-tuned from the S = 384 nets and therefore trained for longer; here all "
            "nets train equally long.",
            _SMALL_IMAGES,
        ),
        claims=(
            ClaimReference(
                "scales", "jitter-beats-32", printed=PrintedErrors(25.6, 27.0, "table 3, D, Q = 384 and 256")
            ),
            ClaimReference("scales", "jitter-beats-48", printed=PrintedErrors(25.6, 26.8, "table 3, D, Q = 384")),
            ClaimReference("scales", "narrow-beats-32", decides=False),
        ),
    ),
    _build_empirical(
        8,
        "4.2",
        "Scale jitter at test time helps.",
        numbers="0.2 to 1.0 points of top-1",
        comparison="three test scales against one",
        metric="top-1/top-5 error",
        caveats=(_SMALL_IMAGES,),
        claims=(
            ClaimReference("views", "scales-help", printed=PrintedErrors(24.8, 25.6, "tables 4 and 3, D with jitter")),
            ClaimReference("scales", "narrow-scales-help", decides=False),
        ),
    ),
    _build_empirical(
        9,
        "4.2",
        "A large gap between the scales of training and of testing hurts.",
        comparison="Q far from S against Q near S",
        metric="error",
        caveats=("The paper prints no number for it.", _SMALL_IMAGES),
        claims=(ClaimReference("scales", "equal-scales-beat-unequal"),),
    ),
    _build_empirical(
        10,
        "4.2",
        "The deepest nets, D and E, are the best.",
        numbers="24.8/7.5 both, best single nets on the validation set",
        elsewhere=_CIFAR_DEPTH,
        comparison="D and E against A, B, C",
        metric="top-1/top-5 error",
        caveats=(_CONFOUNDED_DEPTH,),
        claims=(
            ClaimReference("depth", "deepest-beat-b", printed=_get_table_3_errors(27.15, 28.7)),
            ClaimReference("depth", "deepest-beat-c", printed=_get_table_3_errors(27.15, 28.1)),
        ),
    ),
    _build_empirical(
        11,
        "4.3",
        "Multi-crop evaluation is slightly better than dense evaluation.",
        numbers="D 24.6/7.5 against 24.8/7.5, E 24.6/7.4 against 24.8/7.5",
        comparison="multi-crop against dense",
        metric="top-1/top-5 error",
        caveats=("For D it is a tie in top-5.", _SMALL_IMAGES),
        claims=(ClaimReference("views", "crops-beat-dense", printed=PrintedErrors(24.6, 24.8, "table 5, D")),),
    ),
    _build_empirical(
        12,
        "4.3",
        "Multi-crop and dense evaluation are complementary: together they beat each.",
        numbers="D 24.4/7.2, E 24.4/7.1 together",
        comparison="both against each",
        metric="top-1/top-5 error",
        caveats=(
            "The different treatment of image boundaries as the reason is the authors' hypothesis.",
            _SMALL_IMAGES,
        ),
        claims=(
            ClaimReference("views", "both-beat-dense", printed=PrintedErrors(24.4, 24.8, "table 5, D")),
            ClaimReference("views", "both-beat-crops", printed=PrintedErrors(24.4, 24.6, "table 5, D")),
        ),
    ),
    _build_empirical(
        13,
        "4.4",
        "Averaging the soft-max of two nets helps.",
        numbers="dense 24.0/7.1 against 24.8/7.5; crops and dense 23.7/6.8 against 24.4/7.1",
        comparison="D and E together against E",
        metric="top-1/top-5 error",
        caveats=("Two replicates of one net are reported too: they show what any second net brings.",),
        claims=(
            ClaimReference("ensemble", "both-beat-members", printed=_FUSION),
            ClaimReference("ensemble", "both-beat-d", printed=_FUSION),
            ClaimReference("ensemble", "both-beat-e", printed=_FUSION),
            ClaimReference("ensemble", "two-d-beat-members", decides=False),
            ClaimReference("ensemble", "two-e-beat-members", decides=False),
        ),
    ),
    _build_empirical(
        14,
        "4.4",
        "Two jittered nets beat the submission of seven.",
        numbers="6.8 against 7.3 % top-5 on the test set",
        comparison="2 nets against 7",
        metric="top-5 error on ILSVRC's test set",
        out_of_reach="needs seven ImageNet nets trained at three scales, and ILSVRC's test server",
    ),
    _build_empirical(
        15,
        "4.5",
        "The best single net beats a single GoogLeNet by 0.9 points.",
        numbers="7.0 against 7.9 % top-5 on the test set",
        comparison="E against GoogLeNet",
        metric="top-5 error on ILSVRC's test set",
        caveats=("Section 4.4 calls the same net 7.1 %, which is its error on the validation set.",),
        out_of_reach="needs ImageNet and its test server; GoogLeNet is not a VGG",
    ),
    _build_empirical(
        16,
        "3.1",
        "A bad initialisation stalls deep nets; A is shallow enough to train from random weights.",
        comparison="random initialisation against A's weights in the deeper net, A against D",
        metric="convergence",
        caveats=(
            "No ablation is printed. The paper's variance of 0.01 is a standard deviation of 0.1; the standard "
            "deviation 0.01 of AlexNet and Caffe stalls as the text describes. Both are tested, and five others.",
            "The effect of a standard deviation depends on the width: a layer's gain grows with its square root. At "
            "the widths here 0.28 and 0.028 have the gains of the paper's 0.1 and 0.01; both are tested.",
            "Copying A's first four convolutions into deeper nets fits by block name, not by index; this reading is "
            "our inference.",
        ),
        claims=(
            ClaimReference("init", "a-trains-d-stalls"),
            ClaimReference("init", "a-layers-train-d"),
            ClaimReference("init-map", "a-trains-more-often", decides=False),
        ),
    ),
    _build_empirical(
        17,
        "3.1",
        "Glorot and Bengio's initialisation makes the pre-training unnecessary.",
        comparison="Glorot against A's weights in the deeper net",
        metric="convergence",
        elsewhere="CIFAR-10: a plain VGG-16 with torch's default initialisation stays at 90 % error "
        "(kuangliu/pytorch-cifar, issue 28)",
        caveats=("The authors found this after the submission; no numbers are printed.",),
        claims=(ClaimReference("init", "glorot-trains-d"), ClaimReference("init", "glorot-like-pretrained")),
    ),
    _build_empirical(
        18,
        "3.1",
        "The nets need fewer epochs than AlexNet, for depth, small filters and pre-initialisation (a conjecture).",
        numbers="74 epochs",
        comparison="VGG against AlexNet",
        metric="epochs",
        out_of_reach="a conjecture about AlexNet on ImageNet, without a measure of convergence; AlexNet is not a VGG",
    ),
    _build_empirical(
        19,
        "A",
        "Localisation: a box per class beats a shared one; fine-tuning all layers beats tuning the dense ones.",
        numbers="36.4 shared, 34.3 per class, 33.1 per class with all layers tuned",
        comparison="net D",
        metric="localisation error with the class given, %",
        out_of_reach="needs ImageNet's boxes; this package classifies and does not localise",
    ),
    _build_empirical(
        20,
        "B",
        "Transfer: D and E are equal on VOC, E is better on Caltech, both together are better still.",
        numbers="VOC 89.3/89.0 both; Caltech-101 91.8, 92.3; Caltech-256 85.0, 85.1; together 89.7/89.3/92.7/86.2",
        comparison="D, E, D and E",
        metric="mean average precision, mean class recall",
        out_of_reach="needs nets trained on ImageNet, and VOC and Caltech images",
    ),
)
