"""Measure the peak memory of a training step and compare it with the prediction (training/memory.py).

python benchmarks/memory.py PRESET [--image-size 224] [--batch 4] [--width 1.0] [--hidden N] [--precision bf16|fp32]
                            [--device cpu|cuda]

On the CPU the measured bytes are what two steps add to the resident memory, on a GPU what torch has reserved.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import psutil
import torch

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Augment, Data, Train
from vgg_ablate.data.augment import Augmenter, Normalizer
from vgg_ablate.models.vgg import build_model
from vgg_ablate.records import Run
from vgg_ablate.training import memory
from vgg_ablate.training.device import Precision
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.step import TrainStep


def main() -> None:
    """Print measured and predicted bytes, and their ratio, as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("preset")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--hidden", type=int, help="Units of each of two hidden dense layers; default: the preset's.")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--device", default="cpu")
    print(json.dumps(measure_peak(parser.parse_args())))


def measure_peak(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the peak of two training steps in this process, in bytes, and its prediction."""
    device = torch.device(arguments.device)
    run = make_run(arguments.preset, arguments.image_size, arguments.batch, arguments.width, arguments.hidden)
    run_two_steps(make_run("A", 32, 1, 0.05, 8), arguments.precision, device)  # libraries allocate their workspaces
    before = psutil.Process().memory_info().rss if device.type == "cpu" else 0
    memory.reset_peak_memory(arguments.device)
    run_two_steps(run, arguments.precision, device)
    measured = (memory.measure_peak_memory(arguments.device) or 0) - before
    predicted = memory.estimate_peak_bytes(run, examples=2 * arguments.batch, precision=arguments.precision)
    return {"measured": measured, "predicted": predicted, "ratio": round(predicted / measured, 3)}


def make_run(preset: str, image_size: int, batch_size: int, width: float, hidden: int | None) -> Run:
    """Return a run of a preset, to describe its training only: it has no data."""
    options: dict[str, Any] = {"preset": preset, "width": width, "image_size": image_size, "in_channels": 3}
    if hidden:
        options["head"] = {"hidden": [hidden] * 2}
    arch = Arch.model_validate({**options, "classes": 1000}).to_normal_form()
    data = Data(name="imagenet", image_size=image_size)
    return Run(arch=arch, data=data, train=Train(batch_size=batch_size), fingerprint="none", seed=0)


def run_two_steps(run: Run, precision: Precision, device: torch.device) -> None:
    """Train a run's net for two steps, with two batches of black images resident."""
    batch_size, size = run.train.batch_size, run.data.image_size
    assert size is not None
    images = torch.zeros(2 * batch_size, size, size, 3, dtype=torch.uint8, device=device)
    normalize = Normalizer(torch.zeros(3, device=device), torch.ones(3, device=device))
    augmenter = Augmenter.prepare(Augment(), images, size, normalize, 0)
    net = build_model(run.arch, torch.Generator()).to(device).to(memory_format=torch.channels_last).train()
    labels = torch.zeros(2 * batch_size, dtype=torch.int64, device=device)
    step = TrainStep.prepare(net, build_optimizer(run.train, net), augmenter, labels, run.train, precision, batch_size)
    step.begin_epoch(1)
    for _ in range(2):
        step.update(torch.arange(batch_size, device=device), 0.01)


if __name__ == "__main__":
    main()
