"""On a GPU, the recorded graph trains as the steps themselves do."""

from __future__ import annotations

import pytest
import torch

from tests.training.small_runs import finish_training, make_run
from vgg_ablate.training.loop import train
from vgg_ablate.training.settings import TrainingSettings

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("kind", ["sgd", "adamw"])
def test_a_gpu_trains_to_about_what_a_cpu_does(kind: str) -> None:
    run = make_run(
        optimizer=kind, lr=0.01, arch={"norm": "none", "head": {"hidden": []}}, data={"augment": {"flip": True}}
    )
    gpu_epochs, _ = finish_training(train(run, TrainingSettings(device="cuda")))
    cpu_epochs, _ = finish_training(train(run, TrainingSettings()))
    cpu_losses = [epoch.train_loss for epoch in cpu_epochs]
    assert [epoch.train_loss for epoch in gpu_epochs] == pytest.approx(cpu_losses, rel=0.02)


def test_streamed_images_train_alike_on_a_gpu() -> None:
    run = make_run(data={"augment": {"crop_padding": 1, "flip": True}}, lr=0.01)
    streamed, _ = finish_training(train(run, TrainingSettings(device="cuda", resident=False)))
    resident, _ = finish_training(train(run, TrainingSettings(device="cuda", resident=True)))
    losses = [epoch.train_loss for epoch in resident]
    assert [epoch.train_loss for epoch in streamed] == pytest.approx(losses, rel=0.02)
