"""Costs and modules against independent oracles: fvcore, torch's FlopCounterMode, autograd, torchvision."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings
from collections import Counter

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torchvision import models

from tests.models.nets import archs, make_arch
from tests.training.small_runs import make_run
from vgg_ablate.config.arch import Arch
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.dense_head import convert_head, convert_state_dict
from vgg_ablate.models.flop_audit import audit_costs, count_with_torch
from vgg_ablate.models.layers import Activation, Conv, Norm, Pool, build_layers, split_head
from vgg_ablate.models.memory import estimate_training_memory
from vgg_ablate.models.vgg import build_model

TORCHVISION = ["vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(archs())
def test_params_macs_and_activations_are_what_fvcore_counts(net: Arch) -> None:
    assert audit_costs(net) == {"params": compute_costs(net).params, "macs": compute_costs(net).macs}
    assert count_activations_with_fvcore(net) == compute_costs(net).activations


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(archs())
def test_torch_counts_what_the_closed_form_counts(net: Arch) -> None:
    assert count_with_torch(net) == (compute_costs(net).params, compute_costs(net).macs)


@pytest.mark.parametrize("hide", ["sys.modules['fvcore'] = None", "del torch.jit.script"])
def test_a_run_is_audited_where_fvcore_cannot_be_imported(hide: str) -> None:
    code = f"""
import sys, torch
import torchvision
from pathlib import Path
from tests.training.small_runs import make_run
from vgg_ablate.runs.workers.protocol import WorkerContext
from vgg_ablate.runs.workers.training import collect_facts
{hide}
audited, environment = collect_facts(make_run(), WorkerContext(folder=Path()))
print(audited["macs"], environment["flop_counter"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(compute_costs(make_run().arch).macs), "torch"]


def count_activations_with_fvcore(net: Arch) -> int:
    from fvcore.nn import ActivationCountAnalysis

    logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
    assert net.image_size is not None
    assert net.in_channels is not None
    images = torch.zeros(1, net.in_channels, net.image_size, net.image_size)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        analysis = ActivationCountAnalysis(build_model(net).eval(), images)
        counted: Counter[str] = analysis.by_operator()
    return int(sum(count for name, count in counted.items() if name in ("conv", "linear", "addmm", "matmul")))


@pytest.mark.parametrize("name", TORCHVISION)
def test_params_and_macs_are_those_of_torchvisions_metadata(name: str) -> None:
    meta = models.get_model_weights(name)["IMAGENET1K_V1"].meta
    costs = compute_costs(make_arch(name))
    assert costs.params == meta["num_params"]
    assert round(costs.macs / 1e9, 3) == pytest.approx(meta["_ops"], abs=6e-4)


@pytest.mark.parametrize("name", TORCHVISION)
def test_weights_come_from_torchvision_and_go_there_with_the_same_logits(name: str) -> None:
    net = make_arch(name)
    with torch.device("meta"):  # no weights are drawn: they are assigned below
        theirs, ours, reloaded = models.get_model(name), build_model(net), models.get_model(name)
    theirs.load_state_dict(draw_weights_like(theirs.state_dict(), seed=0), assign=True)
    ours.load_state_dict(theirs.state_dict(), assign=True)
    logits = compute_logits(ours)
    assert_equal_but_for_the_order_of_sums(logits, compute_logits(theirs))
    exported = convert_state_dict(ours.state_dict(), convert_head(net, back=True))  # as `export` writes them
    shapes = {key: weight.shape for key, weight in reloaded.state_dict().items()}
    assert {key: weight.shape for key, weight in exported.items()} == shapes
    reloaded.load_state_dict(exported, assign=True)
    assert_equal_but_for_the_order_of_sums(logits, compute_logits(reloaded))


def compute_logits(model: torch.nn.Module) -> torch.Tensor:
    """Return the logits of one image of 224 px, in eval mode."""
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(image)
    return logits


def assert_equal_but_for_the_order_of_sums(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert expected.std() > 1e-3
    assert torch.allclose(actual, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


def draw_weights_like(state: dict[str, torch.Tensor], seed: int) -> dict[str, torch.Tensor]:
    """Return random weights, as slices of one buffer to be quick, scaled so that logits keep their size."""
    draw = torch.randn(1 << 18, generator=torch.Generator().manual_seed(seed))
    most = max(weight.numel() for weight in state.values())
    buffer = draw.repeat(most // len(draw) + 1)
    drawn = {}
    for name, weight in state.items():
        values = buffer[: weight.numel()].reshape(weight.shape)
        if weight.dim() > 1:
            drawn[name] = values * (2 / weight[0].numel()) ** 0.5
        elif name.endswith("num_batches_tracked"):
            drawn[name] = torch.zeros((), dtype=weight.dtype)
        else:
            drawn[name] = values.abs() + 0.5 if name.endswith(("running_var", "weight")) else values * 0.1
    return drawn


@settings(max_examples=60, deadline=None)
@given(archs())
def test_the_maps_of_the_module_have_the_sizes_of_the_layers(net: Arch) -> None:
    assert net.image_size is not None
    assert net.in_channels is not None
    body, _ = split_head(build_layers(net))
    model = build_model(net).eval()
    maps = torch.zeros(2, net.in_channels, net.image_size, net.image_size)
    with torch.inference_mode():
        for layer, module in zip(body, model.features, strict=True):
            maps = module(maps)
            assert isinstance(layer, Conv | Norm | Activation | Pool)
            assert maps.shape == (2, layer.channels, layer.size, layer.size)
        assert model(torch.zeros(2, net.in_channels, net.image_size, net.image_size)).shape == (2, net.classes)


def measure_bytes_kept_by_autograd(net: Arch, batch: int) -> int:
    """Return the bytes of the storages that autograd keeps for the backward pass, without the weights."""
    assert net.image_size is not None
    assert net.in_channels is not None
    model = build_model(net).train()
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept: dict[int, tuple[int, torch.Tensor]] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    images = torch.randn(batch, net.in_channels, net.image_size, net.image_size)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(images).sum()
    return sum(size for size, _ in kept.values())


@pytest.mark.parametrize("norm", ["none", "batch", "lrn"])
@pytest.mark.parametrize("activation", ["relu", "gelu", "tanh"])
@pytest.mark.parametrize("pool", ["max", "conv"])
def test_the_estimated_memory_is_what_autograd_keeps(norm: str, activation: str, pool: str) -> None:
    given = {"stages": "16 16 | 32 32 | 64", "norm": norm, "activation": activation, "pool": pool}
    net = make_arch(
        {**given, "head": {"hidden": [64], "dropout": 0.5}, "image_size": 32, "in_channels": 3, "classes": 10}
    )
    assert estimate_training_memory(net, 8).activations == pytest.approx(
        measure_bytes_kept_by_autograd(net, 8), rel=0.05
    )
