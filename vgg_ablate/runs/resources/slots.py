"""Slots: the places on this machine where runs train at the same time. One slot is one worker process."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vgg_ablate.errors import DeviceNotFoundError, Problem, SpecError


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one worker, whose environment is set before torch is imported there."""

    name: str  # `cpu-0`, `cuda3-1`
    device: str  # torch's name inside the worker: `cpu`, `cuda`
    gpu: str | None = None  # its CUDA_VISIBLE_DEVICES
    threads: int = 1
    memory: int | None = None  # bytes of its device, shared with the device's other slots; None: unknown

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the worker."""
        # OpenMP and BLAS read their variables once, when they are loaded. Without them every worker would start one
        # thread per core, and workers on all cores would slow each other down several times.
        threads = str(self.threads)
        return {
            "CUDA_VISIBLE_DEVICES": self.gpu or "",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
        }


AUTO: Literal["auto"] = "auto"
RunsPerGpu = int | Literal["auto"]  # auto: as many as measured memory allows


def parse_runs_per_gpu(text: str) -> RunsPerGpu:
    """Parse the value of `--runs-per-gpu`. Raises SpecError."""
    if text == AUTO:
        return AUTO
    if not text.isdecimal() or int(text) < 1:
        raise SpecError(Problem("must be auto or a number of at least 1", "--runs-per-gpu", "", text))
    return int(text)


def build_slots(device: str = "auto", workers: int | None = None, runs_per_gpu: RunsPerGpu = 1) -> tuple[Slot, ...]:
    """Return the slots for the options `--device`, `--workers` and `--runs-per-gpu`.

    On GPUs: `runs_per_gpu` slots per GPU, GPU by GPU in turn; with `auto`, one per core, of which `GpuPacking` uses as
    many as fit. On the CPU: one single-threaded slot per core. `workers` overrides the number of slots. Raises
    DeviceNotFoundError, SpecError.
    """
    if device == "auto":
        gpus = list_visible_gpus()
    elif device == "cpu":
        gpus = ()
    else:
        gpus = _parse_device(device)
    if not gpus:
        count, memory = workers or count_cores(), read_memory_limit()
        return tuple(Slot(f"cpu-{index}", "cpu", memory=memory) for index in range(count))
    slots_per_gpu = max(1, count_cores() // len(gpus)) if runs_per_gpu == AUTO else runs_per_gpu
    count, memories = workers or len(gpus) * slots_per_gpu, _query_gpu_memory()
    # GPU by GPU in turn, so that fewer workers than slots still use every GPU.
    places = [(gpus[index % len(gpus)], index // len(gpus)) for index in range(count)]
    return tuple(Slot(f"cuda{gpu}-{index}", "cuda", gpu, memory=memories.get(gpu)) for gpu, index in places)


def read_memory_limit() -> int:
    """Return the bytes of memory of this machine, or of this container if its limit is lower."""
    import psutil  # here: on Linux, psutil itself imports the POSIX-only module `resource`

    # psutil does not read the limits of containers: cgroup version 2, then version 1.
    paths = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    limits = [path.read_text(encoding="ascii").strip() for path in paths if path.exists()]
    installed = int(psutil.virtual_memory().total)
    return min([installed, *(int(limit) for limit in limits if limit.isdecimal())])  # not `max`


def count_cores() -> int:
    """Return the number of cores that this process may use."""
    # macOS and Windows have no affinity in os.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def list_visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that a child process could use, by their names in CUDA_VISIBLE_DEVICES. Imports no torch.

    Without CUDA_VISIBLE_DEVICES these are the GPUs that NVML lists: none where its library, which is part of NVIDIA's
    driver, is missing.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return tuple(name.strip() for name in visible.split(",") if name.strip() not in ("", "-1"))
    return tuple(_query_gpu_memory())


def _query_gpu_memory() -> dict[str, int | None]:
    """Return the bytes of memory per GPU index, None where they are unknown; nothing without an NVIDIA driver.

    The driver process asks NVML and not torch: torch's import takes seconds, and its CUDA context would hold hundreds
    of megabytes of the GPU for as long as the study runs.
    """
    import pynvml  # here: a machine without GPUs needs it for nothing else

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver, or one whose library does not load
        return {}
    try:
        memories: dict[str, int | None] = {}
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                memories[str(index)] = int(pynvml.nvmlDeviceGetMemoryInfo(handle).total)
            except pynvml.NVMLError:  # GPUs that share the host's memory (Jetson, GB10) do not report a size
                memories[str(index)] = None
        return memories
    finally:
        pynvml.nvmlShutdown()


def _parse_device(device: str) -> tuple[str, ...]:
    """Return the GPUs that `--device cuda` or `--device cuda:0,1` names. Raises SpecError, DeviceNotFoundError."""
    kind, _, numbers = device.partition(":")
    names = tuple(name.strip() for name in numbers.split(",")) if numbers else list_visible_gpus()
    if kind != "cuda" or not all(names) or len(set(names)) != len(names):
        raise SpecError(Problem("must be auto, cpu, cuda, or cuda: and numbers as in cuda:0,1", "--device", "", device))
    visible = list_visible_gpus()
    if not names or set(names) - set(visible):
        raise DeviceNotFoundError(f"--device {device}: GPU not found; visible GPUs: {', '.join(visible) or 'none'}")
    return names
