"""Dense layers as convolutions, so that a net slides over larger images (paper, section 3.2; claims A14, A15)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vgg_ablate.config.arch import Arch
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models.vgg import Vgg, build_model


def convert_head(arch: Arch, *, back: bool = False) -> Arch:
    """The same net with a convolutional head; `back`: with a dense one."""
    return arch.model_copy(update={"head": arch.head.model_copy(update={"convolutional": not back})})


def convert_state_dict(state: Mapping[str, Tensor], arch: Arch) -> dict[str, Tensor]:
    """A state_dict for `arch`, from one whose head is dense where this one is convolutional, or the other way round.

    The weights are the same numbers, seen in another shape. Raises SpecError where they are not of this net.
    """
    with torch.device("meta"):
        wanted = build_model(arch).state_dict()
    if missing := wanted.keys() ^ state.keys():
        raise SpecError(Problem("the weights are of another net", got=f"{sorted(missing)[0]} on one side only"))
    for name, weight in state.items():
        if weight.numel() != wanted[name].numel():
            shapes = f"{name} of {tuple(weight.shape)}, not {tuple(wanted[name].shape)}"
            raise SpecError(Problem("the weights are of another net", got=shapes))
    return {name: state[name].reshape(wanted[name].shape) for name in wanted}


def convert_model(model: Vgg) -> Vgg:
    """The net with a convolutional head, for images of any size; its weights are the model's own, not a copy.

    Where the head pools to the side that the last map has, as torchvision's does at 224 pixels, it slides; where it
    pools to another side, or globally, the net takes any size as it is.
    """
    arch = convert_head(model.arch)
    with torch.device("meta"):
        whole = build_model(arch)
    whole.load_state_dict(convert_state_dict(model.state_dict(), arch), assign=True)
    return whole.train(model.training)


def compute_class_map(model: Vgg, images: Tensor) -> Tensor:
    """Logits of a convolutional head for every place: N x classes x rows x columns.

    On images as large as those that the net was built for it is 1 x 1; on larger ones floor(Q / 32) - 6 for five
    poolings and a 7x7 map.
    """
    maps: Tensor = model.avgpool(model.features(images))
    for part in list(model.classifier)[:-2]:  # without the average over the map
        maps = part(maps)
    return maps
