"""The faster order of layers computes the net's logits, losses and gradients."""

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


def build_net(kind: str) -> nn.Module:
    arch = Arch.model_validate({"stages": "8 8 | 16", "head": {"hidden": [12]}, "classes": 5, **NETS[kind]})
    shaped = arch.model_copy(update={"image_size": 12, "in_channels": 3}).to_normal_form()
    return build_model(shaped, torch.Generator().manual_seed(0)).double()


def draw_images(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 3, 12, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def compute_gradients(model: nn.Module, forward: Any) -> list[torch.Tensor]:
    model.zero_grad()
    functional.cross_entropy(forward(draw_images()), torch.arange(6) % 5).backward()  # type: ignore[no-untyped-call]
    return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in model.parameters()]


@pytest.mark.parametrize("kind", NETS)
def test_logits_and_gradients_are_the_nets(kind: str) -> None:
    model = build_net(kind).train()
    fused = FusedForward.from_net(model)
    assert torch.allclose(fused(draw_images()), model(draw_images()), atol=1e-12)
    for fused_gradient, gradient in zip(compute_gradients(model, fused), compute_gradients(model, model), strict=True):
        assert torch.allclose(fused_gradient, gradient, atol=1e-10)


@pytest.mark.parametrize("kind", NETS)
def test_a_folded_net_has_the_nets_logits(kind: str) -> None:
    model = build_net(kind).train()
    for _ in range(3):
        model(draw_images())  # running statistics other than the initial 0 and 1
    folded = fold_batch_norms(model, torch.float64)
    assert torch.allclose(folded(draw_images()), model.eval()(draw_images()), atol=1e-10)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())


def test_a_bias_that_is_not_zero_is_kept() -> None:
    model = build_net("batch").eval()
    with torch.no_grad():
        next(iter(model.get_submodule("features").children())).get_parameter("bias").fill_(0.5)
    assert torch.allclose(FusedForward.from_net(model)(draw_images()), model(draw_images()), atol=1e-12)


def test_folding_leaves_the_net_as_it_was() -> None:
    model = build_net("batch").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fold_batch_norms(model, torch.bfloat16)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
