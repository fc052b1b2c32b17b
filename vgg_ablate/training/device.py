"""What the machine is, and in which precision it trains: chosen by a timed probe, kept for the machine, recorded."""

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

from vgg_ablate.data import cache as data_cache
from vgg_ablate.errors import DeviceNotFoundError
from vgg_ablate.files import write_once
from vgg_ablate.records import Run
from vgg_ablate.training.settings import TrainingSettings

Precision = Literal["fp32", "bf16"]

_PROBED = ("fp32", "bf16")
_ROUNDS = 4  # steps of each precision, in turns; the quickest counts


def resolve_device(name: str) -> torch.device:
    """The device of that name. Raises DeviceMissing."""
    try:
        found = torch.device(name)
    except RuntimeError as error:
        raise DeviceNotFoundError(f"--device: no device {name!r}; there are cpu, cuda, cuda:0, ...") from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise DeviceNotFoundError(
            f"--device: {name} is not on this machine, which has {torch.cuda.device_count()} GPUs"
        )
    return found


@contextlib.contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Train with `count` threads; afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def choose_precision(run: Run, settings: TrainingSettings) -> Precision:
    """What the run is trained in: what its recipe says, or for `auto` what this machine is quicker in."""
    return _quicker(settings.device, settings.threads) if run.train.precision == "auto" else run.train.precision


def describe_environment(run: Run, settings: TrainingSettings) -> dict[str, Any]:
    """What a record keeps of the machine and of the choices made on it."""
    chosen = choose_precision(run, settings)
    where = resolve_device(settings.device)
    return {
        "device": where.type,
        "device_name": torch.cuda.get_device_name(where) if where.type == "cuda" else _processor(),
        "threads": settings.threads,
        "precision": chosen,
        "memory_format": "channels_last",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "host": platform.node(),
    }


@cache
def _quicker(name: str, count: int) -> Precision:
    """The quicker precision on this machine; one answer for every net, so that variants are trained alike.

    Kept in the cache folder by processor, torch and threads: the first process to ask decides for all.
    """
    where = resolve_device(name)
    if where.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "fp32"
    about = f"{_processor()}-{torch.__version__}-{count}".replace("/", "_").replace(" ", "_")
    kept = data_cache.get_cache_dir() / "precision" / f"{about}.json"
    if not kept.exists():
        write_once(kept, json.dumps(_timed(count), indent=1) + "\n")
    answer = json.loads(kept.read_text(encoding="utf-8"))
    return "bf16" if answer["bf16"] < answer["fp32"] else "fp32"


def _timed(count: int) -> dict[str, float]:
    """Seconds of CPU time of the quickest step of a small VGG in each precision."""
    with use_threads(count), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = _probe_net().to(memory_format=torch.channels_last)
        images = torch.randn(64, 3, 16, 16).contiguous(memory_format=torch.channels_last)
        labels = torch.arange(64) % 10
        took: dict[str, list[float]] = {precision: [] for precision in _PROBED}
        for _ in range(_ROUNDS):
            for precision in _PROBED:
                start = time.process_time()
                with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                    scores = net(images)
                functional.cross_entropy(scores.float(), labels).backward()  # type: ignore[no-untyped-call]
                took[precision].append(time.process_time() - start)
    return {precision: min(times[1:]) for precision, times in took.items()}


def _probe_net() -> nn.Module:
    stages: list[nn.Module] = []
    for before, after in ((3, 32), (32, 64), (64, 128)):
        stages += [
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.MaxPool2d(2),
            nn.ReLU(),
        ]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(128 * 4, 10))


@cache
def _processor() -> str:
    """The processor's name and the instructions that change what it computes."""
    name = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name} ({torch.backends.cpu.get_cpu_capability()})"
