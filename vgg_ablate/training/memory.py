"""The memory of a training: predicted before it starts, measured while it runs, and kept between its steps.

Imports torch only to measure a GPU: planning a study predicts memory without it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
from itertools import pairwise
from pathlib import Path
from typing import Literal

from vgg_ablate.config.training import Sgd
from vgg_ablate.models.layers import Activation, Conv, Dense, Layer, Norm, Pool, build_layers
from vgg_ablate.models.memory import estimate_training_memory
from vgg_ablate.records import Run

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of mallopt, from malloc.h
_MAX_MMAP_THRESHOLD = 32 << 20  # bytes: DEFAULT_MMAP_THRESHOLD_MAX of 64-bit glibc, which accepts no more
_TRIM_THRESHOLD = 1 << 30  # bytes of free memory at the top of the heap above which glibc returns it

_STATUS, _CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # written to clear_refs: set VmHWM to the current resident size (proc(5), Linux 4.0)


def estimate_peak_bytes(run: Run, *, examples: int, precision: Literal["fp32", "bf16"], graphs: bool = False) -> int:
    """Return the predicted peak of a training step, in bytes, without Python and its libraries.

    To what models/memory.py counts it adds the resident examples (`examples`: of all splits; 4 bytes per padded pixel
    of 3 channels, 1 of a grey one), the batch's images in fp32, the gradients of two neighbouring maps, which live at
    once in the backward pass, and in bf16 a copy of the weights in 2 bytes.

    The nets of an ensemble stay in memory together. Their steps take turns, so that one batch at a time needs memory,
    unless steps are recorded as CUDA graphs (`graphs`): each graph keeps the memory of its own batch.
    """
    estimates = [_estimate_net(net, precision) for net in run.nets]
    batch_bytes = [batch for _, batch in estimates]
    resident_bytes = sum(net for net, _ in estimates) + estimate_example_bytes(run, examples)
    return resident_bytes + (sum(batch_bytes) if graphs else max(batch_bytes))


def estimate_example_bytes(run: Run, examples: int) -> int:
    """Return the bytes of examples that stay in memory while a run trains."""
    return examples * _compute_example_bytes(run) * len(run.archs)


def keep_freed_memory() -> bool:
    """Make malloc keep freed memory for the next step, and return whether that is possible. No result depends on it.

    glibc returns blocks of megabytes to the system when they are freed, and the next step pays for their pages again:
    up to a third of the time of a small net's step on one core.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    library = ctypes.CDLL(None)
    # Both: blocks above the mmap threshold are unmapped when they are freed, whatever the trim threshold is.
    return bool(
        library.mallopt(M_MMAP_THRESHOLD, _MAX_MMAP_THRESHOLD) and library.mallopt(M_TRIM_THRESHOLD, _TRIM_THRESHOLD)
    )


def reset_peak_memory(device: str) -> None:
    """Start a new peak for `measure_peak_memory`: a worker trains several runs in one process."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.init()  # type: ignore[no-untyped-call]  # reset_peak_memory_stats fails before the first allocation
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access(_CLEAR_REFS, os.W_OK):
        with contextlib.suppress(OSError):  # a sandbox (gVisor) may show the file and refuse the write
            _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")


def measure_peak_memory(device: str) -> int | None:
    """Return the peak since `reset_peak_memory`, in bytes; None where the system does not report it.

    On a GPU this is the memory that torch has reserved, without the process's CUDA context. On the CPU it is the
    resident memory of the process, with Python and its libraries. Only Linux reports a peak that can be reset: that
    of macOS and Windows is over the whole life of the process, and may be an earlier run's.
    """
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_reserved(device)
    if not _STATUS.exists():
        return None
    lines = (line.split() for line in _STATUS.read_text(encoding="utf-8").splitlines())
    return next((int(line[1]) << 10 for line in lines if line and line[0] == "VmHWM:"), None)


def release_cached_memory(device: str) -> None:
    """Return to the GPU what torch's allocator caches, so that a waiting worker holds nothing that others could use."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.empty_cache()


def _estimate_net(run: Run, precision: Literal["fp32", "bf16"]) -> tuple[int, int]:
    """Return the bytes that stay between two steps, and those that a batch adds."""
    batch = run.train.micro_batch or run.train.batch_size
    value_bytes, states = (2 if precision == "bf16" else 4), (1 if isinstance(run.train.optimizer, Sgd) else 2)
    net = estimate_training_memory(run.arch, batch, precision_bytes=value_bytes, states=states)
    copies = net.weights // 2 if precision == "bf16" else 0
    # Gradients of a layer's input and output live at once: the largest neighbouring pair decides.
    pair = max(_count_outputs(before) + _count_outputs(after) for before, after in pairwise(build_layers(run.arch)))
    image = (run.arch.image_size or 0) ** 2 * (run.arch.in_channels or 0)
    resident = net.weights + net.gradients + net.optimizer + copies
    return resident, net.activations + batch * (pair * value_bytes + image * 4)


def _count_outputs(layer: Layer) -> int:
    """Return the number of values that the layer computes for one example."""
    match layer:
        case Conv() | Pool() | Norm() | Activation():
            return layer.channels * layer.size**2
        case Dense():
            return layer.features
        case _:
            return 0


def _compute_example_bytes(run: Run) -> int:
    side = (run.arch.image_size or 0) + 2 * run.data.augment.crop_padding
    return side**2 * (4 if run.arch.in_channels == 3 else 1)
