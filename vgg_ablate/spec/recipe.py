"""How a variant is trained, as immutable values: the data (`data:`) and the training (`train:`)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from vgg_ablate.errors import nearest
from vgg_ablate.spec.datasets import DATASETS, Shape
from vgg_ablate.spec.values import ByKind, Count, Flag, Fraction, Frozen, NonNegative, Positive, Whole, Wrong


class Augment(Frozen):
    """What is done to training images, batch by batch, drawn from (seed, epoch, index)."""

    crop_padding: Whole = 0  # pixels of padding around the image before a random crop back to its size
    flip: Flag = False  # left and right, with probability 1/2


class Data(Frozen):
    """A data set and how it is split. `root` and `download` say where it is, not what: they change no result."""

    name: str
    image_size: Count | None = None  # pixels a side; None: the data set's own
    channels: Literal[1, 3] | None = None  # None: the data set's own
    classes: Count | None = None  # needed by image-folder, checked against its folders
    validation: Fraction = 0.1  # of the training examples, drawn from the seed, held out to choose by
    test: Fraction = 0.2  # of all examples, for data sets without a test split of their own
    limit: Count | None = None  # training and validation examples together; None: all
    augment: Augment = Augment()
    root: str | None = None  # a folder; None: $VGG_ABLATE_DATA, then a cache folder
    download: Flag = False
    on_corrupt: Literal["error", "skip"] = "error"

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in DATASETS:
            rule = f"unknown data set; there are {', '.join(DATASETS)}"
            raise Wrong(rule, got=name, nearest=nearest(name, DATASETS))
        return name

    @model_validator(mode="after")
    def _shaped(self) -> Self:
        native = DATASETS[self.name]
        if native.image_size is None and self.image_size is None:
            raise ValueError(f"{self.name} has images of many sizes: image_size must be given")
        if native.classes is None and self.classes is None:
            raise ValueError(f"{self.name} has no fixed number of classes: classes must be given")
        if native.classes is not None and self.classes not in (None, native.classes):
            raise ValueError(f"{self.name} has {native.classes} classes, got {self.classes}")
        return self

    @property
    def shape(self) -> Shape:
        """Pixels a side, channels and classes of the examples as the net sees them."""
        native = DATASETS[self.name]
        return Shape(
            self.image_size or native.image_size, self.channels or native.channels, self.classes or native.classes
        )


class Sgd(Frozen):
    """Stochastic gradient descent with momentum (paper, section 3.1)."""

    kind: Literal["sgd"]
    momentum: Fraction = 0.9
    nesterov: Flag = False


class AdamW(Frozen):
    """Adam with decoupled weight decay (arXiv:1711.05101)."""

    kind: Literal["adamw"]
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    eps: Positive = 1e-8


class Constant(Frozen):
    """The learning rate as given."""

    kind: Literal["constant"]


class Cosine(Frozen):
    """Half a cosine from the learning rate to `floor` times it, step by step."""

    kind: Literal["cosine"]
    floor: Fraction = 0.0


class Step(Frozen):
    """Multiplied by `factor` every `every` epochs."""

    kind: Literal["step"]
    every: Count
    factor: Positive = 0.1


class OneCycle(Frozen):
    """Linear rise over `rise` of the training, then linear fall to 0."""

    kind: Literal["one_cycle"]
    rise: Fraction = 0.25


class Plateau(Frozen):
    """Multiplied by `factor` when validation accuracy has not improved for `patience` epochs, `drops` times at most.

    With factor 0.1 and 3 drops: the paper's schedule (section 3.1).
    """

    kind: Literal["plateau"]
    factor: Positive = 0.1
    patience: Count = 5
    drops: Count = 3


Optimizer = Annotated[Sgd | AdamW, Field(discriminator="kind"), ByKind]
Schedule = Annotated[Constant | Cosine | Step | OneCycle | Plateau, Field(discriminator="kind"), ByKind]


class Train(Frozen):
    """The training. What it leaves out changes no result: device, workers and folders are not here."""

    epochs: Count = 20
    batch_size: Count = 64
    optimizer: Optimizer = Sgd(kind="sgd")
    lr: Positive = 0.05
    weight_decay: NonNegative = 5e-4
    decay_norms: Flag = True  # weight decay on norms and biases too
    schedule: Schedule = Cosine(kind="cosine")
    warmup_epochs: NonNegative = 0.0
    label_smoothing: Fraction = 0.0
    clip_norm: Positive | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
