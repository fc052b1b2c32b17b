"""A member of the VGG family, as an immutable value.

An `Arch` is written with knobs (`width`, `kernel`, `depth`, ...), each one path to change. `Arch.spelled_out` turns
every knob into plain stages of convolutions: the normal form that is built, counted and hashed, so that two ways to
write one net are one net.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vgg_ablate.config import kernel_rewrites
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.notation import format_stages, parse_stages
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.config.types import (
    ByKind,
    Count,
    Depth,
    Flag,
    Fraction,
    FrozenModel,
    InvalidValueError,
    Positive,
    Size,
    Width,
    parse_text_with,
)
from vgg_ablate.errors import find_nearest

AfterConv = Literal["activation", "norm", "nothing"]
BetweenConvs = Literal["activation", "norm", "none"]
KernelRule = Literal[3, 5, 7, "1x1-last", "1xn"]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int | str) else value


Kernel = Annotated[tuple[KernelRule, ...], BeforeValidator(_listed)]


class ConvConfig(FrozenModel):
    """One convolution: stride 1, padded so that the map keeps its size (paper, section 2.1)."""

    channels: Size
    kernel: tuple[Size, Size] = (3, 3)  # rows, columns; both odd
    then: AfterConv = "activation"  # what follows it: norm and activation, the norm alone, or nothing

    @field_validator("kernel", mode="before")
    @classmethod
    def _square(cls, value: Any) -> Any:
        return [value, value] if isinstance(value, int) else value

    @field_validator("kernel")
    @classmethod
    def _odd(cls, kernel: tuple[int, int]) -> tuple[int, int]:
        if any(side % 2 == 0 for side in kernel):
            raise ValueError("a kernel's sides must be odd, so that padding can keep the map's size")
        return kernel


class Stage(FrozenModel):
    """Convolutions on maps of one size, then a pooling that halves them."""

    convs: tuple[ConvConfig, ...] = Field(min_length=1)
    pool: Flag = True
    depth: Depth | None = None  # that many convolutions: the last one repeated, or the rest dropped
    channels: Size | None = None  # of every convolution of the stage
    kernel: Kernel | None = None  # instead of the arch's
    between: BetweenConvs | None = None  # instead of the arch's


class NoNorm(FrozenModel):
    """Nothing."""

    kind: Literal["none"]


class BatchNorm(FrozenModel):
    """Batch normalisation after every convolution."""

    kind: Literal["batch"]
    eps: Positive = 1e-5
    momentum: Positive = 0.1


class GroupNorm(FrozenModel):
    """Group normalisation after every convolution; `groups` must divide its channels."""

    kind: Literal["group"]
    groups: Count = 8
    eps: Positive = 1e-5


class LocalResponseNorm(FrozenModel):
    """AlexNet's normalisation, once, after the first convolution's activation: the paper's A-LRN (section 2.1).

    `convention: sum` multiplies alpha by the raw sum of squares, as AlexNet's formula does; `mean` divides it by
    `size`, as torch's and Caffe's layers do. Which of the two the authors used is not known.
    """

    kind: Literal["lrn"]
    size: Count = 5
    alpha: Positive = 1e-4
    beta: Positive = 0.75
    k: Positive = 2.0
    convention: Literal["sum", "mean"] = "sum"


class NormalInit(FrozenModel):
    """Weights from a normal distribution, biases 0: the paper's initialisation (section 3.1: variance 1e-2)."""

    kind: Literal["normal"]
    std: Positive = 0.1


class KaimingInit(FrozenModel):
    """He et al. (arXiv:1502.01852); `head_std` draws the dense layers from N(0, head_std) as torchvision does.

    `fan_out` without `head_std` makes the few classes' weights so large that a net may never start to learn.
    """

    kind: Literal["kaiming"]
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    head_std: Positive | None = None


class GlorotInit(FrozenModel):
    """Glorot and Bengio (2010), which the authors found to make pre-training unnecessary (section 3.1)."""

    kind: Literal["glorot"]
    distribution: Literal["normal", "uniform"] = "normal"


NormConfig = Annotated[NoNorm | BatchNorm | GroupNorm | LocalResponseNorm, Field(discriminator="kind"), ByKind]
InitConfig = Annotated[NormalInit | KaimingInit | GlorotInit, Field(discriminator="kind"), ByKind]


class Head(FrozenModel):
    """From the last map to the classes: an optional pooling, hidden dense layers, the class layer."""

    hidden: tuple[Size, ...] = Field(default=(), max_length=3)
    dropout: Fraction = 0.0  # after the activation of every hidden layer
    pool: Literal["none", "global"] | Size = "none"  # "global": average to 1x1; n: adaptive average to n x n
    convolutional: Flag = False  # dense layers as convolutions: same weights, class maps for larger images


class Match(FrozenModel):
    """Scale the width until one cost meets a budget: another variant's, or a number."""

    macs: str | Positive | Count | None = None
    params: str | Positive | Count | None = None
    activations: str | Positive | Count | None = None
    tolerance: Annotated[float, Field(strict=True, gt=0, lt=1), parse_text_with(lambda text: _percent(text))] = 0.01

    @model_validator(mode="after")
    def _one_cost(self) -> Self:
        if sum(value is not None for value in (self.macs, self.params, self.activations)) != 1:
            raise ValueError("match needs exactly one of macs, params, activations")
        return self

    @property
    def cost(self) -> str:
        """The cost to match: macs, params or activations."""
        return next(name for name in ("macs", "params", "activations") if getattr(self, name) is not None)

    @property
    def target(self) -> str | float:
        """A variant's name, or the budget itself."""
        value: str | float = getattr(self, self.cost)
        return value


