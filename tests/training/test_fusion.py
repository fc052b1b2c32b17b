"""The quicker order computes what the net computes: scores, losses and gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from vgg_ablate.config.arch import Arch
from vgg_ablate.models.vgg import build_model
from vgg_ablate.training.fusion import FusedForward, fold_batch_norms

NETS: dict[str, dict[str, Any]] = {
    "batch": {"norm": "batch"},
    "plain": {},
    "lrn": {"norm": "lrn"},
    "group": {"norm": {"kind": "group", "groups": 4}},
    "gelu": {"norm": "batch", "activation": "gelu"},
    "leaky": {"activation": "leaky_relu"},
    "average": {"norm": "batch", "pool": "average"},
    "conv": {"norm": "batch", "pool": "conv"},
    "linear": {"norm": "batch", "between": "none"},
    "pooled": {"norm": "batch", "head": {"hidden": [12], "pool": "global"}},
    "biasless": {"norm": "batch", "bias": False},
}


def net(kind: str) -> nn.Module:
    arch = Arch.model_validate({"stages": "8 8 | 16", "head": {"hidden": [12]}, "classes": 5, **NETS[kind]})
    shaped = arch.model_copy(update={"image_size": 12, "in_channels": 3}).to_normal_form()
    return build_model(shaped, torch.Generator().manual_seed(0)).double()


def images(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def gradients(model: nn.Module, forward: Any) -> list[torch.Tensor]:
    model.zero_grad()
    functional.cross_entropy(forward(images()), torch.arange(6) % 5).backward()  # type: ignore[no-untyped-call]
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("kind", NETS)
def test_scores_and_gradients_are_the_nets(kind: str) -> None:
    model = net(kind).train()
    swift = FusedForward(model)
    assert torch.allclose(swift(images()), model(images()), atol=1e-12)
    for ours, theirs in zip(gradients(model, swift), gradients(model, model), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-10)


@pytest.mark.parametrize("kind", NETS)
def test_a_folded_net_scores_as_the_net_does(kind: str) -> None:
    model = net(kind).train()
    for _ in range(3):
        model(images())  # statistics that are not the identity's
    still = fold_batch_norms(model, torch.float64)
    assert torch.allclose(still(images()), model.eval()(images()), atol=1e-10)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in still.modules())


def test_a_bias_that_is_not_zero_is_kept() -> None:
    model = net("batch").eval()
    with torch.no_grad():
        next(iter(model.get_submodule("features").children())).get_parameter("bias").fill_(0.5)
    assert torch.allclose(FusedForward(model)(images()), model(images()), atol=1e-12)


def test_folding_leaves_the_net_as_it_was() -> None:
    model = net("batch").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fold_batch_norms(model, torch.bfloat16)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
