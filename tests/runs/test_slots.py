"""Slots follow the options, the visible GPUs and the memory of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.errors import DeviceNotFoundError, SpecError
from vgg_ablate.runs.resources.slots import build_slots, list_visible_gpus, read_memory_limit


@pytest.mark.parametrize(
    ("variable", "gpus"),
    [("0,1", ("0", "1")), (" 3 , 5", ("3", "5")), ("", ()), ("-1", ()), ("GPU-8f2a", ("GPU-8f2a",))],
)
def test_visible_gpus_are_those_of_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, gpus: tuple[str, ...]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    assert list_visible_gpus() == gpus


def test_gpus_are_listed_as_torch_counts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert len(list_visible_gpus()) == torch.cuda.device_count()


def test_workers_are_spread_over_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [slot.name for slot in build_slots("auto", runs_per_gpu=2)] == ["cuda4-0", "cuda7-0", "cuda4-1", "cuda7-1"]
    assert [slot.gpu for slot in build_slots("cuda:7,4", workers=3)] == ["7", "4", "7"]
    assert build_slots("cuda:4")[0].environment["CUDA_VISIBLE_DEVICES"] == "4"


@pytest.mark.parametrize("device", ["gpu", "cuda:4,4", "cuda:4,", "cpu:0"])
def test_a_device_of_another_form_is_refused(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with pytest.raises(SpecError, match=f"--device: must be auto, cpu, cuda, or cuda: and numbers.*, got '{device}'"):
        build_slots(device)


def test_a_missing_gpu_is_named_with_those_that_are_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    with pytest.raises(DeviceNotFoundError, match="--device cuda:5: GPU not found; visible GPUs: 4, 7"):
        build_slots("cuda:5")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(DeviceNotFoundError, match="--device cuda: GPU not found; visible GPUs: none"):
        build_slots("cuda")


def test_the_memory_limit_is_at_most_what_the_kernel_reports() -> None:
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    (total,) = (int(line.split()[1]) << 10 for line in lines if line.startswith("MemTotal:"))
    assert 1 << 28 < read_memory_limit() <= total
