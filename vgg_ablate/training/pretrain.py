"""A net that starts from the layers of a shallower one, by block name (paper, section 3.1; claim E16)."""

from __future__ import annotations

import torch
from torch import nn

from vgg_ablate.config.arch import Arch
from vgg_ablate.models.layers import Conv, Dense, build_layers, find_copyable_layers
from vgg_ablate.records import Run


def build_pretraining_run(run: Run) -> Run:
    """The training of the shallower net: the same data, recipe and seed."""
    before = run.train.pretrain
    assert before is not None
    arch = before.arch.with_shape(run.data.shape).to_normal_form()
    return run.model_copy(
        update={"arch": arch, "train": run.train.model_copy(update={"pretrain": None, "epochs": before.epochs})}
    )


@torch.no_grad()
def copy_layers(source: nn.Module, source_arch: Arch, net: nn.Module, arch: Arch, convs: int) -> list[str]:
    """Copy into `net` the layers of `source` with the same name and shape; their names.

    Of the source's convolutions its first `convs`.
    """
    theirs, ours = _named(source, source_arch), _named(net, arch)
    names = find_copyable_layers(source_arch, arch, convs)
    for name in names:
        ours[name].load_state_dict(theirs[name].state_dict())
    return list(names)


def _named(net: nn.Module, arch: Arch) -> dict[str, nn.Conv2d | nn.Linear]:
    """The convolutions and dense layers of a net by the names of its arch's layers (conv3_1, fc1)."""
    named = [layer.name for layer in build_layers(arch) if isinstance(layer, Conv | Dense)]
    parts = [part for part in net.modules() if isinstance(part, nn.Conv2d | nn.Linear)]
    return dict(zip(named, parts, strict=True))
