"""Sliding a trained net over larger images is its convolutional head (net/dense.py), class map averaged."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.net.nets import family
from vgg_ablate.net.dense import class_map, converted, convolutional
from vgg_ablate.net.model import build
from vgg_ablate.spec.arch import Arch
from vgg_ablate.train.dense import sliding
from vgg_ablate.train.swift import folded


@settings(max_examples=30, deadline=None)
@given(family(), st.sampled_from([0, 4, 8]), st.integers(0, 2**20))
def test_both_ways_to_slide_a_net_agree(arch: Arch, larger: int, seed: int) -> None:
    arch = arch.model_copy(update={"head": arch.head.model_copy(update={"pool": "none", "convolutional": False})})
    assert arch.image_size is not None
    assert arch.in_channels is not None
    draw = torch.Generator().manual_seed(seed)
    net = build(arch, draw).double().eval()
    side = arch.image_size + larger
    images = torch.randn(2, arch.in_channels, side, side, generator=draw, dtype=torch.float64)
    slid = build(convolutional(arch)).double().eval()
    slid.load_state_dict(converted(net.state_dict(), convolutional(arch)))
    with torch.inference_mode():
        over = sliding(folded(net, torch.float64))(images)
        assert torch.allclose(over, class_map(slid, images).mean((2, 3)), rtol=1e-9, atol=1e-9)
        assert torch.allclose(over, slid(images), rtol=1e-9, atol=1e-9)
        assert torch.allclose(over, sliding(folded(slid, torch.float64))(images), rtol=1e-9, atol=1e-9)
