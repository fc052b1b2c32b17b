"""Local response normalization works in every precision that a machine can choose."""

from __future__ import annotations

import pytest
import torch

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.datasets import Shape
from vgg_ablate.models.vgg import build_model


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_lrn_keeps_the_precision_of_its_input(dtype: torch.dtype) -> None:
    arch = Arch.model_validate({"stages": "8 | 8", "norm": "lrn"}).with_shape(Shape(8, 3, 4)).to_normal_form()
    model = build_model(arch, torch.Generator().manual_seed(0)).to(dtype)
    logits = model(torch.randn(2, 3, 8, 8, dtype=dtype))
    logits.float().sum().backward()
    assert logits.dtype == dtype
    assert torch.isfinite(logits).all()
