"""Runs share a GPU by their measured memory: never more than the GPU has, and no fewer runs than fit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runs.fake_gpu import compute_used_bytes
from tests.runs.harness import OPTIONS, build_fake_plan, make_study
from vgg_ablate.errors import SpecError
from vgg_ablate.records import RecordStore, Run
from vgg_ablate.runs.driver import run_plan
from vgg_ablate.runs.resources.memory_fit import predict_peak_bytes
from vgg_ablate.runs.resources.packing import (
    CUDA_CONTEXT_BYTES,
    GpuPacking,
    compute_usable_bytes,
    count_fitting_runs,
    get_slot_device,
    predict_slots,
)
from vgg_ablate.runs.resources.slots import Slot, build_slots, parse_runs_per_gpu
from vgg_ablate.runs.workers.local import LocalPool
from vgg_ablate.runs.workers.protocol import WorkerContext

BATCH_SIZES = (16, 32, 64, 128)


def make_fake_slots(gpus: int, slots_per_gpu: int, memory: int | None) -> tuple[Slot, ...]:
    """Return slots of fake GPUs, whose workers train on the CPU."""
    return tuple(
        Slot(f"fake{gpu}-{place}", "cpu", str(gpu), memory=memory)
        for gpu in range(gpus)
        for place in range(slots_per_gpu)
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    """Return runs of four batch sizes in turn."""
    folder = tmp_path_factory.mktemp("runs")
    more = "".join(f"  b{size}: {{train.batch_size: {size}, train.lr: 0.3}}\n" for size in BATCH_SIZES)
    cells = build_fake_plan(make_study(folder, variants=0, seeds=6, more=more)).cells
    return [cell.run for cell in cells if cell.variant != "base"]


def test_workers_share_fake_gpus_without_running_out_of_memory(tmp_path: Path) -> None:
    at_once = 3
    plan, folder = build_fake_plan(make_study(tmp_path, seeds=4, milliseconds=50)), tmp_path / "results"
    memory = round((at_once + 0.5) * compute_used_bytes(plan.cells[0].run) / 0.9)
    slots = make_fake_slots(2, 5, memory)
    folder.mkdir()
    (folder / "memory").write_text(str(compute_usable_bytes(memory)))
    pool = LocalPool(slots, "tests.runs.fake_gpu", WorkerContext(folder=folder), GpuPacking(slots))
    finished = run_plan(plan, folder, OPTIONS, pool)
    assert finished.outcomes == {"finished": 12}
    assert {record.environment["peak_bytes"] for record in RecordStore(folder / "records")} == {
        compute_used_bytes(plan.cells[0].run)
    }
    assert pool.slot_count == 2 * at_once
    assert len(list((folder / "logs").iterdir())) == 2 * at_once  # one per worker that was started
    assert int((folder / "most").read_text()) <= at_once


def test_without_packing_the_same_gpus_run_out_of_memory(tmp_path: Path) -> None:
    plan, folder = build_fake_plan(make_study(tmp_path, seeds=4, milliseconds=50)), tmp_path / "results"
    folder.mkdir()
    (folder / "memory").write_text(str(round(1.5 * compute_used_bytes(plan.cells[0].run))))
    finished = run_plan(
        plan,
        folder,
        OPTIONS,
        LocalPool(make_fake_slots(1, 3, None), "tests.runs.fake_gpu", WorkerContext(folder=folder)),
    )
    assert finished.outcomes["out_of_memory"] > 0


@settings(max_examples=50)
@given(
    memory=st.integers(2, 400),
    errors=st.tuples(*[st.floats(0.96, 1.04)] * len(BATCH_SIZES)),
    gpus=st.integers(1, 3),
    choices=st.lists(st.integers(0, 99), min_size=80, max_size=80),
)
def test_no_device_is_filled_beyond_its_memory_nor_left_empty(
    runs: list[Run], memory: int, errors: tuple[float, ...], gpus: int, choices: list[int]
) -> None:
    """Peaks are far from the prediction, and only roughly in proportion to it."""
    peaks = {
        run.key: round(7 * predict_peak_bytes(run) * errors[BATCH_SIZES.index(run.train.batch_size)]) for run in runs
    }
    total = memory * max(peaks.values()) // 10
    packing, free = GpuPacking(make_fake_slots(gpus, 8, total)), list(make_fake_slots(gpus, 8, total))
    waiting, running, measured = list(runs), dict[str, tuple[Slot, Run]](), set[int]()
    for choice in [*choices, *[0] * 80]:
        while waiting and (devices := packing.find_devices(waiting[0], free, {})):
            run = waiting.pop(0)
            slot = next(slot for slot in free if get_slot_device(slot) == devices[0])
            free.remove(slot)
            peaks_there = [peaks[key] for key, (other, _) in running.items() if get_slot_device(other) == devices[0]]
            assert not peaks_there or (measured and sum(peaks_there) + peaks[run.key] <= total)
            running[run.key] = (slot, run)
            packing.begin(run, devices[0])
        if waiting and len(measured) == len(BATCH_SIZES):  # all sizes were measured: the waiting run must fit nowhere
            for device in {get_slot_device(slot) for slot in free}:
                peaks_there = [peaks[key] for key, (slot, _) in running.items() if get_slot_device(slot) == device]
                assert peaks_there
                assert sum(peaks_there) + peaks[waiting[0].key] > compute_usable_bytes(total)
        if not running:
            break
        key = list(running)[choice % len(running)]
        slot, run = running.pop(key)
        free.append(slot)
        measured.add(run.train.batch_size)
        packing.end(key, peaks[key])
    assert not waiting
    assert not running


def test_nothing_shares_a_gpu_whose_memory_is_unknown(runs: list[Run]) -> None:
    slots = make_fake_slots(1, 4, None)
    packing = GpuPacking(slots)
    packing.begin(runs[0], "0")
    packing.end(runs[0].key, 1000)
    packing.begin(runs[1], "0")
    assert packing.find_devices(runs[2], slots[1:], Counter({"0": 1})) == []


def test_every_process_on_a_gpu_holds_a_context_those_that_wait_too(runs: list[Run]) -> None:
    run, others = runs[0], runs[4::4]
    memory = round((2 * 1000 + 3 * CUDA_CONTEXT_BYTES) / 0.9) + 10
    slots = tuple(Slot(f"cuda0-{place}", "cuda", "0", memory=memory) for place in range(4))
    packing = GpuPacking(slots)
    packing.begin(run, "0")
    packing.end(run.key, 1000)
    packing.begin(others[0], "0")
    assert packing.find_devices(others[1], slots[1:], {"0": 3}) == ["0"]
    assert packing.find_devices(others[1], slots[1:], {"0": 4}) == []


def test_a_plan_predicts_how_many_runs_will_share_a_gpu(runs: list[Run]) -> None:
    largest = max(map(predict_peak_bytes, runs))
    slots = make_fake_slots(2, 8, round(3.5 * largest / 0.9))
    assert len(predict_slots(slots, runs, [])) == 2 * 3
    assert count_fitting_runs(make_fake_slots(1, 8, 1), largest) == 1
    assert len(predict_slots(build_slots("cpu", 5), runs, [])) == 5


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5", ""])
def test_runs_per_gpu_is_auto_or_a_number(wrong: str) -> None:
    assert (parse_runs_per_gpu("auto"), parse_runs_per_gpu("3")) == ("auto", 3)
    with pytest.raises(SpecError, match=f"--runs-per-gpu: must be auto or a number of at least 1, got '{wrong}'"):
        parse_runs_per_gpu(wrong)
