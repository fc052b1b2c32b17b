"""Rehearsing a step before it is recorded as a graph changes nothing; and a net must fit its data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.small_runs import make_run
from vgg_ablate.config.training import Augment, Train
from vgg_ablate.data.augment import Augmenter, Normalizer
from vgg_ablate.data.splits import check_image_size
from vgg_ablate.errors import SpecError
from vgg_ablate.models.vgg import build_model
from vgg_ablate.training.cuda_graph import rehearse_step
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.step import TrainStep

IMAGES = torch.randint(0, 256, (32, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def build_step(**recipe: Any) -> TrainStep:
    run = make_run(**recipe)
    net = build_model(run.arch, torch.Generator().manual_seed(0)).train()
    augmenter = Augmenter.prepare(Augment(), IMAGES, 8, Normalizer(torch.zeros(1), torch.ones(1)), 0)
    train = Train.model_validate({"batch_size": 16, **recipe})
    step = TrainStep.prepare(net, build_optimizer(train, net), augmenter, torch.arange(32) % 10, train, "fp32", 16)
    step.begin_epoch(1)
    return step


def run_three_steps(step: TrainStep, *, rehearse_at: int | None) -> list[torch.Tensor]:
    torch.manual_seed(0)
    for index in range(3):
        if index == rehearse_at:
            rehearse_step(step.run_eagerly, step.list_state, [])
        step.update(torch.arange(16) + index, 0.01)
    return step.list_state()


@pytest.mark.parametrize("rehearse_at", [0, 2])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_rehearsal_changes_nothing(kind: str, rehearse_at: int) -> None:
    rehearsed = run_three_steps(build_step(optimizer=kind), rehearse_at=rehearse_at)
    plain = run_three_steps(build_step(optimizer=kind), rehearse_at=None)
    for rehearsed_tensor, tensor in zip(rehearsed, plain, strict=True):
        assert torch.equal(rehearsed_tensor, tensor)


@pytest.mark.parametrize(
    ("arch", "data", "path"),
    [
        ({"in_channels": 3}, {}, "arch.in_channels: digits has 1 channels, got 3"),
        ({"classes": 9}, {}, "arch.classes: digits has 10 classes, got 9"),
        ({"image_size": 16}, {"evaluate": {"scales": 12}}, "data.evaluate.scales: must not be less than the net's"),
    ],
)
def test_a_net_that_does_not_fit_its_data_is_refused(arch: dict[str, Any], data: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecError, match=f"^{path}"):
        check_image_size(make_run(arch=arch, data=data))
