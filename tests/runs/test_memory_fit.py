"""A run that will not fit is reported before anything trains."""

from __future__ import annotations

from pathlib import Path

from tests.runs.harness import build_fake_plan, make_study, run_in_process
from vgg_ablate.records import RecordStore
from vgg_ablate.runs.resources import memory_fit
from vgg_ablate.runs.resources.slots import Slot, build_slots, read_memory_limit


def make_gpu_slots(memory: int, count: int = 1) -> tuple[Slot, ...]:
    """Return slots of one GPU with that many bytes of memory, and one of a far larger GPU."""
    return (*(Slot(f"cuda0-{index}", "cuda", "0", memory=memory) for index in range(count)), LARGE)


LARGE = Slot("cuda1-0", "cuda", "1", memory=1 << 60)


def test_a_run_fits_where_its_peak_is_no_more_than_the_smallest_device_has(tmp_path: Path) -> None:
    run = build_fake_plan(make_study(tmp_path)).cells[0].run
    peak = memory_fit.find_smallest_device(make_gpu_slots(1 << 40)).predict_peak(run)
    assert memory_fit.find_smallest_device(make_gpu_slots(peak)).find_hindrance(run, peak) is None
    reason = memory_fit.find_smallest_device(make_gpu_slots(peak - 1)).find_hindrance(run, peak)
    assert reason is not None
    assert reason.startswith("will not fit: predicted peak memory ")
    assert "GPU 0 has " in reason
    assert "train.micro_batch=1 would need" in reason


def test_runs_that_share_a_device_must_fit_together(tmp_path: Path) -> None:
    run = build_fake_plan(make_study(tmp_path)).cells[0].run
    peak = memory_fit.find_smallest_device(make_gpu_slots(1 << 40)).predict_peak(run)
    assert memory_fit.find_smallest_device(make_gpu_slots(3 * peak, 3)).find_hindrance(run, peak) is None
    reason = str(memory_fit.find_smallest_device(make_gpu_slots(3 * peak - 1, 3)).find_hindrance(run, peak))
    assert reason.startswith("3 at once will not fit: ")
    assert reason.endswith("room for 2")


def test_examples_that_would_fill_the_device_are_streamed_and_not_counted(tmp_path: Path) -> None:
    run = build_fake_plan(make_study(tmp_path)).cells[0].run
    whole, alone = (
        memory_fit.find_smallest_device(make_gpu_slots(1 << 40)).predict_peak(run),
        memory_fit.find_smallest_device(make_gpu_slots(1)).predict_peak(run),
    )
    examples = 1 + round(1797 * 0.2)  # `limit: 1`, and the test examples of digits
    assert whole - alone == examples * (run.arch.image_size or 0) ** 2


def test_the_memory_of_libraries_is_read_off_measured_peaks(tmp_path: Path) -> None:
    folder, plan = tmp_path / "results", build_fake_plan(make_study(tmp_path))
    run_in_process(plan, folder)
    device, run = memory_fit.find_smallest_device(make_gpu_slots(1 << 40)), plan.cells[0].run
    records = [
        record.model_copy(update={"environment": {"peak_bytes": device.predict_peak(record.run) + 1000}})
        for record in RecordStore(folder / "records")
    ]
    measured = memory_fit.find_smallest_device(make_gpu_slots(1 << 40), records)
    assert measured.predict_peak(run) == device.predict_peak(run) + 1000


def test_the_memory_of_this_machine_is_known() -> None:
    assert read_memory_limit() > 1 << 28
    assert {slot.memory for slot in build_slots("cpu", 2)} == {read_memory_limit()}
