"""Slots: how many runs this machine trains at once, and on what. One slot is one worker process."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field

from vgg_ablate.errors import DeviceMissing, Problem, SpecError


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for one worker. Its environment is set before torch is imported there."""

    name: str  # `cpu-0`, `cuda3-1`
    device: str  # as torch names it inside the worker: `cpu`, `cuda`
    gpu: str | None = None  # what CUDA_VISIBLE_DEVICES says
    threads: int = 1
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


def slots(device: str = "auto", workers: int | None = None, packing: int = 1) -> tuple[Slot, ...]:
    """The slots of `--device`, `--workers` and `--packing` (runs on one GPU). Raises DeviceMissing, SpecError.

    On GPUs: one a GPU times `packing`, the GPUs by turns; on the CPU: one single-threaded a core. `workers` is their
    number where it is given.
    """
    if device == "auto":
        gpus = visible_gpus()
    elif device == "cpu":
        gpus = ()
    else:
        gpus = _named(device)
    if not gpus:
        count = workers or cores()
        return tuple(Slot(f"cpu-{index}", "cpu") for index in range(count))
    count = workers or len(gpus) * packing
    return tuple(Slot(f"cuda{gpus[i % len(gpus)]}-{i // len(gpus)}", "cuda", gpus[i % len(gpus)]) for i in range(count))


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that a process started from here would see, as CUDA_VISIBLE_DEVICES names them. Needs no torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(name.strip() for name in chosen.split(",") if name.strip() not in ("", "-1"))
    if shutil.which("nvidia-smi") is None:
        return ()
    done = subprocess.run(
        ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return tuple(line.strip() for line in done.stdout.splitlines() if line.strip()) if done.returncode == 0 else ()


def _named(device: str) -> tuple[str, ...]:
    kind, _, numbers = device.partition(":")
    names = tuple(name.strip() for name in numbers.split(",")) if numbers else visible_gpus()
    if kind != "cuda" or not all(names) or len(set(names)) != len(names):
        raise SpecError(Problem("is auto, cpu, cuda, or cuda: and numbers, such as cuda:0,1", "--device", "", device))
    missing = set(names) - set(visible_gpus())
    if missing or not names:
        seen = ", ".join(visible_gpus()) or "none"
        raise DeviceMissing(f"--device {device}: no such GPU; this machine shows {seen}")
    return names
