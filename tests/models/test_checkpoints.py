"""Weight files give back the numbers that were written; both forms of a head are one net."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from torchvision import models

from tests.models.nets import archs, compute_class_map, make_arch
from vgg_ablate.config import yaml_loader
from vgg_ablate.config.arch import Arch
from vgg_ablate.errors import SpecError, StorageError
from vgg_ablate.models import checkpoints
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.models.dense_head import convert_head, convert_state_dict
from vgg_ablate.models.vgg import Vgg, build_model

SMALL = {"stages": "4 4 | 8 | 8 | 16 | 16", "head": {"hidden": [12, 12], "dropout": 0.5}, "norm": "batch"}


def draw_images(net: Arch, count: int = 2, size: int | None = None) -> torch.Tensor:
    assert net.image_size is not None
    assert net.in_channels is not None
    side = size or net.image_size
    return torch.randn(count, net.in_channels, side, side, generator=torch.Generator().manual_seed(1))


def convert_to_other_head(net: Arch, model: Vgg) -> tuple[Arch, Vgg]:
    """Return the net with a convolutional head where it has a dense one, or the other way round, and its module."""
    twin = convert_head(net, back=net.head.convolutional)
    twin_model = build_model(twin).eval()
    twin_model.load_state_dict(convert_state_dict(model.state_dict(), twin))
    return twin, twin_model


@settings(max_examples=60, deadline=None)
@given(archs())
def test_a_dense_head_and_a_convolutional_one_are_one_net(net: Arch) -> None:
    model = build_model(net).eval()
    twin, twin_model = convert_to_other_head(net, model)
    with torch.inference_mode():
        assert torch.allclose(model(draw_images(net)), twin_model(draw_images(net)), rtol=1e-4, atol=1e-5)
    for cost in ("params", "macs", "activations", "weight_layers", "activation_layers", "receptive_field"):
        assert getattr(compute_costs(net), cost) == getattr(compute_costs(twin), cost)
    back = convert_state_dict(twin_model.state_dict(), net)
    assert all(torch.equal(back[name], weight) for name, weight in model.state_dict().items())


@pytest.mark.parametrize(("size", "side"), [(224, 1), (256, 2), (288, 3), (352, 5), (384, 6), (416, 7), (512, 10)])
def test_class_maps_have_the_sizes_of_claim_a15(size: int, side: int) -> None:
    net = convert_head(make_arch(SMALL))
    with torch.inference_mode():
        class_map = compute_class_map(build_model(net).eval(), draw_images(net, 1, size))
    assert class_map.shape == (1, 1000, side, side)


def test_a_class_map_holds_the_logits_of_every_position() -> None:
    net = make_arch({"stages": "4 | 8", "head": {"hidden": [6]}, "image_size": 16, "in_channels": 1, "classes": 3})
    net = convert_head(net)
    model = build_model(net).eval()
    image = draw_images(net, 1)
    with torch.inference_mode():
        assert torch.allclose(model(image), compute_class_map(model, image)[:, :, 0, 0])
        larger = draw_images(net, 1, 24)
        assert torch.allclose(model(larger), compute_class_map(model, larger).mean((2, 3)), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(archs())
def test_a_dumped_arch_is_read_back_as_the_same_arch(net: Arch) -> None:
    assert Arch.model_validate(net.dump_compact()) == net


def test_weights_come_back_from_a_file_with_their_arch(tmp_path: Path) -> None:
    net = make_arch({**SMALL, "image_size": 64, "in_channels": 1, "classes": 5})
    model = build_model(net).eval()
    (tmp_path / "w.safetensors").write_bytes(checkpoints.serialize_safetensors(net, model.state_dict()))
    (tmp_path / "arch.yaml").write_text(checkpoints.dump_arch_yaml(net))
    read, again = checkpoints.load_safetensors(tmp_path / "w.safetensors")
    assert read == net
    assert torch.equal(again(draw_images(net)), model(draw_images(net)))
    assert Arch.model_validate(yaml_loader.read_document(tmp_path / "arch.yaml").data["arch"]) == net


@pytest.mark.parametrize("content", [b"", b"no weights", b"\x00" * 100])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(StorageError, match=r"w\.safetensors"):
        checkpoints.load_safetensors(tmp_path / "w.safetensors")
    with pytest.raises(StorageError, match="none"):
        checkpoints.load_safetensors(tmp_path / "none")


def test_weights_that_do_not_fit_the_net_are_refused() -> None:
    state = build_model(make_arch(SMALL)).state_dict()
    with pytest.raises(SpecError, match="weights do not fit this net"):
        convert_state_dict(state, make_arch({**SMALL, "stages": "4 4 | 8 | 8 | 16 | 20"}))
    with pytest.raises(SpecError, match="weights do not fit this net"):
        convert_state_dict(state, make_arch({**SMALL, "norm": "none"}))


@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn", "vgg19"])
def test_a_net_with_torchvisions_layers_gets_its_name(name: str) -> None:
    assert checkpoints.find_torchvision_name(make_arch(name)) == name
    assert checkpoints.find_torchvision_name(convert_head(make_arch(name))) == name


def test_the_papers_d_at_224_px_is_vgg16_and_at_32_px_is_not() -> None:
    assert checkpoints.find_torchvision_name(make_arch("D")) == "vgg16"
    assert checkpoints.find_torchvision_name(make_arch({"preset": "D", "image_size": 32})) is None
    assert checkpoints.find_torchvision_name(make_arch("C")) is None
    assert checkpoints.find_torchvision_name(make_arch({"preset": "D", "in_channels": 1})) is None


def test_torchvision_takes_the_weights_of_a_convolutional_head() -> None:
    net = convert_head(make_arch({"preset": "vgg11", "classes": 7}))
    with torch.device("meta"):
        state = build_model(net).state_dict()
        theirs = models.vgg11(weights=None, num_classes=7).state_dict()
    converted = convert_state_dict(state, convert_head(net, back=True))
    assert {name: weight.shape for name, weight in converted.items()} == {
        name: weight.shape for name, weight in theirs.items()
    }
    softer = make_arch({"preset": "vgg11", "head": {"dropout": 0.1}})
    assert checkpoints.find_torchvision_name(softer) is None  # torchvision's dropout is 0.5


def test_an_exported_state_dict_is_read_without_running_code(tmp_path: Path) -> None:
    net = convert_head(make_arch({**SMALL, "image_size": 64}))
    model = build_model(net)
    (tmp_path / "w.pth").write_bytes(checkpoints.serialize_torchvision(net, model.state_dict()))
    read = torch.load(tmp_path / "w.pth", weights_only=True)
    assert torch.equal(read["classifier.0.weight"], model.state_dict()["classifier.0.weight"].flatten(1))


def test_onnx_computes_the_same_for_any_batch(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    net = make_arch({"stages": "4 4 | 8", "norm": "batch", "head": {"hidden": [6]}, "image_size": 8, "in_channels": 1})
    model = build_model(net).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        checkpoints.write_onnx(net, model, tmp_path / "net.onnx")
    session = reference.ReferenceEvaluator(str(tmp_path / "net.onnx"))
    for count in (1, 3):
        (logits,) = session.run(None, {"images": draw_images(net, count).numpy()})
        with torch.inference_mode():
            assert torch.allclose(torch.from_numpy(logits), model(draw_images(net, count)), rtol=1e-4, atol=1e-5)
