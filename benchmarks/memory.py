"""Memory at the peak of a training step, measured and predicted (training/memory.py).

python benchmarks/memory.py PRESET [--image-size 224] [--batch 4] [--width 1.0] [--hidden N] [--precision bf16|fp32]
                            [--device cpu|cuda]

On the CPU: what two steps add to the resident memory; on a GPU: what torch has reserved of it.
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

import torch

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Augment, Data, Train
from vgg_ablate.data.augment import Augmenter, Normalizer
from vgg_ablate.models.vgg import build_model
from vgg_ablate.records import Run
from vgg_ablate.training import peak_memory
from vgg_ablate.training.device import Precision
from vgg_ablate.training.memory import estimate_peak_bytes
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.step import TrainStep


def main() -> None:
    """Print measured and predicted bytes, and their ratio, as JSON."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("preset")
    options.add_argument("--image-size", type=int, default=224)
    options.add_argument("--batch", type=int, default=4)
    options.add_argument("--width", type=float, default=1.0)
    options.add_argument(
        "--hidden", type=int, help="of the two hidden dense layers; the preset's where it is not given"
    )
    options.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    options.add_argument("--device", default="cpu")
    print(json.dumps(measured(options.parse_args())))


def measured(given: argparse.Namespace) -> dict[str, Any]:
    """Two steps of one net, in this process: what they take at the peak."""
    where = torch.device(given.device)
    run = run_of(given.preset, given.image_size, given.batch, given.width, given.hidden)
    two_steps(run_of("A", 32, 1, 0.05, 8), given.precision, where)  # libraries make their own room first
    before = _resident() if where.type == "cpu" else 0
    peak_memory.reset_peak_memory(given.device)
    two_steps(run, given.precision, where)
    peak = (peak_memory.measure_peak_memory(given.device) or 0) - before
    predicted = estimate_peak_bytes(run, examples=2 * given.batch, precision=given.precision)
    return {"measured": peak, "predicted": predicted, "ratio": round(predicted / peak, 3)}


def run_of(preset: str, image_size: int, batch: int, width: float, hidden: int | None) -> Run:
    """A run of a preset, in words alone: it has no data."""
    knobs: dict[str, Any] = {"preset": preset, "width": width, "image_size": image_size, "in_channels": 3}
    if hidden:
        knobs["head"] = {"hidden": [hidden] * 2}
    arch = Arch.model_validate({**knobs, "classes": 1000}).to_normal_form()
    data = Data(name="imagenet", image_size=image_size)
    return Run(arch=arch, data=data, train=Train(batch_size=batch), fingerprint="none", seed=0)


def two_steps(run: Run, precision: Precision, where: torch.device) -> None:
    """Train a run's net on twice its batch of black images."""
    batch, size = run.train.batch_size, run.data.image_size
    assert size is not None
    images = torch.zeros(2 * batch, size, size, 3, dtype=torch.uint8, device=where)
    augmenter = Augmenter(
        Augment(), images, size, Normalizer(torch.zeros(3, device=where), torch.ones(3, device=where)), 0
    )
    net = build_model(run.arch, torch.Generator()).to(where).to(memory_format=torch.channels_last).train()
    labels = torch.zeros(2 * batch, dtype=torch.int64, device=where)
    updater = TrainStep(net, build_optimizer(run.train, net), augmenter, labels, run.train, precision, batch)
    updater.begin(1)
    for _ in range(2):
        updater.update(torch.arange(batch, device=where), 0.01)


def _resident() -> int:
    """Bytes of this process. Linux."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) * 1024


if __name__ == "__main__":
    main()
