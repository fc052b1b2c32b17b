"""Dense layers as convolutions, so that a net applies to images larger than its own (paper, section 3.2; A14, A15).

Dense evaluation and `export --convolutional` use the same conversion. The weights are the same numbers in another
shape, and both forms of a net give the same logits on images of the net's own size.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vgg_ablate.config.arch import Arch
from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.models.vgg import Vgg, build_model


def convert_head(arch: Arch, *, back: bool = False) -> Arch:
    """Return the arch with a convolutional head, or, with `back`, with a dense one."""
    return arch.model_copy(update={"head": arch.head.model_copy(update={"convolutional": not back})})


def convert_state_dict(state: Mapping[str, Tensor], arch: Arch) -> dict[str, Tensor]:
    """Return `state` in the shapes of `arch`, whose head may be convolutional where that of `state` is dense.

    The tensors are views of those given. Raises SpecError where the weights are not those of this net.
    """
    with torch.device("meta"):  # only names and shapes are needed: nothing is allocated
        expected = build_model(arch).state_dict()
    if mismatched := expected.keys() ^ state.keys():
        name = sorted(mismatched)[0]
        rule = f"the weights do not fit this net: {name!r} is {'missing' if name in expected else 'not part of it'}"
        raise SpecError(Problem(rule))
    for name, weight in state.items():
        if weight.numel() != expected[name].numel():
            shapes = f"{name!r} must have shape {tuple(expected[name].shape)}"
            raise SpecError(Problem(f"the weights do not fit this net: {shapes}", got=tuple(weight.shape)))
    return {name: state[name].reshape(shaped.shape) for name, shaped in expected.items()}


def convert_model(model: Vgg) -> Vgg:
    """Return the net with a convolutional head, for images of any size. It shares its weights with `model`.

    Where the head pools to the side that the last map has anyway, as torchvision's presets do at 224 pixels, the
    pooling is left out and the head slides. Where it pools to another side, or globally, the pooled map has one size
    whatever the image, and the net is applied as it is.
    """
    arch = convert_head(model.arch)
    with torch.device("meta"):
        converted = build_model(arch)
    converted.load_state_dict(convert_state_dict(model.state_dict(), arch), assign=True)
    return converted.train(model.training)
