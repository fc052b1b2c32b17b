"""The torch module of an arch, with torchvision's parameter names: `features.N`, `avgpool`, `classifier.N`.

A preset named after a torchvision model takes that model's state_dict as it is, and the other way round.
"""

from __future__ import annotations

import torch
from torch import nn

from vgg_ablate.config.arch import Arch, BatchNorm, GroupNorm
from vgg_ablate.config.initializers import GlorotInit, InitConfig, KaimingInit, NormalInit
from vgg_ablate.models.layers import (
    Activation,
    Conv,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Norm,
    Pool,
    build_layers,
    split_head,
)

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
}


class Vgg(nn.Module):
    """A net of the family: images, float N x C x H x W, to logits, float N x classes."""

    def __init__(self, arch: Arch) -> None:
        """Build the layers of `arch`, which must be in its normal form, with torch's default weights."""
        super().__init__()
        self.arch = arch
        # The names are those of torchvision's VGG, so that its weights load, and weights exported here load there.
        body, head = split_head(build_layers(arch))
        pools = [layer for layer in head if isinstance(layer, Pool)]
        dense = any(isinstance(layer, Flatten) for layer in head)
        weights = [build_module(layer) for layer in head if isinstance(layer, Dense | Conv | Activation | Dropout)]
        self.features = nn.Sequential(*(build_module(layer) for layer in body))
        self.avgpool = build_module(pools[0]) if pools else nn.Identity()
        self.flatten = nn.Flatten() if dense else nn.Identity()
        self.classifier = nn.Sequential(*weights, *([] if dense else [nn.AdaptiveAvgPool2d(1), nn.Flatten()]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits; those of a convolutional head are averaged over the class map."""
        logits: torch.Tensor = self.classifier(self.flatten(self.avgpool(self.features(images))))
        return logits


def build_model(arch: Arch, generator: torch.Generator | None = None) -> Vgg:
    """Return the module of an arch in its normal form, with weights drawn from `generator` as `arch.init` says."""
    model = Vgg(arch)
    initialize_weights(model, arch.init, generator)
    return model


def build_module(layer: Layer) -> nn.Module:
    """Return the torch module of one layer."""
    match layer:
        case Conv():
            return nn.Conv2d(
                layer.in_channels, layer.channels, layer.kernel, layer.stride, layer.padding, bias=layer.bias
            )
        case Norm():
            return _build_norm(layer)
        case Activation():
            # ReLU in place, as in torchvision: it saves one map per layer and its backward pass needs the output only.
            return nn.ReLU(inplace=True) if layer.kind == "relu" else _ACTIVATIONS[layer.kind]()
        case Pool(kind="adaptive"):
            return nn.AdaptiveAvgPool2d((layer.size, layer.size))
        case Pool():
            return nn.MaxPool2d(2, 2) if layer.kind == "max" else nn.AvgPool2d(2, 2)
        case Dense():
            return nn.Linear(layer.in_features, layer.features)
        case Dropout():
            return nn.Dropout(layer.probability)
        case Flatten():
            return nn.Flatten()


def _build_norm(layer: Norm) -> nn.Module:
    spec = layer.spec
    if isinstance(spec, BatchNorm):
        return nn.BatchNorm2d(layer.channels, spec.eps, spec.momentum)
    if isinstance(spec, GroupNorm):
        return nn.GroupNorm(spec.groups, layer.channels, spec.eps)
    # torch divides alpha by the size; AlexNet's formula multiplies the plain sum by it.
    alpha = spec.alpha * spec.size if spec.convention == "sum" else spec.alpha
    return _Float32ResponseNorm(spec.size, alpha, spec.beta, spec.k)


class _Float32ResponseNorm(nn.LocalResponseNorm):
    """Local response normalisation in float32: the CPU kernel of avg_pool3d has no bfloat16 (torch 2.15)."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the normalised maps in the shape and type of `maps`."""
        return super().forward(maps.float()).to(maps.dtype)


@torch.no_grad()
def initialize_weights(model: nn.Module, init: InitConfig, generator: torch.Generator | None = None) -> None:
    """Draw the weights of every convolution and dense layer, in order, and set their biases to 0.

    Norms keep torch's initial values: they are the identity.
    """
    # In the order of the net: the generator's numbers go to the same layer on every machine.
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            _draw_weight(module, init, generator)
            if module.bias is not None:
                module.bias.zero_()


def _draw_weight(module: nn.Conv2d | nn.Linear, init: InitConfig, generator: torch.Generator | None) -> None:
    weight = module.weight
    match init:
        case NormalInit():
            weight.normal_(0.0, init.std, generator=generator)
        case KaimingInit() if isinstance(module, nn.Linear) and init.head_std is not None:
            weight.normal_(0.0, init.head_std, generator=generator)
        case KaimingInit():
            nn.init.kaiming_normal_(weight, mode=init.mode, nonlinearity="relu", generator=generator)
        case GlorotInit(distribution="uniform"):
            nn.init.xavier_uniform_(weight, generator=generator)
        case GlorotInit():
            nn.init.xavier_normal_(weight, generator=generator)