def _percent(text: str) -> float:
    if not text.endswith("%"):
        raise ValueError("a tolerance is a fraction such as 0.01 or a percentage such as 1%")
    return float(text[:-1]) / 100


class Arch(FrozenModel):
    """A VGG: stages of convolutions, and a head. Every field is one thing that a study can change."""

    stages: Annotated[tuple[Stage, ...], parse_text_with(parse_stages)] = Field(min_length=1)
    width: Width = 1.0  # multiplies the channels of every convolution
    depth: Depth | tuple[Depth, ...] | None = None  # convolutions per stage: for all stages, or one number each
    kernel: Kernel = ()  # rewritings that keep the receptive field; see config/kernel_rewrites.py
    between: BetweenConvs = "activation"  # what stands between the convolutions of one stack
    stack: Count | None = None  # convolutions in one stack; None: the stage is the stack
    head: Head = Head()
    norm: NormConfig = NoNorm(kind="none")
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    pool: Literal["max", "average", "conv"] = "max"  # conv: a 2x2 convolution with stride 2
    bias: Flag = True  # of the convolutions
    init: InitConfig = KaimingInit(kind="kaiming")
    image_size: Size | None = None  # pixels a side; None: the data set's
    in_channels: Size | None = None  # None: the data set's
    classes: Size | None = None  # None: the data set's
    match: Match | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"preset": given}
        return apply_preset(given) if isinstance(given, dict) and "preset" in given else given

    @model_validator(mode="after")
    def _depth_per_stage(self) -> Self:
        if isinstance(self.depth, tuple) and len(self.depth) != len(self.stages):
            raise ValueError(f"depth lists {len(self.depth)} numbers for {len(self.stages)} stages")
        return self

    def to_notation(self) -> str:
        """The stages in the compact notation of config/notation.py."""
        return format_stages(stage.model_dump() for stage in self.stages)

    def with_shape(self, shape: Shape) -> Arch:
        """The same net for examples of `shape`, where it does not say its own."""
        return self.model_copy(
            update={
                "image_size": self.image_size or shape.image_size,
                "in_channels": self.in_channels or shape.channels,
                "classes": self.classes or shape.classes,
            }
        )

    def to_normal_form(self) -> Arch:
        """The same net with every knob turned into plain stages. `match` must have been met before.

        Raises ValueError where a rewriting finds nothing to rewrite, or `match` is still there.
        """
        if self.match is not None:
            raise ValueError("match must be met before an arch is spelled out")
        stages = self._plain_stages()
        given = self.model_copy(update={"kernel": ()})._plain_stages() if self.kernel else ()
        if stages == given and not all(
            kernel_rewrites.is_rewritten(stage.convs, rule) for stage in stages for rule in self.kernel
        ):
            raise ValueError(f"kernel {_shown(self.kernel)} finds nothing to rewrite in {self.to_notation()!r}")
        plain = {"width": 1.0, "depth": None, "kernel": (), "between": "activation", "stack": None}
        return self.model_copy(update={"stages": stages, **plain})

    def _plain_stages(self) -> tuple[Stage, ...]:
        return tuple(self.build_plain_stage(index) for index in range(len(self.stages)))

    def build_plain_stage(self, index: int) -> Stage:
        """One stage of the normal form. Raises ValueError where its own rewriting finds nothing to rewrite."""
        stage = self.stages[index]
        depth = self.depth[index] if isinstance(self.depth, tuple) else self.depth
        convs = _deepened(stage.convs, stage.depth or depth)
        channels = [stage.channels or conv.channels for conv in convs]
        plain = [
            kernel_rewrites.PlainConv(self._scaled(wide), conv.kernel, conv.then)
            for wide, conv in zip(channels, convs, strict=True)
        ]
        for rule in self.kernel if stage.kernel is None else stage.kernel:
            rewritten = kernel_rewrites.rewrite_stage(plain, rule)
            if stage.kernel is not None and rewritten == plain and not kernel_rewrites.is_rewritten(plain, rule):
                raise ValueError(f"stages[{index}].kernel {rule} finds nothing to rewrite in the stage")
            plain = rewritten
        plain = kernel_rewrites.apply_between(plain, stage.between or self.between, self.stack)
        return Stage(
            convs=tuple(ConvConfig(channels=c.channels, kernel=c.kernel, then=c.then) for c in plain), pool=stage.pool
        )

    def _scaled(self, channels: int) -> int:
        """Channels times width: the nearest whole number, and with a group norm the nearest multiple of its groups."""
        if self.width == 1.0:
            return channels
        groups = self.norm.groups if isinstance(self.norm, GroupNorm) else 1
        return groups * max(1, round(channels * self.width / groups))


def apply_preset(given: dict[str, Any]) -> dict[str, Any]:
    """The preset's fields, under those that were given beside it; `head`, `norm` and `init` merge field by field."""
    name = given["preset"]
    if not isinstance(name, str) or name not in PRESETS:
        rule = f"unknown preset; there are {', '.join(PRESETS)}"
        raise InvalidValueError(rule, field="preset", got=name, nearest=find_nearest(str(name), PRESETS))
    merged: dict[str, Any] = dict(PRESETS[name])
    for key, value in given.items():
        if key == "preset":
            continue
        old = merged.get(key)
        if isinstance(old, dict) and isinstance(value, dict) and value.get("kind", old.get("kind")) == old.get("kind"):
            value = {**old, **value}
        merged[key] = value
    return merged


def _deepened(convs: tuple[ConvConfig, ...], depth: int | None) -> tuple[ConvConfig, ...]:
    if depth is None:
        return convs
    return convs[:depth] + (convs[-1],) * (depth - len(convs))


def _shown(rules: Iterable[int | str]) -> str:
    return ", ".join(str(rule) for rule in rules)
