"""Nets answer together by the mean of their class probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.small_runs import asked, ended, net
from vgg_ablate.data.splits import Split, Splits, load_splits
from vgg_ablate.errors import SpecError
from vgg_ablate.models import checkpoints
from vgg_ablate.models.costs import compute_costs
from vgg_ablate.records import Run
from vgg_ablate.runs.workers.protocol import WorkerContext
from vgg_ablate.runs.workers.training import facts
from vgg_ablate.training.ensemble import ensemble
from vgg_ablate.training.loop import train
from vgg_ablate.training.memory import estimate_peak_bytes
from vgg_ablate.training.settings import TrainingSettings


def trained(folder: Path, **more: Any) -> tuple[Run, Path]:
    run = asked(**more)
    weights = folder / f"{run.key}.safetensors"
    ended(train(run, TrainingSettings(weights=weights)))
    return run, weights


def test_one_net_is_an_ensemble_that_says_what_it_said_alone(tmp_path: Path) -> None:
    run, weights = trained(tmp_path)
    _, tested = ended(train(run, TrainingSettings()))
    together = ensemble([(run, weights)], TrainingSettings())
    assert (together.accuracy(), together.correct_bits()) == (tested.test_accuracy, tested.correct)


def test_two_nets_say_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    members = [trained(tmp_path), trained(tmp_path, arch={"stages": "8 | 16"})]
    alone = [ensemble([member], TrainingSettings()).logits.softmax(1) for member in members]
    together = ensemble(members, TrainingSettings()).logits.softmax(1)
    assert torch.allclose(together, (alone[0] + alone[1]) / 2, atol=1e-6)


def test_nets_with_other_test_sets_are_no_ensemble(tmp_path: Path) -> None:
    members = [trained(tmp_path, seed=seed, epochs=1) for seed in (0, 1)]
    with pytest.raises(
        SpecError, match=r"test split is drawn from the seed: an ensemble's seeds must be one, got '0, 1'"
    ):
        ensemble(members, TrainingSettings())


def test_an_ensemble_says_the_mean_of_what_its_nets_say_that_were_trained_alone(tmp_path: Path) -> None:
    run = asked(epochs=3, ensemble=[net("8 | 16"), net("8 8 | 16")], schedule={"kind": "plateau", "patience": 1})
    epochs, tested = ended(train(run, TrainingSettings()))
    alone = [ended(train(one, TrainingSettings(weights=tmp_path / f"{one.key}.safetensors"))) for one in run.nets]
    assert len({str(one) for one, _ in alone}) == 3, "nets of one arch are drawn apart"
    for number, epoch in enumerate(epochs):
        losses = [one[number].train_loss for one, _ in alone]
        assert epoch.train_loss == sum(losses) / 3
    seen = load_splits(run.data, run.fingerprint, run.seed, torch.device("cpu"))
    files = [tmp_path / f"{one.key}.safetensors" for one in run.nets]
    shown = [by_hand(files, split, seen) for split in (seen.validation, seen.test)]
    assert epochs[-1].val_accuracy == shown[0].double().mean().item()
    assert tested.correct == np.packbits(shown[1].numpy()).tobytes().hex()
    assert [one["test_accuracy"] for one in tested.details["nets"]] == [one.test_accuracy for _, one in alone]


def by_hand(weights: list[Path], split: Split, seen: Splits) -> torch.Tensor:
    """bool, N: is the label where the mean of the posteriors is highest? In double precision, layer by layer."""
    assert isinstance(split.images, torch.Tensor)
    images = ((split.images.double() - seen.mean.double()) / seen.std.double()).permute(0, 3, 1, 2)
    posteriors = torch.zeros(len(split), 10, dtype=torch.float64)
    for path in weights:
        with torch.no_grad():
            posteriors += checkpoints.load_safetensors(path)[1].eval().double()(images).softmax(1) / len(weights)
    return posteriors.argmax(1) == split.labels


def test_every_net_of_an_ensemble_is_written_as_the_run_that_trains_it_alone(tmp_path: Path) -> None:
    run = asked(epochs=1, ensemble=[net("8 | 16")])
    ended(train(run, TrainingSettings(weights=tmp_path / "model.safetensors")))
    for one, path in zip(run.nets, (tmp_path / "model.safetensors", tmp_path / "net-2/model.safetensors"), strict=True):
        ended(train(one, TrainingSettings(weights=tmp_path / "alone")))
        assert checkpoints.read_run_json(path) == checkpoints.read_run_json(tmp_path / "alone") == one.model_dump_json()
        ours, theirs = (checkpoints.load_safetensors(file)[1].state_dict() for file in (path, tmp_path / "alone"))
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_another_draw_is_another_training_on_the_same_split() -> None:
    first, second = asked(), asked(replicate=1)
    assert first.key != second.key
    losses = [ended(train(one, TrainingSettings()))[0][0].train_loss for one in (first, second)]
    assert losses[0] != losses[1]


def test_an_ensembles_costs_are_those_of_all_its_nets_by_tracing_too() -> None:
    run = asked(ensemble=[net("8 | 16"), net("16 | 32")])
    audited, _ = facts(run, WorkerContext(folder=Path()))
    each = [compute_costs(arch) for arch in run.archs]
    assert audited == {name: sum(getattr(one, name) for one in each) for name in ("params", "macs")}


def test_nets_stay_in_memory_together_and_take_turns_but_for_what_graphs_keep() -> None:
    run = asked(ensemble=[net("8 | 16"), net("16 | 32")])
    together, *alone = (estimate_peak_bytes(one, examples=0, precision="fp32") for one in (run, *run.nets))
    assert max(alone) + 2 * 3 * 4 * min(compute_costs(arch).params for arch in run.archs) < together < sum(alone)
    assert estimate_peak_bytes(run, examples=0, precision="fp32", graphs=True) == sum(alone)
