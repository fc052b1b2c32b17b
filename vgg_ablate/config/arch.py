"""A member of the VGG family, as an immutable value.

An `Arch` has knobs (`width`, `kernel`, `depth`, ...), each of which a study can change by one path.
`Arch.to_normal_form` replaces the knobs by plain stages of convolutions. Only this normal form is built, counted and
hashed, so that two spellings of one net share one record.
"""

from __future__ import annotations

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


def _wrap_in_list(value: Any) -> Any:
    return [value] if isinstance(value, int | str) else value


Kernel = Annotated[tuple[KernelRule, ...], BeforeValidator(_wrap_in_list)]


class ConvConfig(FrozenModel):
    """One convolution with stride 1, padded so that the map keeps its size (paper, section 2.1)."""

    channels: Size
    kernel: tuple[Size, Size] = (3, 3)  # rows, columns; both odd
    then: AfterConv = "activation"  # norm and activation, the norm alone, or nothing

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
    pool: Flag = True
    depth: Depth | None = None  # number of convolutions: the last one is repeated, or the rest dropped
    channels: Size | None = None  # of all convolutions of the stage
    kernel: Kernel | None = None  # overrides that of the arch
    between: BetweenConvs | None = None  # overrides that of the arch


class NoNorm(FrozenModel):
    """No normalisation."""

    kind: Literal["none"]


class BatchNorm(FrozenModel):
    """Batch normalisation after every convolution."""

    kind: Literal["batch"]
    eps: Positive = 1e-5
    momentum: Positive = 0.1


class GroupNorm(FrozenModel):
    """Group normalisation after every convolution; `groups` must divide the channels."""

    kind: Literal["group"]
    groups: Count = 8
    eps: Positive = 1e-5


class LocalResponseNorm(FrozenModel):
    """Local response normalisation once, after the first activation: the A-LRN of the paper (section 2.1).

    `convention: sum` multiplies alpha by the sum of squares, as in the formula of AlexNet; `mean` also divides by
    `size`, as the layers of PyTorch and Caffe do. It is unknown which of the two the authors used.
    """

    kind: Literal["lrn"]
    size: Count = 5
    alpha: Positive = 1e-4
    beta: Positive = 0.75
    k: Positive = 2.0
    convention: Literal["sum", "mean"] = "sum"


class NormalInit(FrozenModel):
    """Normally distributed weights and zero biases, as in the paper (section 3.1: variance 1e-2)."""

    kind: Literal["normal"]
    std: Positive = 0.1


class KaimingInit(FrozenModel):
    """Initialisation of He et al. (arXiv:1502.01852).

    With `head_std` the dense layers are drawn from N(0, head_std), as in torchvision. `fan_out` without `head_std`
    gives the class layer a variance of 2/classes, which is so large that a net may not start to learn.
    """

    kind: Literal["kaiming"]
    # fan_in as in He et al.: with fan_out, as in torchvision, the default net stayed at 40 % accuracy on digits
    # (99 % with fan_in).
    mode: Literal["fan_in", "fan_out"] = "fan_in"
    head_std: Positive | None = None


class GlorotInit(FrozenModel):
    """Initialisation of Glorot and Bengio (2010), with which the paper needs no pre-training (section 3.1)."""

    kind: Literal["glorot"]
    distribution: Literal["normal", "uniform"] = "normal"


NormConfig = Annotated[NoNorm | BatchNorm | GroupNorm | LocalResponseNorm, Field(discriminator="kind"), ByKind]
InitConfig = Annotated[NormalInit | KaimingInit | GlorotInit, Field(discriminator="kind"), ByKind]


class Head(FrozenModel):
    """The layers after the last stage: an optional pooling, hidden dense layers, and the class layer."""

    hidden: tuple[Size, ...] = Field(default=(), max_length=3)
    dropout: Fraction = 0.0  # after the activation of each hidden layer
    pool: Literal["none", "global"] | Size = "none"  # global: average to 1x1; n: adaptive average to n x n
    convolutional: Flag = False  # dense layers as convolutions: the same weights, class maps for larger images


class Match(FrozenModel):
    """Scale the width until one cost meets a budget, given as a number or as the name of another variant."""

    macs: str | Positive | Count | None = None
    params: str | Positive | Count | None = None
    activations: str | Positive | Count | None = None
    tolerance: Annotated[
        float, Field(strict=True, gt=0, lt=1), parse_text_with(lambda text: _parse_percentage(text))
    ] = 0.01

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
    # Multiplies the channels of all convolutions, but not the hidden layers of the head: a budget met by shrinking the
    # classifier would answer another question.
    width: Width = 1.0
    depth: Depth | tuple[Depth, ...] | None = None  # convolutions per stage: one number, or one per stage
    kernel: Kernel = ()  # rules of config/kernel_rewrites.py, applied in this order
    between: BetweenConvs = "activation"  # what separates the convolutions of one stack
    stack: Count | None = None  # convolutions per stack; None: a stage is one stack
    head: Head = Head()
    norm: NormConfig = NoNorm(kind="none")
    activation: Literal["relu", "leaky_relu", "elu", "gelu", "silu", "tanh"] = "relu"
    pool: Literal["max", "average", "conv"] = "max"  # conv: a 2x2 convolution with stride 2
    bias: Flag = True  # of the convolutions
    init: InitConfig = KaimingInit(kind="kaiming")
    image_size: Size | None = None  # pixels per side; None: that of the data set
    in_channels: Size | None = None  # None: those of the data set
    classes: Size | None = None  # None: those of the data set
    match: Match | None = None

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

    def to_notation(self) -> str:
        """Return the stages in the compact notation of config/notation.py."""
        return format_stages(stage.model_dump() for stage in self.stages)

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
            rules = ", ".join(str(rule) for rule in self.kernel)
            raise ValueError(f"kernel {rules}: no convolution to rewrite in {self.to_notation()!r}")
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
                raise ValueError(f"stages[{index}].kernel {rule} has no convolution to rewrite in the stage")
            plain = rewritten
        plain = kernel_rewrites.apply_between(plain, stage.between or self.between, self.stack)
        return Stage(convs=tuple(ConvConfig(**conv._asdict()) for conv in plain), pool=stage.pool)

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
        rule = f"unknown preset; available: {', '.join(PRESETS)}"
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
