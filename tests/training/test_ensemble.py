"""The nets of an ensemble are trained as if alone, and predict by the mean of their class probabilities."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from tests.training.small_runs import finish_training, make_arch, make_run
from vgg_ablate.data.splits import Split, Splits, load_splits
from vgg_ablate.models import checkpoints
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.runs.workers.protocol import WorkerContext
from vgg_ablate.runs.workers.training import collect_facts
from vgg_ablate.training.loop import train
from vgg_ablate.training.memory import estimate_peak_bytes
from vgg_ablate.training.settings import TrainingSettings


def test_an_ensemble_predicts_the_mean_of_its_nets_probabilities_each_trained_alone(tmp_path: Path) -> None:
    nets = [make_arch("8 | 16"), make_arch("8 8 | 16")]
    run = make_run(epochs=3, ensemble=nets, schedule={"kind": "plateau", "patience": 1})
    epochs, metrics = finish_training(train(run, TrainingSettings()))
    paths = [tmp_path / f"{net.key}.safetensors" for net in run.nets]
    alone = [
        finish_training(train(net, TrainingSettings(weights=path))) for net, path in zip(run.nets, paths, strict=True)
    ]
    assert len({str(net_epochs) for net_epochs, _ in alone}) == 3, "nets of one arch have random streams of their own"
    for number, epoch in enumerate(epochs):
        losses = [net_epochs[number].train_loss for net_epochs, _ in alone]
        assert epoch.train_loss == sum(losses) / 3
    splits = load_splits(run.data, run.fingerprint, run.seed, torch.device("cpu"))
    validation, test = (predict_by_hand(paths, split, splits) for split in (splits.validation, splits.test))
    assert epochs[-1].val_accuracy == validation.double().mean().item()
    assert metrics.correct == np.packbits(test.numpy()).tobytes().hex()
    assert [net["test_accuracy"] for net in metrics.details["nets"]] == [net.test_accuracy for _, net in alone]


def predict_by_hand(weights: list[Path], split: Split, splits: Splits) -> torch.Tensor:
    """Return whether each label (bool, N) has the highest mean probability, in double precision, layer by layer."""
    assert isinstance(split.images, torch.Tensor)
    images = ((split.images.double() - splits.mean.double()) / splits.std.double()).permute(0, 3, 1, 2)
    posteriors = torch.zeros(len(split), 10, dtype=torch.float64)
    for path in weights:
        with torch.no_grad():
            posteriors += checkpoints.load_safetensors(path)[1].eval().double()(images).softmax(1) / len(weights)
    return posteriors.argmax(1) == split.labels


def test_every_net_of_an_ensemble_is_written_as_the_run_that_trains_it_alone(tmp_path: Path) -> None:
    run = make_run(epochs=1, ensemble=[make_arch("8 | 16")])
    finish_training(train(run, TrainingSettings(weights=tmp_path / "model.safetensors")))
    alone_path, paths = tmp_path / "alone", (tmp_path / "model.safetensors", tmp_path / "net-2/model.safetensors")
    for net, path in zip(run.nets, paths, strict=True):
        finish_training(train(net, TrainingSettings(weights=alone_path)))
        assert checkpoints.read_run_json(path) == checkpoints.read_run_json(alone_path) == net.model_dump_json()
        weights, alone = (checkpoints.load_safetensors(file)[1].state_dict() for file in (path, alone_path))
        assert all(torch.equal(weights[name], value) for name, value in alone.items())


def test_a_replicate_is_another_training() -> None:
    first, second = make_run(), make_run(replicate=1)
    assert first.key != second.key
    losses = [finish_training(train(run, TrainingSettings()))[0][0].train_loss for run in (first, second)]
    assert losses[0] != losses[1]


def test_the_audited_costs_of_an_ensemble_are_the_sums_over_its_nets() -> None:
    run = make_run(ensemble=[make_arch("8 | 16"), make_arch("16 | 32")])
    audited, _ = collect_facts(run, WorkerContext(folder=Path()))
    costs = [compute_costs(arch) for arch in run.archs]
    assert audited == {name: sum(getattr(net, name) for net in costs) for name in ("params", "macs")}


def test_an_ensembles_nets_stay_in_memory_and_share_that_of_a_batch_unless_steps_are_graphs() -> None:
    run = make_run(ensemble=[make_arch("8 | 16"), make_arch("16 | 32")])
    ensemble, *alone = (estimate_peak_bytes(net, examples=0, precision="fp32") for net in (run, *run.nets))
    assert max(alone) + 2 * 3 * 4 * min(compute_costs(arch).params for arch in run.archs) < ensemble < sum(alone)
    assert estimate_peak_bytes(run, examples=0, precision="fp32", graphs=True) == sum(alone)
