"""Pre-initialisation of a net with the layers of a shallower one, by layer name (paper, section 3.1; claim E16).

The shallower net is trained inside the run: the run stays a function of its own content, at the price of training that
net again for every run that starts from it.
"""

from __future__ import annotations

import torch
from torch import nn

from vgg_ablate.config.arch import Arch
from vgg_ablate.models.layers import Conv, Dense, build_layers, find_copyable_layers
from vgg_ablate.records import Run


def build_pretraining_run(run: Run) -> Run:
    """Return the run of the shallower net, with the same data, recipe and seed."""
    pretrain = run.train.pretrain
    assert pretrain is not None
    arch = pretrain.arch.with_shape(run.data.shape).to_normal_form()
    return run.model_copy(
        update={"arch": arch, "train": run.train.model_copy(update={"pretrain": None, "epochs": pretrain.epochs})}
    )


@torch.no_grad()
def copy_layers(source: nn.Module, source_arch: Arch, net: nn.Module, arch: Arch, convs: int) -> list[str]:
    """Copy into `net` the layers of `source` that have the same name and shape; return their names.

    Of the source's convolutions only the first `convs` are copied.
    """
    source_layers, layers = _name_layers(source, source_arch), _name_layers(net, arch)
    names = find_copyable_layers(source_arch, arch, convs)
    for name in names:
        layers[name].load_state_dict(source_layers[name].state_dict())
    return list(names)


def _name_layers(net: nn.Module, arch: Arch) -> dict[str, nn.Conv2d | nn.Linear]:
    """Return a net's convolutions and dense layers by the names of its arch's layers (conv3_1, fc1)."""
    names = [layer.name for layer in build_layers(arch) if isinstance(layer, Conv | Dense)]
    modules = [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    return dict(zip(names, modules, strict=True))
