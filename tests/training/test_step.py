"""What a GPU does with a step before it is a graph leaves no trace; and a net must fit its data."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.training.small_runs import asked
from vgg_ablate.config.training import Augment, Train
from vgg_ablate.data import image_size
from vgg_ablate.data.augment import Augmenter, Normalizer
from vgg_ablate.errors import SpecError
from vgg_ablate.models.vgg import build_model
from vgg_ablate.training.cuda_graph import rehearse_step
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.step import TrainStep

IMAGES = torch.randint(0, 256, (32, 8, 8, 1), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def updater(**recipe: Any) -> TrainStep:
    run = asked(**recipe)
    net = build_model(run.arch, torch.Generator().manual_seed(0)).train()
    augmenter = Augmenter(Augment(), IMAGES, 8, Normalizer(torch.zeros(1), torch.ones(1)), 0)
    train = Train.model_validate({"batch_size": 16, **recipe})
    made = TrainStep(net, build_optimizer(train, net), augmenter, torch.arange(32) % 10, train, "fp32", 16)
    made.begin(1)
    return made


def states(made: TrainStep, *, rehearse_at: int | None) -> list[torch.Tensor]:
    torch.manual_seed(0)
    for step in range(3):
        if step == rehearse_at:
            rehearse_step(made.whole_step, made.state, [])
        made.update(torch.arange(16) + step, 0.01)
    return made.state()


@pytest.mark.parametrize("rehearse_at", [0, 2])
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_rehearsal_changes_nothing(kind: str, rehearse_at: int) -> None:
    rehearsals = states(updater(optimizer=kind), rehearse_at=rehearse_at)
    plain = states(updater(optimizer=kind), rehearse_at=None)
    assert len(rehearsals) == len(plain)
    for ours, theirs in zip(rehearsals, plain, strict=True):
        assert torch.equal(ours, theirs)


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
        image_size.check_image_size(asked(arch=arch, data=data))
