"""How much quicker the package's training loop is than the one that a tutorial shows.

    python benchmarks/loop.py [--json] [--rounds 7] [--device cpu|cuda]

One thread, CPU time, both loops in turns in one process, so that a busy machine slows both alike. A ratio is the median
over the rounds of (tutorial's seconds / ours) for the same number of images.

small, medium  a training step with its data (below: SMALL, MEDIUM; batch 128, on a GPU 512 for MEDIUM; 32x32x3)
evaluation     scoring a split, with its data; evaluation_net: the net alone
data           crops, flips and normalisation alone, against ImageFolder and torchvision.transforms.v2
curve          mean loss of the last third of a training on digits, ours minus fp32 in plain torch on the same batches

Memory that a step frees is kept for the next one in our turns (training/allocator.py). In the tutorial's, glibc gives
it back as it would in a script of its own: at the highest thresholds that its own adaptation reaches, so never more
often than there. Every turn begins with one that is not counted, since the other loop has left its memory behind.

The tutorial: ImageFolder + DataLoader + v2 transforms, fp32, NCHW, SGD, `.item()` every step. On a GPU the times are
wall times, ours is the graph, and images_per_second says how many images of SMALL and MEDIUM were trained a second.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np  # after the number of threads is said
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.training import Augment, Data, Evaluate, Train
from vgg_ablate.data import sources
from vgg_ablate.data.augment import Augmenter, Normalizer
from vgg_ablate.data.splits import Split, load_splits
from vgg_ablate.models.vgg import build_model
from vgg_ablate.records import Run
from vgg_ablate.training import device
from vgg_ablate.training.allocator import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory
from vgg_ablate.training.evaluate import evaluate_split
from vgg_ablate.training.fusion import fold_batch_norms
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.settings import TrainingSettings
from vgg_ablate.training.step import TrainStep

BATCH = 128
IMAGES = 1024
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
NETS = {
    "small": {"stages": "32 32 | 64 64 | 128 128", "head": {"hidden": [128]}},
    "medium": {"stages": "64 64 | 128 128 | 256 256 | 512 512", "head": {"hidden": [512]}},
}


def main() -> None:
    """Print the ratios."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--json", action="store_true")
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--device", default="cpu")
    given = options.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder), given.rounds, device.resolve_device(given.device))
    if given.json:
        print(json.dumps(found, indent=1))
    else:
        for name, value in found.items():
            print(f"{name:20} {value}")


def measured(folder: Path, rounds: int, where: torch.device) -> dict[str, Any]:
    """Every number that the module's docstring names, and what it was measured on."""
    write_images(folder)
    found: dict[str, Any] = {}
    for name in NETS:
        found |= training(name, folder, rounds, where)
    found |= evaluation(folder, rounds, where)
    found |= data(folder, rounds, where)
    found["curve"] = round(curve(), 4)
    run = run_of("small")
    return found | {
        "rounds": rounds,
        "environment": device.describe_environment(run, TrainingSettings(device=str(where))),
    }


def training(name: str, folder: Path, rounds: int, where: torch.device) -> dict[str, Any]:
    """Steps with their data."""
    batch = 512 if (name, where.type) == ("medium", "cuda") else BATCH
    theirs, ours = TutorialTraining(name, folder, where, batch), OurTraining(name, where, batch)
    times = in_turns(rounds, where, theirs.step, ours.step)
    quick = statistics.median(times[1])
    return {name: ratio(*times), f"{name}_images_per_second": round(batch / quick)}


