"""Learning rates equal those of torch's own schedulers; the paper's schedule is checked by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from vgg_ablate.config.schedules import PlateauSchedule
from vgg_ablate.config.training import Train
from vgg_ablate.training.schedules import compute_learning_rate


def compute_rates(schedule: Any, epochs: int = 12, **more: Any) -> list[float]:
    train = Train.model_validate({"schedule": schedule, "epochs": epochs, "lr": 0.5, **more})
    return [compute_learning_rate(train, epoch, []) for epoch in range(epochs)]


def compute_torch_rates(make_scheduler: Any, epochs: int = 12) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    scheduler, rates = make_scheduler(optimizer), []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return rates


def test_cosine_is_torchs() -> None:
    expected = compute_torch_rates(lambda o: lr_scheduler.CosineAnnealingLR(o, 12, eta_min=0.05))
    assert compute_rates({"kind": "cosine", "min_factor": 0.1}) == pytest.approx(expected)


def test_step_is_torchs() -> None:
    assert compute_rates({"kind": "step", "step_epochs": 5}) == pytest.approx(
        compute_torch_rates(lambda o: lr_scheduler.StepLR(o, 5))
    )


def test_one_cycle_rises_and_falls_in_straight_lines() -> None:
    expected = compute_torch_rates(
        lambda o: lr_scheduler.OneCycleLR(
            o, 0.5, 13, pct_start=4 / 13, anneal_strategy="linear", div_factor=1e9, cycle_momentum=False
        )
    )
    assert compute_rates({"kind": "one_cycle", "rise_fraction": 0.25})[:3] == pytest.approx(expected[:3], abs=1e-6)
    assert compute_rates({"kind": "one_cycle", "rise_fraction": 0.25})[3:] == pytest.approx(
        [0.5 * k / 9 for k in range(9, 0, -1)]
    )


def test_warm_up_rises_to_the_schedule() -> None:
    warm = compute_rates("constant", warmup_epochs=4.0)
    assert warm[1:] == [0.125, 0.25, 0.375, *[0.5] * 8]
    assert 0 < warm[0] < 0.001


def test_the_papers_schedule_drops_three_times_and_no_more() -> None:
    schedule = PlateauSchedule(kind="plateau", patience=2)
    assert schedule.count_drops([0.1, 0.2, 0.2]) == 0
    assert schedule.count_drops([0.1, 0.2, 0.2, 0.2]) == 1
    assert schedule.count_drops([0.1, 0.2, 0.2, 0.3, 0.2, 0.2]) == 1
    assert schedule.count_drops([0.5] * 40) == 3


@given(st.lists(st.integers(0, 9), max_size=30), st.integers(1, 4))
def test_plateau_is_torchs_without_a_limit(tenths: list[int], patience: int) -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    torchs = lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="max", factor=0.1, patience=patience - 1, threshold=0.0, eps=0.0
    )
    for tenth in tenths:
        torchs.step(tenth / 10)
    drops = PlateauSchedule(kind="plateau", patience=patience, max_drops=99).count_drops(
        [tenth / 10 for tenth in tenths]
    )
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1**drops)
