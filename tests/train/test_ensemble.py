"""Nets answer together by the mean of their class probabilities."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.train.asked import asked, ended
from vgg_ablate.errors import SpecError
from vgg_ablate.records import Run
from vgg_ablate.train.ensemble import ensemble
from vgg_ablate.train.loop import train
from vgg_ablate.train.settings import Settings


def trained(folder: Path, **more: Any) -> tuple[Run, Path]:
    run = asked(**more)
    weights = folder / f"{run.key}.safetensors"
    ended(train(run, Settings(weights=weights)))
    return run, weights


def test_one_net_is_an_ensemble_that_says_what_it_said_alone(tmp_path: Path) -> None:
    run, weights = trained(tmp_path)
    _, tested = ended(train(run, Settings()))
    together = ensemble([(run, weights)], Settings())
    assert (together.accuracy(), together.correct_bits()) == (tested.test_accuracy, tested.correct)


def test_two_nets_say_the_mean_of_their_probabilities(tmp_path: Path) -> None:
    members = [trained(tmp_path), trained(tmp_path, arch={"stages": "8 | 16"})]
    alone = [ensemble([member], Settings()).logits.softmax(1) for member in members]
    together = ensemble(members, Settings()).logits.softmax(1)
    assert torch.allclose(together, (alone[0] + alone[1]) / 2, atol=1e-6)


def test_nets_with_other_test_sets_are_no_ensemble(tmp_path: Path) -> None:
    members = [trained(tmp_path, seed=seed, epochs=1) for seed in (0, 1)]
    with pytest.raises(
        SpecError, match=r"test split is drawn from the seed: an ensemble's seeds must be one, got '0, 1'"
    ):
        ensemble(members, Settings())