def evaluation(folder: Path, rounds: int, where: torch.device) -> dict[str, Any]:
    """SMALL scores images: with their data, and alone."""
    net = OurTraining("small", where)
    net.step()
    tutorial = build_model(net_of("small"), torch.Generator().manual_seed(0)).to(where).eval()
    still = fold_batch_norms(net.net, torch.bfloat16 if net.precision == "bf16" else torch.float32)
    images = torch.randn(BATCH, 3, 32, 32, device=where)
    quick_images = images.to(next(still.parameters()).dtype).contiguous(memory_format=torch.channels_last)
    loader = batches(folder, training=False)

    def tutorials() -> None:
        right = 0
        with torch.no_grad():
            for _, (seen, labels) in zip(range(4), loader, strict=False):
                right += (tutorial(seen.to(where)).argmax(1) == labels.to(where)).sum().item()

    def ours() -> None:
        part = Split(net.images[: 4 * BATCH], net.labels[: 4 * BATCH])
        evaluate_split(net.net, part, net.normalise, net.precision, 32, Evaluate()).accuracy()

    @torch.inference_mode()
    def alone(model: nn.Module, seen: Tensor) -> None:
        model(seen)

    whole = in_turns(rounds, where, tutorials, ours)
    nets = in_turns(rounds, where, lambda: alone(tutorial, images), lambda: alone(still, quick_images))
    return {"evaluation": ratio(*whole), "evaluation_net": ratio(*nets)}


def data(folder: Path, rounds: int, where: torch.device) -> dict[str, Any]:
    """Batches of training images, and nothing done with them."""
    loader, ours = batches(folder, training=True), OurTraining("small", where)

    def quick() -> None:
        for at in range(0, IMAGES, BATCH):
            ours.augmenter.batch(ours.order[at : at + BATCH])

    def begin_and_quick() -> None:
        ours.augmenter.begin(1)
        quick()

    slow, fast = in_turns(rounds, where, lambda: [next(loader) for _ in range(8)], begin_and_quick)
    return {"data": ratio(slow, fast), "data_images_per_second": round(IMAGES / statistics.median(fast))}


