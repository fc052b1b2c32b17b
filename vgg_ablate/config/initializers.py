"""The initialisations of the weights."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from vgg_ablate.config.types import ByKind, FrozenModel, Positive


class NormalInit(FrozenModel):
    """Normally distributed weights and zero biases, as in the paper (section 3.1: variance 1e-2)."""

    kind: Literal["normal"]
    std: Positive = 0.1
    """Standard deviation of the weights. Example: 0.1"""


class KaimingInit(FrozenModel):
    """Initialisation of He et al. (arXiv:1502.01852).

    With `head_std` the dense layers are drawn from N(0, head_std), as in torchvision. `fan_out` without `head_std`
    gives the class layer a variance of 2/classes, which is so large that a net may not start to learn.
    """

    kind: Literal["kaiming"]
    # fan_in as in He et al.: with fan_out, as in torchvision, the default net stayed at 40 % accuracy on digits
    # (99 % with fan_in).
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    """Which fan the variance keeps: that of the inputs or of the outputs. Example: fan_out"""
    head_std: Positive | None = None
    """Standard deviation of the dense layers; without it, they are drawn like the convolutions. Example: 0.01"""


class GlorotInit(FrozenModel):
    """Initialisation of Glorot and Bengio (2010), with which the paper needs no pre-training (section 3.1)."""

    kind: Literal["glorot"]
    distribution: Literal["normal", "uniform"] = "normal"
    """Distribution of the weights. Example: uniform"""


InitConfig = Annotated[NormalInit | KaimingInit | GlorotInit, Field(discriminator="kind"), ByKind]
