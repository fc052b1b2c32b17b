"""How a variant is trained, as immutable values: the data (`data:`) and the training (`train:`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import DATASETS, Shape
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
)
from vgg_ablate.errors import find_nearest


class ResizedCrop(FrozenModel):
    """A box of a random part of the image's area and a random ratio of its sides, resized to the image size."""

    area: tuple[Share, Share] = (0.08, 1.0)  # smallest and largest part of the area
    ratio: tuple[Positive, Positive] = (0.75, 4 / 3)  # width to height

    @model_validator(mode="after")
    def _rising(self) -> Self:
        for name in ("area", "ratio"):
            low, high = getattr(self, name)
            if low > high:
                raise InvalidValueError("must be [smallest, largest]", field=name, got=[low, high])
        return self


class ScaleJitter(FrozenModel):
    """The shorter side is resized to S pixels, S drawn from [low, high]; then a random crop (paper, section 3.1)."""

    low: Size
    high: Size

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if self.low > self.high:
            raise InvalidValueError("must not be less than low", field="high", got=self.high)
        return self


class Augment(FrozenModel):
    """What is done to training images, batch by batch, drawn from (seed, epoch, index)."""

    crop_padding: Whole = 0  # pixels of padding around the image before a random crop back to its size
    resized_crop: ResizedCrop | None = None
    scale_jitter: ScaleJitter | None = None
    flip: Flag = False  # left and right, with probability 1/2
    pca_color_std: NonNegative = 0.0  # deviation of AlexNet's shift along the colours' principal components (there 0.1)
    cutout: Whole = 0  # side in pixels of a square, anywhere, that becomes the mean colour (arXiv:1708.04552)

    @model_validator(mode="after")
    def _one_crop(self) -> Self:
        given = [name for name in ("crop_padding", "resized_crop", "scale_jitter") if getattr(self, name)]
        if len(given) > 1:
            raise InvalidValueError("there can be one kind of crop", field=given[1], got=f"{given[0]} and {given[1]}")
        return self


EvaluationView = Literal["single", "dense", "crops"]


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str | int) else value


class Evaluate(FrozenModel):
    """How validation and test images are shown; the class probabilities of all views are averaged (paper, section 3.2).

    `single` is the centre crop. `dense` slides the whole net over the image, its dense layers as convolutions; scales
    at which it covers less than 90 % of the image are refused.
    `crops` are `grid` x `grid` crops. Nothing here changes the training: validation between epochs shows the centre
    crop at the training scale.
    """

    view: Annotated[tuple[EvaluationView, ...], BeforeValidator(_one_or_more)] = Field(("single",), min_length=1)
    flip: Flag = False  # every view and its mirror image
    scales: Annotated[tuple[Size, ...], BeforeValidator(_one_or_more)] = ()  # shorter sides Q; none: the image size
    grid: Count = 5


# Fields of `data` that say how its examples are declared and where they are. What the examples are is said by the
# fingerprint of their pixels and by Data.shape, so that one content declared in two ways is one run.
DECLARATION_FIELDS = frozenset({"name", "root", "download", "on_corrupt", "image_size", "channels", "classes"})


class Data(FrozenModel):
    """A data set and how it is split. `root` and `download` say where it is, not what: they change no result."""

    name: str
    image_size: Size | None = None  # pixels a side; None: the data set's own
    channels: Literal[1, 3] | None = None  # None: the data set's own
    classes: Size | None = None  # needed by image-folder, checked against its folders
    validation_fraction: Fraction = 0.1  # of the training examples, drawn from the seed, held out to choose by
    test_fraction: Fraction = 0.2  # of all examples, for data sets without a test split of their own
    limit: Count | None = None  # training and validation examples together; None: all
    augment: Augment = Augment()
    normalize: Literal["standard", "mean"] = "standard"  # by the training split's mean and deviation, or mean alone
    evaluate: Evaluate = Evaluate()
    root: str | None = None  # a folder; None: $VGG_ABLATE_DATA, then a cache folder
    download: Flag = False
    on_corrupt: Literal["error", "skip"] = "error"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in DATASETS:
            rule = f"unknown data set; there are {', '.join(DATASETS)}"
            raise InvalidValueError(rule, got=name, nearest=find_nearest(name, DATASETS))
        return name

    @model_validator(mode="after")
    def _shaped(self) -> Self:
        native = DATASETS[self.name].shape
        if native.image_size is None and self.image_size is None:
            raise ValueError(f"{self.name} has images of many sizes: image_size must be given")
        if native.classes is None and self.classes is None:
            raise ValueError(f"{self.name} has no fixed number of classes: classes must be given")
        if native.classes is not None and self.classes not in (None, native.classes):
            raise ValueError(f"{self.name} has {native.classes} classes, got {self.classes}")
        return self

    @model_validator(mode="after")
    def _large_enough(self) -> Self:
        size, jitter = self.shape.image_size, self.augment.scale_jitter
        assert size is not None  # _shaped checks it
        if jitter is not None and jitter.low < size:
            raise InvalidValueError(f"must not be less than the image size {size}", field="augment", got=jitter.low)
        if small := [scale for scale in self.evaluate.scales if scale < size]:
            raise InvalidValueError(
                f"scales must not be less than the image size {size}", field="evaluate", got=small[0]
            )
        return self

    @property
    def shape(self) -> Shape:
        """Pixels a side, channels and classes of the examples as the net sees them."""
        native = DATASETS[self.name].shape
        return Shape(
            self.image_size or native.image_size, self.channels or native.channels, self.classes or native.classes
        )

    @property
    def train_size(self) -> int:
        """Pixels a side at which training and validation images are stored. Independent of `evaluate`."""
        jitter = self.augment.scale_jitter
        return max(self.shape.image_size or 1, jitter.high if jitter else 1)

    @property
    def test_size(self) -> int:
        """Pixels a side at which test images are stored: the largest that training or testing shows."""
        return max(self.train_size, *self.evaluate.scales, 1)


