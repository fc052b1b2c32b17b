"""The memory that a training took at its peak, measured: of a GPU's allocator, or of the process."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import torch

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # to clear_refs: the peak is what is resident now (proc(5), Linux 4.0)


def reset_peak_memory(device: str) -> None:
    """From now on: peaks of trainings before, in this process, are forgotten."""
    if device.startswith("cuda"):
        torch.cuda.init()  # type: ignore[no-untyped-call]  # torch does not say
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access(_CLEAR, os.W_OK):
        with contextlib.suppress(OSError):  # a sandbox may show the file and refuse it: the peak is then an older one
            _CLEAR.write_text(_RESET_PEAK, encoding="ascii")


def measure_peak_memory(device: str) -> int | None:
    """Bytes at the peak since `start`; None where the system does not say.

    On a GPU: what torch has reserved of it; the context of a process comes on top. On the CPU: the resident memory of
    this process, with Python and its libraries.
    """
    if device.startswith("cuda"):
        return torch.cuda.max_memory_reserved(device)
    if not _STATUS.exists():
        return None
    lines = (line.split() for line in _STATUS.read_text(encoding="utf-8").splitlines())
    return next((int(line[1]) << 10 for line in lines if line and line[0] == "VmHWM:"), None)


def release_cached_memory(device: str) -> None:
    """What the allocator keeps of a GPU for later: a waiting worker must not hold what others could use."""
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