def curve(steps: int = 150) -> float:
    """Ours against plain fp32 torch on the same batches of digits: difference of the mean losses of the last third."""
    run = run_of("small", Data(name="digits", image_size=16), stages="16 16 | 32 32", classes=10)
    three = load_splits(run.data, run.fingerprint, 0, torch.device("cpu"))
    normalise = Normalizer(three.mean, three.std)
    nets = [build_model(run.arch, torch.Generator().manual_seed(0)).train() for _ in range(2)]
    augmenter = Augmenter(Augment(), three.train.images, 16, normalise, 0)
    quick = nets[0].to(memory_format=torch.channels_last)
    precision = device.choose_precision(run, TrainingSettings())
    updater = TrainStep(
        quick, build_optimizer(run.train, quick), augmenter, three.train.labels, run.train, precision, BATCH
    )
    plain = torch.optim.SGD(nets[1].parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    chance = torch.Generator().manual_seed(0)
    losses: tuple[list[float], list[float]] = ([], [])
    for _ in range(steps):
        examples = torch.randint(0, len(three.train), (BATCH,), generator=chance)
        updater.begin(1)
        updater.update(examples, 0.05)
        losses[0].append(updater.mean_loss(1))
        loss = functional.cross_entropy(nets[1](augmenter.batch(examples).contiguous()), three.train.labels[examples])
        plain.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        plain.step()
        losses[1].append(loss.item())
    ours, theirs = (statistics.fmean(found[-steps // 3 :]) for found in losses)
    return ours - theirs


class TutorialTraining:
    """What a tutorial shows."""

    def __init__(self, name: str, folder: Path, where: torch.device, batch: int) -> None:
        self.net = build_model(net_of(name), torch.Generator().manual_seed(0)).to(where).train()
        self.optimiser = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        self.loader, self.where, self.total = batches(folder, training=True, batch=batch), where, 0.0

    def step(self) -> None:
        images, labels = (part.to(self.where) for part in next(self.loader))
        self.optimiser.zero_grad()
        loss = functional.cross_entropy(self.net(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.total += loss.item()


class OurTraining:
    """The package's step, on images that are resident."""

    def __init__(self, name: str, where: torch.device, batch: int = BATCH) -> None:
        run = run_of(name)
        self.precision = device.choose_precision(run, TrainingSettings(device=str(where)))
        self.images = torch.from_numpy(pictures()).to(where)
        self.labels = (torch.arange(IMAGES) % 10).to(where)
        self.normalise = Normalizer(torch.tensor(MEAN, device=where) * 255, torch.tensor(STD, device=where) * 255)
        self.augmenter = Augmenter(Augment(crop_padding=4, flip=True), self.images, 32, self.normalise, 0)
        self.net = (
            build_model(run.arch, torch.Generator().manual_seed(0)).to(where).to(memory_format=torch.channels_last)
        )
        self.net.train()
        made = build_optimizer(run.train, self.net)
        self.updater = TrainStep(self.net, made, self.augmenter, self.labels, run.train, self.precision, batch)
        self.updater.begin(1)
        self.order, self.at, self.batch = torch.randperm(IMAGES).to(where), 0, batch

    def step(self) -> None:
        self.updater.update(self.order[self.at : self.at + self.batch], 0.05)
        self.at = (self.at + self.batch) % IMAGES


def in_turns(
    rounds: int, where: torch.device, theirs: Callable[[], object], ours: Callable[[], object]
) -> list[list[float]]:
    """Seconds of each loop in each round: of CPU time, or of wall time on a GPU. The first round is not counted."""
    clock = time.perf_counter if where.type == "cuda" else time.process_time
    times: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        for loop, memory, took in zip((theirs, ours), (give_back, keep_freed_memory), times, strict=True):
            memory()
            for _ in range(2):  # the second counts
                start = clock()
                loop()
                if where.type == "cuda":
                    torch.cuda.synchronize()
            if number:
                took.append(clock() - start)
    return times


def give_back() -> None:
    """Let glibc return freed memory as by default: beyond DEFAULT_MMAP_THRESHOLD_MAX and twice that (mallopt(3))."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        library.mallopt(M_TRIM_THRESHOLD, 64 << 20)


def ratio(theirs: list[float], ours: list[float]) -> float:
    """Median over the rounds."""
    return round(statistics.median(slow / quick for slow, quick in zip(theirs, ours, strict=True)), 2)


def batches(folder: Path, *, training: bool, batch: int = BATCH) -> Iterator[Any]:
    """A tutorial's batches, for ever."""
    augment = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()] if training else []
    transform = v2.Compose(
        [v2.ToImage(), *augment, v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(MEAN), list(STD))]
    )
    loader = DataLoader(ImageFolder(str(folder), transform), batch_size=batch, shuffle=training)
    while True:
        yield from loader


def net_of(name: str, **more: Any) -> Arch:
    """SMALL or MEDIUM."""
    what = {"classes": 10, "image_size": 32, "in_channels": 3, "norm": "batch", **NETS[name], **more}
    return Arch.model_validate(what).to_normal_form()


def run_of(name: str, what: Data | None = None, **more: Any) -> Run:
    """A run of SMALL or MEDIUM, for what a run is asked for: on digits, or in words alone."""
    chosen = what or Data(name="digits", image_size=32, channels=3)
    _, channels, _ = chosen.shape
    arch = net_of(name, **{"image_size": chosen.image_size, "in_channels": channels, **more})
    return Run(
        arch=arch,
        data=chosen,
        train=Train(batch_size=BATCH),
        fingerprint=sources.compute_data_fingerprint(chosen),
        seed=0,
    )


def pictures() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Smooth colours with noise, about as hard to decode as photographs: uint8, N x 32 x 32 x 3."""
    chance = np.random.default_rng(0)
    coarse = torch.from_numpy(chance.uniform(0, 255, (IMAGES, 3, 6, 6))).float()
    smooth = functional.interpolate(coarse, size=(32, 32), mode="bicubic").permute(0, 2, 3, 1).numpy()
    return (smooth + chance.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)


def write_images(folder: Path) -> None:
    """The pictures as JPEG files in ten class folders."""
    for index, picture in enumerate(pictures()):
        target = folder / str(index % 10)
        target.mkdir(exist_ok=True)
        Image.fromarray(picture).save(target / f"{index}.jpg", quality=95)


if __name__ == "__main__":
    main()
