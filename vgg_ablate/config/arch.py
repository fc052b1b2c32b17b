"""A member of the VGG family, as an immutable value.

An `Arch` has knobs (`width`, `kernel`, `depth`, ...), each of which a study can change by one path.
`Arch.to_normal_form` replaces the knobs by plain stages of convolutions. Only this normal form is built, counted and
hashed, so that two spellings of one net share one record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vgg_ablate.config import kernel_rewrites
from vgg_ablate.config.datasets import Shape
from vgg_ablate.config.head import Head
from vgg_ablate.config.initializers import InitConfig, KaimingInit
from vgg_ablate.config.limits import MAX_CONVS, check_count
from vgg_ablate.config.notation import format_stages, parse_stages
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.config.types import (
    ByKind,
    Count,
    Depth,
    Flag,
    FrozenModel,
    InvalidValueError,
    Positive,
    Size,
    Width,
    parse_budget_number,
    parse_text_with,
    wrap_in_list,
)
from vgg_ablate.errors import find_nearest

AfterConv = Literal["activation", "norm", "nothing"]
BetweenConvs = Literal["activation", "norm", "none"]
KernelRule = Literal[3, 5, 7, "1x1-last", "1xn", "every-3", "every-5", "every-7"]


Kernel = Annotated[tuple[KernelRule, ...], BeforeValidator(wrap_in_list)]


class ConvConfig(FrozenModel):
    """One convolution with stride 1, padded so that the map keeps its size (paper, section 2.1)."""

    channels: Size
    """Number of output channels. Unit: channels. Example: 64"""
    kernel: tuple[Size, Size] = (3, 3)
    """Side of the kernel, or [rows, columns]; odd. Unit: pixels. Example: [1, 3]"""
    then: AfterConv = "activation"
    """What follows the convolution: norm and activation, the norm alone, or nothing. Example: nothing"""

    @field_validator("kernel", mode="before")
    @classmethod
    def _expand_side(cls, value: Any) -> Any:
        return [value, value] if isinstance(value, int) else value

    @field_validator("kernel")
    @classmethod
    def _check_odd_sides(cls, kernel: tuple[int, int]) -> tuple[int, int]:
        if any(side % 2 == 0 for side in kernel):
            raise ValueError("kernel sides must be odd, so that padding keeps the map size")
        return kernel


class Stage(FrozenModel):
    """Convolutions on maps of one size, followed by a pooling that halves the maps."""

    convs: tuple[ConvConfig, ...] = Field(min_length=1)
    """The convolutions of the stage, in order. Example: [{channels: 64}, {channels: 64, kernel: 5}]"""
    pool: Flag = True
    """Whether a pooling that halves the maps follows the stage. Example: false"""
    depth: Depth | None = None
    """Number of convolutions: the last one is repeated, or the rest dropped; without it, as listed.

    Unit: convolutions. Example: 3
    """
    channels: Size | None = None
    """Channels of all convolutions of the stage; without it, their own. Unit: channels. Example: 128"""
    kernel: Kernel | None = None
    """Kernel rules of this stage instead of those of the arch. Example: 5"""
    between: BetweenConvs | None = None
    """What separates the convolutions of this stage instead of `arch.between`. Example: none"""


class NoNorm(FrozenModel):
    """No normalisation."""

    kind: Literal["none"]


class BatchNorm(FrozenModel):
    """Batch normalisation after every convolution."""

    kind: Literal["batch"]
    eps: Positive = 1e-5
    """Number added to the variance before the division. Example: 1.0e-5"""
    momentum: Positive = 0.1
    """Weight of a new batch in the running mean and variance. Example: 0.1"""


class GroupNorm(FrozenModel):
    """Group normalisation after every convolution; `groups` must divide the channels."""

    kind: Literal["group"]
    groups: Count = 8
    """Number of groups into which the channels are divided. Unit: groups. Example: 8"""
    eps: Positive = 1e-5
    """Number added to the variance before the division. Example: 1.0e-5"""


class LocalResponseNorm(FrozenModel):
    """Local response normalisation once, after the first activation: the A-LRN of the paper (section 2.1).

    `convention: sum` multiplies alpha by the sum of squares, as in the formula of AlexNet; `mean` also divides by
    `size`, as the layers of PyTorch and Caffe do. It is unknown which of the two the authors used.
    """

    kind: Literal["lrn"]
    size: Count = 5
    """Number of neighbouring channels that are summed. Unit: channels. Example: 5"""
    alpha: Positive = 1e-4
    """Factor of the sum of squares. Example: 1.0e-4"""
    beta: Positive = 0.75
    """Exponent of the divisor. Example: 0.75"""
    k: Positive = 2.0
    """Constant of the divisor. Example: 2.0"""
    convention: Literal["sum", "mean"] = "sum"
    """Whether alpha multiplies the sum of the squares, or their mean. Example: mean"""


NormConfig = Annotated[NoNorm | BatchNorm | GroupNorm | LocalResponseNorm, Field(discriminator="kind"), ByKind]


class Match(FrozenModel):
    """Scale the width until one cost meets a budget, given as a number or as the name of another variant."""

    macs: Annotated[str | Positive | Count | None, parse_text_with(parse_budget_number)] = None
    """Budget of multiply-accumulates: a number such as 40e6 or 2.5 G, or the variant whose cost it is.

    Unit: multiply-accumulates per image. Example: base
    """
    params: Annotated[str | Positive | Count | None, parse_text_with(parse_budget_number)] = None
    """Budget of parameters: a number, or the variant whose cost it is. Unit: parameters. Example: 1000000"""
    activations: Annotated[str | Positive | Count | None, parse_text_with(parse_budget_number)] = None
    """Budget of activations: a number, or the variant whose cost it is. Unit: numbers per image. Example: base"""
    tolerance: Annotated[
        float, Field(strict=True, gt=0, lt=1), parse_text_with(lambda text: _parse_percentage(text))
    ] = 0.01
    """Largest difference from the budget, as a fraction or a percentage of it. Example: 2%"""

    @model_validator(mode="after")
    def _check_one_cost(self) -> Self:
        if sum(value is not None for value in (self.macs, self.params, self.activations)) != 1:
            raise ValueError("exactly one of macs, params and activations must be given")
        return self

    @property
    def cost(self) -> str:
        """The name of the cost to match: macs, params or activations."""
        return next(name for name in ("macs", "params", "activations") if getattr(self, name) is not None)

    @property
    def target(self) -> str | float:
        """The budget: the name of a variant, or a number."""
        value: str | float = getattr(self, self.cost)
        return value


def _parse_percentage(text: str) -> float:
    if not text.endswith("%"):
        raise ValueError("must be a fraction such as 0.01 or a percentage such as 1%")
    return float(text[:-1]) / 100


class Arch(FrozenModel):
    """A VGG: stages of convolutions, and a head. Every field is one thing that a study can change."""

    stages: Annotated[tuple[Stage, ...], parse_text_with(parse_stages)] = Field(min_length=1)
    """The stages: a list, or the compact notation, in which `|` pools and 64@5 is a 5x5 convolution of 64 channels.

    Example: 16 16 | 32 32
    """
    # Not of the hidden layers: a budget met by shrinking the classifier would answer another question.
    width: Width = 1.0
    """Multiplier of the channels of all convolutions, but not of the hidden layers of the head. Example: 0.25"""
    depth: Depth | tuple[Depth, ...] | None = None
    """Convolutions per stage: one number, or one per stage; without it, as in `stages`.

    Unit: convolutions. Example: 3
    """
    kernel: Kernel = ()
    """Rewriting of the kernels, or a list of rewritings in this order: 5 and 7 merge stacks of 3x3 and so lower the
    depth, 3 splits 5x5 and 7x7, 1xn splits n x n, 1x1-last is config C of the paper; every-3, every-5 and every-7 set
    every kernel and keep the depth.

    Example: 5
    """
    between: BetweenConvs = "activation"
    """What separates the convolutions of one stack: norm and activation, the norm alone, or nothing. Example: none"""
    stack: Count | None = None
    """Number of convolutions in a stack; without it, a stage is one stack. Unit: convolutions. Example: 2"""
    head: Head = Head()
    """The layers after the last stage. Example: {hidden: [64], dropout: 0.5}"""
    norm: NormConfig = NoNorm(kind="none")
    """Normalisation of the convolutions. Example: batch"""
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    """Activation function of convolutions and hidden layers. Example: gelu"""
    pool: Literal["max", "average", "conv"] = "max"
    """Pooling between stages: max, average, or a 2x2 convolution with stride 2. Example: average"""
    bias: Flag = True
    """Whether the convolutions have biases. Example: false"""
    init: InitConfig = KaimingInit(kind="kaiming")
    """Initialisation of the weights. Example: {kind: kaiming, mode: fan_out}"""
    image_size: Size | None = None
    """Side of the input images; without it, that of the data. Unit: pixels. Example: 32"""
    in_channels: Size | None = None
    """Channels of the input images; without it, those of the data. Unit: channels. Example: 3"""
    classes: Size | None = None
    """Number of classes; without it, those of the data. Unit: classes. Example: 10"""
    match: Match | None = None
    """Scale the width until one cost meets a budget. Example: {macs: base, tolerance: 1%}"""

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"preset": value}
        return apply_preset(value) if isinstance(value, dict) and "preset" in value else value

    @model_validator(mode="after")
    def _check_depth_per_stage(self) -> Self:
        if isinstance(self.depth, tuple) and len(self.depth) != len(self.stages):
            raise ValueError(f"depth has {len(self.depth)} numbers for {len(self.stages)} stages")
        return self

    @model_validator(mode="after")
    def _check_conv_count(self) -> Self:
        check_count(self.count_convs(), MAX_CONVS, "convolutions in a net", field="stages")
        return self

    def count_convs(self) -> int:
        """Return the number of convolutions before the kernel rules are applied."""
        depths = self.depth if isinstance(self.depth, tuple) else [self.depth] * len(self.stages)
        return sum(stage.depth or depth or len(stage.convs) for stage, depth in zip(self.stages, depths, strict=True))

    def to_notation(self) -> str:
        """Return the stages in the compact notation of config/notation.py."""
        return format_stages(stage.model_dump() for stage in self.stages)

    def dump_compact(self) -> dict[str, Any]:
        """Return what a study file would hold under `arch:`, without the values that are defaults."""
        return {**self.model_dump(mode="json", exclude_defaults=True, exclude={"stages"}), "stages": self.to_notation()}

    def with_shape(self, shape: Shape) -> Arch:
        """Return the same net with the image size, channels and classes of `shape` where it has none of its own."""
        return self.model_copy(
            update={
                "image_size": self.image_size or shape.image_size,
                "in_channels": self.in_channels or shape.channels,
                "classes": self.classes or shape.classes,
            }
        )

    def to_normal_form(self) -> Arch:
        """Return the same net with all knobs replaced by plain stages.

        Raises ValueError if `match` is set, since the width must be matched first, or if a kernel rule applies to no
        convolution.
        """
        if self.match is not None:
            raise ValueError("match must be resolved before the normal form of an arch")
        stages = self._build_plain_stages()
        unchanged = self.model_copy(update={"kernel": ()})._build_plain_stages() if self.kernel else ()
        # A net that already has the form that the rules produce is no error, so that 3 can be a level beside 5.
        if stages == unchanged and not all(
            kernel_rewrites.is_rewritten(stage.convs, rule) for stage in stages for rule in self.kernel
        ):
            rules = "; ".join(map(kernel_rewrites.describe_rule, self.kernel))
            raise ValueError(f"no convolution to rewrite in {self.to_notation()!r}: {rules}")
        plain = {"width": 1.0, "depth": None, "kernel": (), "between": "activation", "stack": None}
        return self.model_copy(update={"stages": stages, **plain})

    def _build_plain_stages(self) -> tuple[Stage, ...]:
        return tuple(self.build_plain_stage(index) for index in range(len(self.stages)))

    def build_plain_stage(self, index: int) -> Stage:
        """Return one stage of the normal form. Raises ValueError if the stage's own kernel rule applies to nothing."""
        stage = self.stages[index]
        depth = self.depth[index] if isinstance(self.depth, tuple) else self.depth
        # Depth first, so that `kernel: 5` with `depth: 2` merges the two convolutions that the depth creates.
        convs = _set_depth(stage.convs, stage.depth or depth)
        channels = [stage.channels or conv.channels for conv in convs]
        plain = [
            kernel_rewrites.PlainConv(self._scale_channels(count), conv.kernel, conv.then)
            for count, conv in zip(channels, convs, strict=True)
        ]
        for rule in self.kernel if stage.kernel is None else stage.kernel:
            rewritten = kernel_rewrites.rewrite_stage(plain, rule)
            if stage.kernel is not None and rewritten == plain and not kernel_rewrites.is_rewritten(plain, rule):
                reason = kernel_rewrites.describe_rule(rule)
                raise ValueError(f"stages[{index}].kernel: no convolution to rewrite in the stage: {reason}")
            plain = rewritten
        plain = kernel_rewrites.apply_between(plain, stage.between or self.between, self.stack)
        return Stage(convs=tuple(ConvConfig(**conv._asdict()) for conv in plain), pool=stage.pool)

    def iterate_scaled_channels(self) -> Iterator[int]:
        """Yield the channels of every listed convolution, scaled by the width: two widths with the same are one net."""
        for stage in self.stages:
            for conv in stage.convs:
                yield self._scale_channels(stage.channels or conv.channels)

    def _scale_channels(self, channels: int) -> int:
        # With a group norm to the nearest multiple of its groups, so that every width is a valid net.
        if self.width == 1.0:
            return channels
        groups = self.norm.groups if isinstance(self.norm, GroupNorm) else 1
        return groups * max(1, round(channels * self.width / groups))


def apply_preset(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a preset, overridden by `fields`; `head`, `norm` and `init` merge field by field.

    Raises InvalidValueError for an unknown preset.
    """
    name = fields["preset"]
    if not isinstance(name, str) or name not in PRESETS:
        hint = "; stages are written {stages: '64 64 | 128'}" if "|" in str(name) or " " in str(name) else ""
        rule = f"unknown preset; available: {', '.join(PRESETS)}{hint}"
        raise InvalidValueError(rule, field="preset", got=name, nearest=find_nearest(str(name), PRESETS))
    merged: dict[str, Any] = dict(PRESETS[name])
    for key, value in fields.items():
        if key == "preset":
            continue
        default = merged.get(key)
        if isinstance(default, dict) and isinstance(value, dict):
            kind = default.get("kind")
            if value.get("kind", kind) == kind:  # another kind has other fields: it replaces that of the preset
                value = {**default, **value}
        merged[key] = value
    return merged


def _set_depth(convs: tuple[ConvConfig, ...], depth: int | None) -> tuple[ConvConfig, ...]:
    if depth is None:
        return convs
    return convs[:depth] + (convs[-1],) * (depth - len(convs))
