"""Images a second of many trainings at once: SMALL on images of CIFAR-10's size, with driver, workers and records.

    python benchmarks/many.py [--runs 100] [--epochs 10] [--images 50000] [--device auto] [--packing N|auto]
                              [--workers N] [--json]

`seconds` is wall time of the whole study, start of the workers included; the images are decoded before it begins.
`images_per_second` counts training images alone: runs x epochs x (images - a tenth for validation) / seconds.
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
question: how many images a second are trained?
seeds: {runs}
data: {{name: image-folder, root: pictures, image_size: 32, classes: 10, augment: {{crop_padding: 4, flip: true}}}}
arch: {{stages: "32 32 | 64 64 | 128 128", norm: batch, head: {{hidden: [128], dropout: 0.0}}}}
train: {{epochs: {epochs}, batch_size: 128}}
"""


def main() -> None:
    """Print what was measured."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--runs", type=int, default=100)
    options.add_argument("--epochs", type=int, default=10)
    options.add_argument("--images", type=int, default=50_000)
    options.add_argument("--device", default="auto")
    options.add_argument("--packing", default="1")
    options.add_argument("--workers", type=int)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), given)
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:20} {value}")


def measured(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """The study, run in a folder of its own with a cache of its own."""
    os.environ |= {"VGG_ABLATE_DATA": str(folder), "VGG_ABLATE_CACHE": str(folder / "cache")}
    write_images(folder / "pictures", given.images)
    (folder / "many.yaml").write_text(STUDY.format(runs=given.runs, epochs=given.epochs))
    asked = build_plan(load(folder / "many.yaml"), sources.compute_data_fingerprint)  # decoded by that, into the cache
    options = RunOptions(
        device=given.device, packing=parse_runs_per_gpu(given.packing), workers=given.workers, progress="plain"
    )
    finished = run_plan(asked, folder / "results", options)
    finished.raise_for_failures()
    trained = given.runs * given.epochs * (given.images - given.images // 10)
    about = {name: getattr(given, name) for name in ("runs", "epochs", "images", "device", "packing")}
    return about | {
        "seconds": round(finished.seconds, 1),
        "images_per_second": round(trained / finished.seconds),
    }


def write_images(root: Path, count: int) -> None:
    """Noise as PNG files: `count` to train on, and a hundred to test, in ten classes."""
    chance = np.random.default_rng(0)
    for split, of in (("train", count), ("test", 100)):
        for label in range(CLASSES):
            (root / split / str(label)).mkdir(parents=True)
        for index in range(of):
            picture = chance.integers(0, 256, (32, 32, 3), dtype=np.uint8)
            Image.fromarray(picture).save(root / split / str(index % CLASSES) / f"{index}.png", compress_level=0)


if __name__ == "__main__":
    main()
