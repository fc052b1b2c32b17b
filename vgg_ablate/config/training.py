"""The data (`data:`) and the training recipe (`train:`) of a variant, as immutable values."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import DATASETS, Shape
from vgg_ablate.config.presets import RECIPES
from vgg_ablate.config.schedules import CosineSchedule, Schedule
from vgg_ablate.config.types import (
    ByKind,
    Count,
    Flag,
    Fraction,
    FrozenModel,
    InvalidValueError,
    NonNegative,
    Positive,
    Share,
    Size,
    Whole,
    wrap_in_list,
)
from vgg_ablate.errors import find_nearest


class ResizedCrop(FrozenModel):
    """A crop of random area and aspect ratio, resized to the image size."""

    # The defaults of torchvision's RandomResizedCrop.
    area: tuple[Share, Share] = (0.08, 1.0)
    """Smallest and largest area of the crop, as fractions of the image. Example: [0.08, 1.0]"""
    ratio: tuple[Positive, Positive] = (0.75, 4 / 3)
    """Smallest and largest ratio of width to height. Example: [0.75, 1.333]"""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for name in ("area", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise InvalidValueError("must be [smallest, largest]", field=name, got=[low, high])
        return self


class ScaleJitter(FrozenModel):
    """A random crop after resizing the shorter side to S pixels, S drawn from [low, high] (paper, section 3.1)."""

    low: Size
    """Smallest length of the shorter side. Unit: pixels. Example: 32"""
    high: Size
    """Largest length of the shorter side. Unit: pixels. Example: 64"""

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.low > self.high:
            raise InvalidValueError("must not be less than low", field="high", got=self.high)
        return self


class Augment(FrozenModel):
    """The augmentation of training images.

    Every draw is a function of (seed, epoch, index of the image) and independent of the other augmentations.
    """

    crop_padding: Whole = 0
    """Padding before a random crop to the image size; 0 for no crop. Unit: pixels. Example: 4"""
    resized_crop: ResizedCrop | None = None
    """Crop of random area and aspect ratio, resized to the image size. Example: {area: [0.25, 1.0]}"""
    scale_jitter: ScaleJitter | None = None
    """Random crop after resizing to a random scale, as in the paper. Example: {low: 32, high: 64}"""
    flip: Flag = False
    """Whether images are mirrored horizontally, with probability 1/2. Example: true"""
    pca_color_std: NonNegative = 0.0
    """Standard deviation of the colour shift along the principal components of AlexNet (there 0.1). Example: 0.1"""
    cutout: Whole = 0
    """Side of a square that is set to the mean colour (arXiv:1708.04552); 0 for none. Unit: pixels. Example: 8"""

    @model_validator(mode="after")
    def _check_one_crop(self) -> Self:
        crops = [name for name in ("crop_padding", "resized_crop", "scale_jitter") if getattr(self, name)]
        if len(crops) > 1:
            raise InvalidValueError(
                "at most one kind of crop can be given", field=crops[1], got=f"{crops[0]} and {crops[1]}"
            )
        return self


EvaluationView = Literal["single", "dense", "crops"]


class Evaluate(FrozenModel):
    """The views of an image in the final evaluation; their class probabilities are averaged (paper, section 3.2).

    `single` is the centre crop, `crops` are `grid` x `grid` crops, and `dense` applies the net to the whole image, with
    its dense layers as convolutions. A scale at which `dense` covers less than 90 % of the image is an error.
    These fields do not change the training: validation between epochs uses the centre crop at the training scale.
    """

    view: Annotated[tuple[EvaluationView, ...], BeforeValidator(wrap_in_list)] = Field(("single",), min_length=1)
    """Views of a test image: the centre crop, the whole image, or a grid of crops; or a list of these.

    Example: [dense, crops]
    """
    flip: Flag = False
    """Whether the mirror image of every view is evaluated too. Example: true"""
    scales: Annotated[tuple[Size, ...], BeforeValidator(wrap_in_list)] = ()
    """Lengths of the shorter side at which a test image is evaluated; empty: the image size.

    Unit: pixels. Example: [32, 48]
    """
    grid: Count = 5
    """Crops per side of the view `crops`. Unit: crops. Example: 5"""


# Fields of `data` that declare a data set or locate its files. They are not part of a run's key: the fingerprint of the
# pixels and Data.shape identify the content, so that the same content declared in two ways is one run.
DECLARATION_FIELDS = frozenset(
    {"name", "root", "download", "on_corrupt", "follow_links", "image_size", "channels", "classes"}
)


class Data(FrozenModel):
    """A data set, its splits, and its augmentation and evaluation. `root` and `download` change no result."""

    name: str
    """Name of the data set. Example: cifar10"""
    image_size: Size | None = None
    """Side to which images are resized; without it, that of the data set. Unit: pixels. Example: 32"""
    channels: Literal[1, 3] | None = None
    """Channels to which images are converted, 1 or 3; without it, those of the data set. Unit: channels. Example: 1"""
    # Required by image-folder, so that check, plan and report work without the images; preparing the data checks it.
    classes: Size | None = None
    """Number of classes; required by image-folder, checked against its folders. Unit: classes. Example: 10"""
    validation_fraction: Fraction = 0.1
    """Fraction of the training examples that is held out for validation, drawn by the seed. Example: 0.1"""
    test_fraction: Fraction = 0.2
    """Fraction of all examples that is held out for the test where the data set has no test split. Example: 0.2"""
    limit: Count | None = None
    """Number of training and validation examples that are used; without it, all. Unit: examples. Example: 5000"""
    augment: Augment = Augment()
    """Augmentation of the training images. Example: {crop_padding: 4, flip: true}"""
    normalize: Literal["standard", "mean"] = "standard"
    """Whether images are shifted and scaled by mean and deviation of the training split, or shifted by its mean.

    Example: mean
    """
    evaluate: Evaluate = Evaluate()
    """Views of a test image in the final evaluation. Example: {view: dense, scales: [32, 48]}"""
    root: str | None = None
    """Folder of the data set; without it, $VGG_ABLATE_DATA, else the cache folder. Example: /data/leaves"""
    download: Flag = False
    """Whether a missing data set is downloaded. Example: true"""
    on_corrupt: Literal["error", "skip"] = "error"
    """What happens at an image file that cannot be read: error, or skip the file. Example: skip"""
    follow_links: Flag = False
    """Whether `root` and links below it may lead out of the folder of the data. Example: true"""

    @field_validator("name")
    @classmethod
    def _check_known(cls, name: str) -> str:
        if name not in DATASETS:
            rule = f"unknown data set; available: {', '.join(DATASETS)}"
            raise InvalidValueError(rule, got=name, nearest=find_nearest(name, DATASETS))
        return name

    @model_validator(mode="after")
    def _check_shape(self) -> Self:
        native = DATASETS[self.name].shape
        if native.image_size is None and self.image_size is None:
            raise ValueError(f"{self.name} has images of various sizes: image_size must be given")
        if native.classes is None and self.classes is None:
            raise ValueError(f"{self.name} has no fixed number of classes: classes must be given")
        if native.classes is not None and self.classes not in (None, native.classes):
            raise ValueError(f"{self.name} has {native.classes} classes, got {self.classes}")
        return self

    @model_validator(mode="after")
    def _check_scales(self) -> Self:
        size, jitter = self.shape.image_size, self.augment.scale_jitter
        assert size is not None  # ensured by _check_shape
        if jitter is not None and jitter.low < size:
            raise InvalidValueError(f"must not be less than the image size {size}", field="augment", got=jitter.low)
        if small := [scale for scale in self.evaluate.scales if scale < size]:
            raise InvalidValueError(
                f"scales must not be less than the image size {size}", field="evaluate", got=small[0]
            )
        return self

    @property
    def shape(self) -> Shape:
        """Image size, channels and classes of the examples, as the input of the net."""
        native = DATASETS[self.name].shape
        return Shape(
            self.image_size or native.image_size, self.channels or native.channels, self.classes or native.classes
        )

    @property
    def train_size(self) -> int:
        """Pixels per side at which training and validation images are stored; independent of `evaluate`."""
        jitter = self.augment.scale_jitter
        return max(self.shape.image_size or 1, jitter.high if jitter else 1)

    @property
    def test_size(self) -> int:
        """Pixels per side at which test images are stored: the largest scale of training and evaluation."""
        return max(self.train_size, *self.evaluate.scales, 1)


class Sgd(FrozenModel):
    """Stochastic gradient descent with momentum (paper, section 3.1)."""

    kind: Literal["sgd"]
    momentum: Fraction = 0.9
    """Momentum of the gradient. Example: 0.9"""
    nesterov: Flag = False
    """Whether the momentum is Nesterov's. Example: true"""


