"""Measure the images per second of many trainings at once, with driver, workers and records.

    python benchmarks/many.py [--runs 100] [--epochs 10] [--images 50000] [--device auto] [--runs-per-gpu N|auto]
                              [--workers N] [--json]

The runs train the net SMALL of benchmarks/loop.py on images of CIFAR-10's size. `seconds` is the wall time of the whole
study, including the start of the workers; the images are decoded before. `images_per_second` counts training images
only: runs x epochs x (images - a tenth for validation) / seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
from PIL import Image

from vgg_ablate.config.study import load
from vgg_ablate.data import sources
from vgg_ablate.runs.driver import RunOptions, run_plan
from vgg_ablate.runs.plan import build_plan
from vgg_ablate.runs.resources.slots import parse_runs_per_gpu

CLASSES = 10
STUDY = """\
version: 1
name: many
question: how many images per second are trained on?
seeds: {runs}
data: {{name: image-folder, root: pictures, image_size: 32, classes: 10, augment: {{crop_padding: 4, flip: true}}}}
arch: {{stages: "32 32 | 64 64 | 128 128", norm: batch, head: {{hidden: [128], dropout: 0.0}}}}
train: {{epochs: {epochs}, batch_size: 128}}
"""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--runs-per-gpu", "--packing", dest="packing", default="1")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure_study(Path(folder), arguments)
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value}")


def measure_study(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run the study in `folder`, with a cache of its own."""
    os.environ |= {"VGG_ABLATE_DATA": str(folder), "VGG_ABLATE_CACHE": str(folder / "cache")}
    write_images(folder / "pictures", arguments.images)
    (folder / "many.yaml").write_text(STUDY.format(runs=arguments.runs, epochs=arguments.epochs))
    plan = build_plan(load(folder / "many.yaml"), sources.compute_data_fingerprint)  # this decodes the images
    options = RunOptions(
        device=arguments.device,
        runs_per_gpu=parse_runs_per_gpu(arguments.packing),
        workers=arguments.workers,
        progress="plain",
    )
    summary = run_plan(plan, folder / "results", options)
    summary.raise_for_failures()
    trained_images = arguments.runs * arguments.epochs * (arguments.images - arguments.images // 10)
    options_used = {name: getattr(arguments, name) for name in ("runs", "epochs", "images", "device", "packing")}
    return options_used | {
        "seconds": round(summary.seconds, 1),
        "images_per_second": round(trained_images / summary.seconds),
    }


def write_images(root: Path, train_count: int) -> None:
    """Write noise as PNG files in ten classes: `train_count` to train on, and a hundred to test on."""
    generator = np.random.default_rng(0)
    for split, count in (("train", train_count), ("test", 100)):
        for label in range(CLASSES):
            (root / split / str(label)).mkdir(parents=True)
        for index in range(count):
            image = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(image).save(root / split / str(index % CLASSES) / f"{index}.png", compress_level=0)


if __name__ == "__main__":
    main()
