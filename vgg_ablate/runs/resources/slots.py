"""Slots: how many runs this machine trains at once, and on what. One slot is one worker process."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vgg_ablate.errors import DeviceNotFoundError, Problem, SpecError


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one worker. Its environment is set before torch is imported there."""

    name: str  # `cpu-0`, `cuda3-1`
    device: str  # as torch names it inside the worker: `cpu`, `cuda`
    gpu: str | None = None  # what CUDA_VISIBLE_DEVICES says
    threads: int = 1
    memory: int | None = None  # bytes of its device, which it shares with the device's other slots; None: unknown
    extra: tuple[tuple[str, str], ...] = field(default=())

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables of the worker."""
        threads = str(self.threads)
        return {
            "CUDA_VISIBLE_DEVICES": self.gpu or "",
            "OMP_NUM_THREADS": threads,
            "MKL_NUM_THREADS": threads,
            "OPENBLAS_NUM_THREADS": threads,
            **dict(self.extra),
        }


AUTO: Literal["auto"] = "auto"
RunsPerGpu = int | Literal["auto"]  # runs on one GPU: so many, or as many as measured memory allows


def parse_runs_per_gpu(text: str) -> RunsPerGpu:
    """What `--packing` says. Raises SpecError."""
    if text == AUTO:
        return AUTO
    if not text.isdecimal() or int(text) < 1:
        raise SpecError(Problem("is auto, or how many runs share a GPU: 1 or more", "--packing", "", text))
    return int(text)


def build_slots(device: str = "auto", workers: int | None = None, packing: RunsPerGpu = 1) -> tuple[Slot, ...]:
    """The slots of `--device`, `--workers` and `--packing`. Raises DeviceMissing, SpecError.

    On GPUs: one a GPU times `packing`, the GPUs by turns; with `auto` one a core, not all of which need be used. On
    the CPU: one single-threaded a core. `workers` is their number where it is given.
    """
    if device == "auto":
        gpus = list_visible_gpus()
    elif device == "cpu":
        gpus = ()
    else:
        gpus = _named(device)
    if not gpus:
        count, memory = workers or count_cores(), read_memory_limit()
        return tuple(Slot(f"cpu-{index}", "cpu", memory=memory) for index in range(count))
    each = max(1, count_cores() // len(gpus)) if packing == AUTO else packing
    count, memories = workers or len(gpus) * each, _queried("memory.total")
    return tuple(_on(gpus[index % len(gpus)], index // len(gpus), memories) for index in range(count))


def read_memory_limit() -> int | None:
    """Bytes that processes of this machine, or this container, may fill; None where the system does not say."""
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return None
    installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limits = [Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")]
    given = [path.read_text(encoding="ascii").strip() for path in limits if path.exists()]
    return min([installed, *(int(limit) for limit in given if limit.isdecimal())])


def count_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def list_visible_gpus() -> tuple[str, ...]:
    """The GPUs that a process started from here would see, as CUDA_VISIBLE_DEVICES names them. Needs no torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1"))
    return tuple(_queried("memory.total"))


def _on(gpu: str, place: int, memories: dict[str, str]) -> Slot:
    """The slot of that place on a GPU."""
    mebibytes = memories.get(gpu, "")
    memory = int(mebibytes) << 20 if mebibytes.isdecimal() else None
    return Slot(f"cuda{gpu}-{place}", "cuda", gpu, memory=memory)


def _queried(what: str) -> dict[str, str]:
    """Index -> what nvidia-smi says of every GPU, in its order; nothing where there is none."""
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu=index,{what}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return {}
    lines = (line.partition(",") for line in done.stdout.splitlines() if line.strip())
    return {index.strip(): value.strip() for index, _, value in lines}


def _named(device: str) -> tuple[str, ...]:
    kind, _, numbers = device.partition(":")
    names = tuple(name.strip() for name in numbers.split(",")) if numbers else list_visible_gpus()
    if kind != "cuda" or not all(names) or len(set(names)) != len(names):
        raise SpecError(Problem("is auto, cpu, cuda, or cuda: and numbers, such as cuda:0,1", "--device", "", device))
    missing = set(names) - set(list_visible_gpus())
    if missing or not names:
        seen = ", ".join(list_visible_gpus()) or "none"
        raise DeviceNotFoundError(f"--device {device}: no such GPU; this machine shows {seen}")
    return names