class AdamW(FrozenModel):
    """Adam with decoupled weight decay (arXiv:1711.05101)."""

    kind: Literal["adamw"]
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square. Example: [0.9, 0.999]"""
    eps: Positive = 1e-8
    """Number added to the divisor. Example: 1.0e-8"""


Optimizer = Annotated[Sgd | AdamW, Field(discriminator="kind"), ByKind]


class PreTrain(FrozenModel):
    """Initialisation with the layers of a shallower net, trained first with the same recipe (paper, section 3.1; E16).

    The first `convs` convolutions are copied to those of the same block and position (conv3_1 to conv3_1), the dense
    layers to those of the same position. Layers of another shape keep their random weights.
    """

    arch: Arch
    """The shallower net that is trained first. Example: {preset: A, width: 0.125}"""
    epochs: Count
    """Training length of the shallower net. Unit: epochs. Example: 10"""
    convs: Whole = 4
    """Number of its first convolutions that are copied. Unit: convolutions. Example: 4"""


class Train(FrozenModel):
    """The training recipe: everything that changes a result, and so neither device, workers nor folders.

    `ensemble` holds further nets (paper, section 4.4), as complete archs; study files write their differences from
    `arch`. The i-th further net trains with `replicate + i` on the same examples, and so equals the net of a run of its
    own. Validation and test average the class probabilities of all nets.
    """

    epochs: Count = 20
    """Training length. Unit: epochs. Example: 20"""
    batch_size: Size = 64
    """Examples per update of the weights. Unit: examples. Example: 64"""
    micro_batch: Count | None = None
    """Examples per pass, with gradients accumulated up to `batch_size`, to save memory; without it, `batch_size`.

    Unit: examples. Example: 16
    """
    optimizer: Optimizer = Sgd(kind="sgd")
    """Optimiser of the weights. Example: {kind: sgd, momentum: 0.9}"""
    lr: Positive = 0.05
    """Learning rate, before schedule and warm-up. Example: 0.05"""
    weight_decay: NonNegative = 5e-4
    """Weight decay. Example: 5.0e-4"""
    decay_norms: Flag = True
    """Whether norms and biases are decayed too. Example: false"""
    schedule: Schedule = CosineSchedule(kind="cosine")
    """Schedule of the learning rate. Example: {kind: step, step_epochs: 30}"""
    warmup_epochs: NonNegative = 0.0
    """Epochs over which the learning rate rises from 0 at the start. Unit: epochs. Example: 1"""
    label_smoothing: Fraction = 0.0
    """Share of the target probability that is spread over all classes. Example: 0.1"""
    clip_grad_norm: Positive | None = None
    """Largest norm of the gradient; without it, gradients are not clipped. Example: 1.0"""
    # auto is measured once per machine and not per arch, so that all variants of a study train in one precision.
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Number format of the training; auto: bf16 where the device is faster with it, one format for all variants.

    Example: fp32
    """
    pretrain: PreTrain | None = None
    """Training of a shallower net whose layers initialise this one.

    Example: {arch: {preset: A, width: 0.125}, epochs: 10}
    """
    replicate: Whole = 0
    """Number of a repetition: another one redraws weights, order, augmentation and dropout on the same split.

    Example: 1
    """
    ensemble: tuple[Arch, ...] = ()
    """Further nets that are trained beside the arch, each given by its differences from it.

    Example: [E, {kernel: 5}]
    """
    keep: Literal["nothing", "predictions"] = "nothing"
    """Whether every run stores its class probabilities in results/<study>/predictions/. Changes no result.

    Example: predictions
    """

    @model_validator(mode="before")
    @classmethod
    def _expand_preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = {"preset": value}
        if not isinstance(value, dict) or "preset" not in value:
            return value
        name = value["preset"]
        if not isinstance(name, str) or name not in RECIPES:
            rule = f"unknown recipe; available: {', '.join(RECIPES)}"
            raise InvalidValueError(rule, field="preset", got=name, nearest=find_nearest(str(name), RECIPES))
        return {**RECIPES[name], **{key: field for key, field in value.items() if key != "preset"}}

    @model_validator(mode="after")
    def _check_micro_batch(self) -> Self:
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise InvalidValueError(
                f"must divide batch_size {self.batch_size}", field="micro_batch", got=self.micro_batch
            )
        return self
