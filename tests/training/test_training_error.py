"""The training error of a record, and the times of its epochs."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.small_runs import finish_training, make_run
from vgg_ablate.data.splits import load_splits
from vgg_ablate.models import checkpoints
from vgg_ablate.training import trainer
from vgg_ablate.training.loop import train
from vgg_ablate.training.settings import TrainingSettings

AUGMENTED = {"augment": {"crop_padding": 2, "flip": True, "cutout": 4}}


@pytest.mark.parametrize("max_examples", [100, 5_000])
@pytest.mark.parametrize("resident", [True, False])
def test_the_training_error_is_that_of_the_first_training_examples_without_augmentation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, max_examples: int, resident: bool
) -> None:
    monkeypatch.setattr(trainer, "MAX_TRAIN_ERROR_EXAMPLES", max_examples)
    run = make_run(data=AUGMENTED, arch={"norm": "batch"}, lr=0.02)
    _, metrics = finish_training(train(run, TrainingSettings(weights=tmp_path / "net.safetensors", resident=resident)))
    _, net = checkpoints.load_safetensors(tmp_path / "net.safetensors")
    splits = load_splits(run.data, run.fingerprint, run.seed, torch.device("cpu"), resident=True)
    assert isinstance(splits.train.images, torch.Tensor)
    images = ((splits.train.images.float() - splits.mean) / splits.std).permute(0, 3, 1, 2)[:max_examples]
    with torch.inference_mode():
        predicted = net.eval()(images).argmax(1)
    wrong = int((predicted != splits.train.labels[:max_examples]).sum())
    assert metrics.train_examples == min(max_examples, len(splits.train)) == len(images)
    assert metrics.train_error == pytest.approx(wrong / len(images), abs=1e-12)
    assert 0 < wrong < len(images)


def test_variants_of_a_seed_are_measured_on_the_same_training_examples() -> None:
    first, second = (
        load_splits(run.data, run.fingerprint, run.seed, torch.device("cpu")).train.select_first(50)
        for run in (make_run(), make_run(arch={"stages": "4 | 8"}, batch_size=16, data=AUGMENTED))
    )
    assert torch.equal(first.labels, second.labels)
    assert isinstance(first.images, torch.Tensor)
    assert isinstance(second.images, torch.Tensor)
    assert torch.equal(first.images, second.images)


def test_every_epoch_has_its_cpu_time_and_the_size_of_the_validation_split() -> None:
    run = make_run(data={"limit": None}, epochs=2)
    epochs = list(train(run, TrainingSettings()))
    splits = load_splits(run.data, run.fingerprint, run.seed, torch.device("cpu"))
    assert [epoch.val_examples for epoch in epochs] == [len(splits.validation)] * 2
    assert all(0 < epoch.cpu_seconds < 1.5 * epoch.seconds for epoch in epochs)
