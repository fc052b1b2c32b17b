"""The recipe's optimiser, over a net's parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from vgg_ablate.config.training import Sgd, Train


def build_optimizer(train: Train, net: nn.Module) -> Optimizer:
    """Fused; weight decay on norms and biases only where the recipe says so."""
    decayed = [p for p in net.parameters() if p.ndim > 1 or train.decay_norms]
    spared = [p for p in net.parameters() if p.ndim <= 1 and not train.decay_norms]
    groups = [{"params": decayed, "weight_decay": train.weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    how = train.optimizer
    if isinstance(how, Sgd):
        return torch.optim.SGD(groups, lr=train.lr, momentum=how.momentum, nesterov=how.nesterov, fused=True)
    captured = next(net.parameters()).device.type == "cuda"  # a graph counts steps on the device
    return torch.optim.AdamW(groups, lr=train.lr, betas=how.betas, eps=how.eps, fused=True, capturable=captured)
