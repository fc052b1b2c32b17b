"""The optimiser of a recipe."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim import Optimizer

from vgg_ablate.config.training import Sgd, Train


def build_optimizer(train: Train, net: nn.Module) -> Optimizer:
    """Build the recipe's optimiser for a net's parameters, in torch's fused implementation.

    Norms and biases (parameters of one dimension) are decayed only with `train.decay_norms`.
    """
    # Weights of convolutions and dense layers have two or more dimensions, scales of norms and biases have one.
    decayed = [p for p in net.parameters() if p.ndim > 1 or train.decay_norms]
    undecayed = [p for p in net.parameters() if p.ndim <= 1 and not train.decay_norms]
    groups = [{"params": decayed, "weight_decay": train.weight_decay}]
    if undecayed:
        groups.append({"params": undecayed, "weight_decay": 0.0})
    config = train.optimizer
    if isinstance(config, Sgd):
        return torch.optim.SGD(groups, lr=train.lr, momentum=config.momentum, nesterov=config.nesterov, fused=True)
    capturable = next(net.parameters()).device.type == "cuda"  # AdamW's step count must live on the device in a graph
    return torch.optim.AdamW(groups, lr=train.lr, betas=config.betas, eps=config.eps, fused=True, capturable=capturable)
