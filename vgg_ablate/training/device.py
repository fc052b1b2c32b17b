"""The device of a training and its precision: chosen by a timed probe, kept for the machine, written to the record."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from vgg_ablate.data.cache import get_cache_dir
from vgg_ablate.errors import DeviceNotFoundError
from vgg_ablate.files import write_once
from vgg_ablate.records import Run
from vgg_ablate.training.settings import TrainingSettings

Precision = Literal["fp32", "bf16"]

_PROBED: tuple[Precision, ...] = ("fp32", "bf16")
_ROUNDS = 4  # steps of each precision, alternating; the fastest counts, so that other load disturbs less


def resolve_device(name: str) -> torch.device:
    """Return the device of that name. Raises DeviceNotFoundError."""
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceNotFoundError(f"--device: no device {name!r}; possible are cpu, cuda, cuda:0, ...") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DeviceNotFoundError(f"--device: {name} not found: this machine has {count} GPUs")
    return device


@contextlib.contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let torch use `count` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_precision(run: Run, settings: TrainingSettings) -> Precision:
    """Return the precision of the run's recipe, or for `auto` the one that is faster on this machine."""
    if run.train.precision != "auto":
        return run.train.precision
    return _find_faster_precision(settings.device, settings.threads)


def describe_environment(run: Run, settings: TrainingSettings) -> dict[str, Any]:
    """Return what a record keeps of the machine and of the choices made on it."""
    device = resolve_device(settings.device)
    return {
        "device": device.type,
        "device_name": torch.cuda.get_device_name(device) if device.type == "cuda" else _describe_processor(),
        "threads": settings.threads,
        "precision": choose_precision(run, settings),
        "memory_format": "channels_last",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
    }


@cache
def _find_faster_precision(device_name: str, threads: int) -> Precision:
    """Return the faster precision of this machine, for every net: a probe per arch could train two variants unlike.

    The cache folder keeps one answer per processor, torch version and number of threads; the first process decides.
    """
    device = resolve_device(device_name)
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    machine = f"{_describe_processor()}-{torch.__version__}-{threads}".replace("/", "_").replace(" ", "_")
    path = get_cache_dir() / "precision" / f"{machine}.json"
    if not path.exists():
        write_once(path, json.dumps(_time_precisions(threads), indent=1) + "\n")
    seconds = json.loads(path.read_text(encoding="utf-8"))  # of whichever process wrote first
    return "bf16" if seconds["bf16"] < seconds["fp32"] else "fp32"


def _time_precisions(threads: int) -> dict[str, float]:
    """Return the CPU seconds of the fastest step of a small VGG in each precision."""
    with use_threads(threads), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _build_probe_net().to(memory_format=torch.channels_last)
        images = torch.randn(64, 3, 16, 16).contiguous(memory_format=torch.channels_last)
        labels = torch.arange(64) % 10
        seconds: dict[str, list[float]] = {precision: [] for precision in _PROBED}
        for _ in range(_ROUNDS):
            for precision in _PROBED:
                start = time.process_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    logits = net(images)
                functional.cross_entropy(logits.float(), labels).backward()  # type: ignore[no-untyped-call]
                seconds[precision].append(time.process_time() - start)
    return {precision: min(times[1:]) for precision, times in seconds.items()}  # the first round warms up


def _build_probe_net() -> nn.Module:
    stages: list[nn.Module] = []
    for in_channels, out_channels in ((3, 32), (32, 64), (64, 128)):
        stages += [
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.MaxPool2d(2),
            nn.ReLU(),
        ]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(128 * 4, 10))


@cache
def _describe_processor() -> str:
    """Return the processor's name and the instruction set that torch uses: both change results in the last bits."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):  # Linux; platform.processor() is often empty there
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
