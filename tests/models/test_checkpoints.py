"""Weights that leave and come back are the same numbers; a dense head and a convolutional one are one net."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from torchvision import models

from tests.models.nets import arch, family
from vgg_ablate.config import yaml_loader
from vgg_ablate.config.arch import Arch
from vgg_ablate.errors import SpecError, StorageFailed
from vgg_ablate.models import checkpoints
from vgg_ablate.models.costs import costs
from vgg_ablate.models.dense_head import class_map, converted, convolutional
from vgg_ablate.models.vgg import Vgg, build

SMALL = {"stages": "4 4 | 8 | 8 | 16 | 16", "head": {"hidden": [12, 12], "dropout": 0.5}, "norm": "batch"}


def images(net: Arch, count: int = 2, size: int | None = None) -> torch.Tensor:
    assert net.image_size is not None
    assert net.in_channels is not None
    side = size or net.image_size
    return torch.randn(count, net.in_channels, side, side, generator=torch.Generator().manual_seed(1))


def other_head(net: Arch, model: Vgg) -> tuple[Arch, Vgg]:
    twin = convolutional(net, back=net.head.convolutional)
    built = build(twin).eval()
    built.load_state_dict(converted(model.state_dict(), twin))
    return twin, built


@settings(max_examples=60, deadline=None)
@given(family())
def test_a_dense_head_and_a_convolutional_one_are_one_net(net: Arch) -> None:
    model = build(net).eval()
    twin, built = other_head(net, model)
    with torch.inference_mode():
        assert torch.allclose(model(images(net)), built(images(net)), rtol=1e-4, atol=1e-5)
    for cost in ("params", "macs", "activations", "weight_layers", "activation_layers", "receptive_field"):
        assert getattr(costs(net), cost) == getattr(costs(twin), cost)
    back = converted(built.state_dict(), net)
    assert all(torch.equal(back[name], weight) for name, weight in model.state_dict().items())


@pytest.mark.parametrize(("size", "side"), [(224, 1), (256, 2), (288, 3), (352, 5), (384, 6), (416, 7), (512, 10)])
def test_class_maps_have_the_sizes_of_claim_a15(size: int, side: int) -> None:
    net = convolutional(arch(SMALL))
    with torch.inference_mode():
        found = class_map(build(net).eval(), images(net, 1, size))
    assert found.shape == (1, 1000, side, side)


def test_a_class_map_holds_the_nets_own_answer_at_every_place() -> None:
    net = arch({"stages": "4 | 8", "head": {"hidden": [6]}, "image_size": 16, "in_channels": 1, "classes": 3})
    net = convolutional(net)
    model = build(net).eval()
    one = images(net, 1)
    with torch.inference_mode():
        assert torch.allclose(model(one), class_map(model, one)[:, :, 0, 0])
        larger = images(net, 1, 24)
        assert torch.allclose(model(larger), class_map(model, larger).mean((2, 3)), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(family())
def test_an_arch_is_written_as_a_person_would_and_read_back(net: Arch) -> None:
    assert Arch.model_validate(checkpoints.written(net)) == net


def test_weights_come_back_from_a_file_with_their_arch(tmp_path: Path) -> None:
    net = arch({**SMALL, "image_size": 64, "in_channels": 1, "classes": 5})
    model = build(net).eval()
    (tmp_path / "w.safetensors").write_bytes(checkpoints.as_safetensors(net, model.state_dict()))
    (tmp_path / "arch.yaml").write_text(checkpoints.as_yaml(net))
    found, again = checkpoints.loaded(tmp_path / "w.safetensors")
    assert found == net
    assert torch.equal(again(images(net)), model(images(net)))
    assert Arch.model_validate(yaml_loader.read(tmp_path / "arch.yaml").data["arch"]) == net


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x00" * 100])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(StorageFailed, match=r"w\.safetensors"):
        checkpoints.loaded(tmp_path / "w.safetensors")
    with pytest.raises(StorageFailed, match="none"):
        checkpoints.loaded(tmp_path / "none")


def test_weights_of_another_net_are_refused() -> None:
    state = build(arch(SMALL)).state_dict()
    with pytest.raises(SpecError, match="of another net"):
        converted(state, arch({**SMALL, "stages": "4 4 | 8 | 8 | 16 | 20"}))
    with pytest.raises(SpecError, match="of another net"):
        converted(state, arch({**SMALL, "norm": "none"}))


@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn", "vgg19"])
def test_a_net_with_torchvisions_layers_is_known(name: str) -> None:
    assert checkpoints.torchvision_name(arch(name)) == name
    assert checkpoints.torchvision_name(convolutional(arch(name))) == name


def test_the_papers_d_at_224_px_is_vgg16_and_at_32_px_is_not() -> None:
    assert checkpoints.torchvision_name(arch("D")) == "vgg16"
    assert checkpoints.torchvision_name(arch({"preset": "D", "image_size": 32})) is None
    assert checkpoints.torchvision_name(arch("C")) is None
    assert checkpoints.torchvision_name(arch({"preset": "D", "in_channels": 1})) is None


def test_torchvision_takes_the_weights_of_a_convolutional_head() -> None:
    net = convolutional(arch({"preset": "vgg11", "classes": 7}))
    with torch.device("meta"):
        state = build(net).state_dict()
        theirs = models.vgg11(weights=None, num_classes=7).state_dict()
    found = converted(state, convolutional(net, back=True))
    assert {name: weight.shape for name, weight in found.items()} == {
        name: weight.shape for name, weight in theirs.items()
    }
    softer = arch({"preset": "vgg11", "head": {"dropout": 0.1}})
    assert checkpoints.torchvision_name(softer) is None  # torchvision's dropout is 0.5


def test_an_exported_state_dict_is_read_without_running_code(tmp_path: Path) -> None:
    net = convolutional(arch({**SMALL, "image_size": 64}))
    model = build(net)
    (tmp_path / "w.pth").write_bytes(checkpoints.as_torchvision(net, model.state_dict()))
    read = torch.load(tmp_path / "w.pth", weights_only=True)
    assert torch.equal(read["classifier.0.weight"], model.state_dict()["classifier.0.weight"].flatten(1))


def test_onnx_computes_the_same_for_any_batch(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    net = arch({"stages": "4 4 | 8", "norm": "batch", "head": {"hidden": [6]}, "image_size": 8, "in_channels": 1})
    model = build(net).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoints.write_onnx(net, model, tmp_path / "net.onnx")
    session = reference.ReferenceEvaluator(str(tmp_path / "net.onnx"))
    for count in (1, 3):
        (logits,) = session.run(None, {"images": images(net, count).numpy()})
        with torch.inference_mode():
            assert torch.allclose(torch.from_numpy(logits), model(images(net, count)), rtol=1e-4, atol=1e-5)