class Sgd(FrozenModel):
    """Stochastic gradient descent with momentum (paper, section 3.1)."""

    kind: Literal["sgd"]
    momentum: Fraction = 0.9
    nesterov: Flag = False


class AdamW(FrozenModel):
    """Adam with decoupled weight decay (arXiv:1711.05101)."""

    kind: Literal["adamw"]
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8


class ConstantSchedule(FrozenModel):
    """The learning rate as given."""

    kind: Literal["constant"]


class CosineSchedule(FrozenModel):
    """Half a cosine from the learning rate to `min_factor` times it, step by step."""

    kind: Literal["cosine"]
    min_factor: Fraction = 0.0


class StepSchedule(FrozenModel):
    """Multiplied by `factor` every `step_epochs` epochs."""

    kind: Literal["step"]
    step_epochs: Count
    factor: Positive = 0.1


class OneCycleSchedule(FrozenModel):
    """Linear rise over `rise_fraction` of the training, then linear fall to 0."""

    kind: Literal["one_cycle"]
    rise_fraction: Fraction = 0.25


class PlateauSchedule(FrozenModel):
    """Multiply by `factor` when validation accuracy has not improved for `patience` epochs, at most `max_drops` times.

    With factor 0.1 and 3 drops this is the paper's schedule (section 3.1).
    """

    kind: Literal["plateau"]
    factor: Positive = 0.1
    patience: Count = 5
    max_drops: Count = 3


Optimizer = Annotated[Sgd | AdamW, Field(discriminator="kind"), ByKind]
Schedule = Annotated[
    ConstantSchedule | CosineSchedule | StepSchedule | OneCycleSchedule | PlateauSchedule,
    Field(discriminator="kind"),
    ByKind,
]


class PreTrain(FrozenModel):
    """Train a shallower net first, with the same recipe, and start from its layers (paper, section 3.1; claim E16).

    The first `convs` convolutions go to those of the same block and place (conv3_1 to conv3_1), the dense layers to
    those of the same place; what has another shape stays as it was drawn.
    """

    arch: Arch
    epochs: Count
    convs: Whole = 4


RECIPES: dict[str, dict[str, Any]] = {
    "paper": {  # section 3.1; weights and pre-training are `arch.init` and `train.pretrain`
        "epochs": 74,
        "batch_size": 256,
        "lr": 0.01,
        "weight_decay": 5e-4,
        "optimizer": {"kind": "sgd", "momentum": 0.9},
        "schedule": {"kind": "plateau", "factor": 0.1, "max_drops": 3},
    },
    "torchvision": {  # references/classification; the nets with batch normalisation train at 0.1
        "epochs": 90,
        "batch_size": 256,
        "lr": 0.01,
        "weight_decay": 1e-4,
        "optimizer": {"kind": "sgd", "momentum": 0.9},
        "schedule": {"kind": "step", "step_epochs": 30, "factor": 0.1},
    },
}


class Train(FrozenModel):
    """The training. What it leaves out changes no result: device, workers and folders are not here.

    With an `ensemble` of n further nets (paper, section 4.4), the i-th is the arch's net trained as `replicate + i`, by
    the same recipe on the same examples: a run of its own gives the same net. In a study file each is written as what
    differs from `arch`; here it is whole. Every validation and the test average all nets' class probabilities.
    """

    epochs: Count = 20
    batch_size: Size = 64  # examples an update
    micro_batch: Count | None = None  # examples at once, gradients accumulated; None: the batch
    optimizer: Optimizer = Sgd(kind="sgd")
    lr: Positive = 0.05
    weight_decay: NonNegative = 5e-4
    decay_norms: Flag = True  # weight decay on norms and biases too
    schedule: Schedule = CosineSchedule(kind="cosine")
    warmup_epochs: NonNegative = 0.0
    label_smoothing: Fraction = 0.0
    clip_grad_norm: Positive | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    pretrain: PreTrain | None = None
    replicate: Whole = (
        0  # of weights, order, augmentation and dropout, on the same split: another number, another training
    )
    ensemble: tuple[Arch, ...] = ()  # further nets, trained beside; all answer by the mean of their soft-max classes
    keep: Literal["nothing", "predictions"] = "nothing"  # class probabilities, beside the record; part of no key

    @model_validator(mode="before")
    @classmethod
    def _from_preset(cls, given: Any) -> Any:
        if isinstance(given, str):
            given = {"preset": given}
        if not isinstance(given, dict) or "preset" not in given:
            return given
        name = given["preset"]
        if name not in RECIPES:
            rule = f"unknown recipe; there are {', '.join(RECIPES)}"
            raise InvalidValueError(rule, field="preset", got=name, nearest=find_nearest(str(name), RECIPES))
        return {**RECIPES[name], **{key: value for key, value in given.items() if key != "preset"}}

    @model_validator(mode="after")
    def _whole_micro_batches(self) -> Self:
        if self.micro_batch is not None and self.batch_size % self.micro_batch:
            raise InvalidValueError(
                f"must divide batch_size {self.batch_size}", field="micro_batch", got=self.micro_batch
            )
        return self
