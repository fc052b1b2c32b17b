"""A deeper net starts from the layers of a shallower one, by layer name."""

from __future__ import annotations

import torch

from tests.training.small_runs import finish_training, make_run
from vgg_ablate.config.arch import Arch
from vgg_ablate.models.vgg import build_model
from vgg_ablate.records import Run
from vgg_ablate.training.loop import train
from vgg_ablate.training.pretrain import copy_layers
from vgg_ablate.training.settings import TrainingSettings


def make_preset_arch(preset: str) -> Arch:
    options = {"preset": preset, "width": 0.0625, "head": {"hidden": [8, 8]}, "classes": 4, "image_size": 32}
    return Arch.model_validate({**options, "in_channels": 3}).to_normal_form()


def test_the_papers_layers_are_copied_from_a_to_d_by_name() -> None:
    source, net = (
        build_model(make_preset_arch(name), torch.Generator().manual_seed(seed)) for seed, name in enumerate("AD")
    )
    names = copy_layers(source, make_preset_arch("A"), net, make_preset_arch("D"), convs=4)
    assert names == ["conv1_1", "conv2_1", "conv3_1", "conv3_2", "fc6", "fc7", "fc8"]
    source_weights, weights = source.state_dict(), net.state_dict()
    assert torch.equal(weights["features.0.weight"], source_weights["features.0.weight"])  # conv1_1
    assert torch.equal(weights["features.5.weight"], source_weights["features.3.weight"])  # conv2_1
    assert not torch.equal(weights["features.2.weight"], torch.zeros_like(weights["features.2.weight"]))


def make_pretrained_run() -> Run:
    shallow = {"stages": "8 | 16", "norm": "batch", "head": {"hidden": [16], "dropout": 0.5}}
    return make_run(epochs=1, pretrain={"arch": shallow, "epochs": 2})


def test_a_pretrained_run_starts_from_what_was_learned() -> None:
    epochs, metrics = finish_training(train(make_pretrained_run(), TrainingSettings()))
    plain, _ = finish_training(train(make_run(epochs=1), TrainingSettings()))
    assert metrics.details["pretrained"] == ["conv1_1", "conv2_1", "fc6", "fc7"]
    assert epochs[0].train_loss != plain[0].train_loss
    assert len(epochs) == 1


def test_a_pretrained_run_repeats() -> None:
    first, second = (finish_training(train(make_pretrained_run(), TrainingSettings())) for _ in range(2))
    assert first == second
