"""A trained net for other programs: images in, class names out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vgg_ablate.data.augment import Normalizer
from vgg_ablate.data.decode import convert_native, fit_square
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models import checkpoints
from vgg_ablate.models.vgg import Vgg

Picture = Image.Image | str | Path  # a PIL image, or the path of an image file
Images = Tensor | NDArray[np.uint8] | Picture | Sequence[Picture]


class Classifier(nn.Module):
    """A trained net with the normalisation of its training images and the names of its classes.

    It is a module like any other: `.to(device)`, `.eval()` and `state_dict()` work as usual. The test of a study may
    average several views of an image (`data.evaluate`); this class uses one, as validation does.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, net: Vgg, inputs: checkpoints.ImageInputs) -> None:
        super().__init__()
        self.net = net
        self.class_names = inputs.class_names
        """The names of the classes, in the order of the labels."""
        self.register_buffer("mean", torch.tensor(inputs.mean))
        self.register_buffer("std", torch.tensor(inputs.std))

    @property
    def image_size(self) -> int:
        """Side of the images that the net was trained on, in pixels."""
        assert self.net.arch.image_size is not None
        return self.net.arch.image_size

    @property
    def channels(self) -> int:
        """Channels of the images that the net was trained on: 1 (grey) or 3 (RGB)."""
        assert self.net.arch.in_channels is not None
        return self.net.arch.in_channels

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, N x classes, of uint8 images, N x H x W x C."""
        logits: Tensor = self.net(Normalizer(self.mean, self.std)(images))
        return logits

    @torch.inference_mode()
    def predict_proba(self, images: Images) -> Tensor:
        """Return the class probabilities, N x classes, float32.

        `images` is a uint8 tensor or array, N x H x W x C with the net's image size and channels; or a PIL image, the
        path of an image file, or a list of these, which are resized and converted as an image folder is. Raises
        ValueError for other shapes and types, OSError for a file that cannot be read as an image.
        """
        return self.forward(self._to_batch(images).to(self.mean.device)).softmax(1)

    def predict(self, images: Images) -> list[str]:
        """Return the name of the most probable class of every image; `images` and errors as in `predict_proba`."""
        return [self.class_names[index] for index in self.predict_proba(images).argmax(1).tolist()]

    def _to_batch(self, images: Images) -> Tensor:
        if isinstance(images, Picture):
            images = [images]
        if isinstance(images, Tensor | np.ndarray):
            batch = torch.as_tensor(images)
        else:
            size, channels = self.image_size, self.channels
            natives = [convert_native(_open_picture(image), channels) for image in images]
            pixels = [np.asarray(fit_square(native, size)) for native in natives]
            batch = torch.from_numpy(np.stack(pixels).reshape(-1, size, size, channels))
        shape = (self.image_size, self.image_size, self.channels)
        if batch.dtype != torch.uint8 or batch.ndim != 4 or tuple(batch.shape[1:]) != shape:
            expected = f"uint8, N x {' x '.join(map(str, shape))}"
            got = f"{str(batch.dtype).removeprefix('torch.')}, {' x '.join(map(str, batch.shape))}"
            raise ValueError(f"images: must be {expected}, got {got}")
        return batch


def _open_picture(picture: Picture) -> Image.Image:
    if isinstance(picture, str | Path):
        with Image.open(picture) as image:
            image.load()  # the file is closed on return
            return image
    if not isinstance(picture, Image.Image):
        raise ValueError(f"images: must be PIL images, paths or a uint8 array, got {type(picture).__name__}")
    return picture


def load_classifier(path: Path) -> Classifier:
    """Return the net of an exported file, or of the folder that holds its model.safetensors, in eval mode.

    Raises StorageError where it cannot be read, and SpecError where `export` did not write it.
    """
    file = path / "model.safetensors" if path.is_dir() else path
    arch, net = checkpoints.load_safetensors(file)
    inputs = checkpoints.read_image_inputs(file)
    if inputs is None:
        rule = "has no normalisation and no class names: write it again with 'vgg_ablate export'"
        raise SpecError(Problem(rule, location=str(file)))
    lengths = (len(inputs.mean), len(inputs.std), len(inputs.class_names))
    if lengths != (arch.in_channels, arch.in_channels, arch.classes):
        raise SpecError(Problem("the inputs in the metadata do not fit the net", location=str(file)))
    return Classifier(net, inputs).eval()
