"""Compare the speed of the package's training loop with that of a PyTorch tutorial.

    python benchmarks/loop.py [--json] [--rounds 7] [--device cpu|cuda]

One thread, CPU time, both loops in turns in one process, so that other load slows both alike. A ratio is the median
over the rounds of (tutorial's seconds / ours) for the same number of images.

small, medium  a training step with its data (SMALL and MEDIUM below; batch 128, on a GPU 512 for MEDIUM; 32 x 32 x 3)
evaluation     evaluating a split, with its data; evaluation_net: the net alone
data           crops, flips and normalization alone, against ImageFolder and torchvision.transforms.v2
curve          mean loss of the last third of a training on digits, ours minus plain torch in fp32 on the same batches

In our turns memory that a step frees is kept for the next one (training/memory.py). In the tutorial's turns glibc
returns it to the system as in a script of its own, at the highest thresholds that its own adaptation reaches, so never
more often than there. Every turn begins with an uncounted call, since the other loop has left its memory behind.

The tutorial: ImageFolder + DataLoader + v2 transforms, fp32, NCHW, SGD, `.item()` every step. On a GPU the times are
wall times, our step is a CUDA graph, and images_per_second is what SMALL and MEDIUM train on.
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

import numpy as np  # after OMP_NUM_THREADS is set, which OpenMP reads once
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
from vgg_ablate.training.device import choose_precision, describe_environment, resolve_device
from vgg_ablate.training.evaluate import evaluate_split
from vgg_ablate.training.fusion import fold_batch_norms
from vgg_ablate.training.memory import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory
from vgg_ablate.training.optimizers import build_optimizer
from vgg_ablate.training.settings import TrainingSettings
from vgg_ablate.training.step import TrainStep

BATCH_SIZE = 128
IMAGES = 1024
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
NETS = {
    "small": {"stages": "32 32 | 64 64 | 128 128", "head": {"hidden": [128]}},
    "medium": {"stages": "64 64 | 128 128 | 256 256 | 512 512", "head": {"hidden": [512]}},
}


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        figures = measure_all(Path(folder), arguments.rounds, resolve_device(arguments.device))
    if arguments.json:
        print(json.dumps(figures, indent=1))
    else:
        for name, value in figures.items():
            print(f"{name:20} {value}")


def measure_all(folder: Path, rounds: int, device: torch.device) -> dict[str, Any]:
    """Return every figure that the module's docstring names, and the environment."""
    write_images(folder)
    figures: dict[str, Any] = {}
    for name in NETS:
        figures |= measure_training(name, folder, rounds, device)
    figures |= measure_evaluation(folder, rounds, device)
    figures |= measure_data(folder, rounds, device)
    figures["curve"] = round(compare_curves(), 4)
    environment = describe_environment(make_run("small"), TrainingSettings(device=str(device)))
    return figures | {"rounds": rounds, "environment": environment}


def measure_training(name: str, folder: Path, rounds: int, device: torch.device) -> dict[str, Any]:
    """Measure training steps with their data."""
    batch_size = 512 if (name, device.type) == ("medium", "cuda") else BATCH_SIZE
    tutorial, ours = TutorialTraining(name, folder, device, batch_size), OurTraining(name, device, batch_size)
    tutorial_times, our_times = time_in_turns(rounds, device, tutorial.run_step, ours.run_step)
    images_per_second = round(batch_size / statistics.median(our_times))
    return {name: compute_ratio(tutorial_times, our_times), f"{name}_images_per_second": images_per_second}


def measure_evaluation(folder: Path, rounds: int, device: torch.device) -> dict[str, Any]:
    """Measure the evaluation of images by SMALL, with their data and by the net alone."""
    ours = OurTraining("small", device)
    ours.run_step()
    tutorial_net = build_model(make_arch("small"), torch.Generator().manual_seed(0)).to(device).eval()
    our_net = fold_batch_norms(ours.net, torch.bfloat16 if ours.precision == "bf16" else torch.float32)
    images = torch.randn(BATCH_SIZE, 3, 32, 32, device=device)
    our_images = images.to(next(our_net.parameters()).dtype).contiguous(memory_format=torch.channels_last)
    loader = iterate_tutorial_batches(folder, training=False)

    def evaluate_tutorial() -> None:
        correct = 0
        with torch.no_grad():
            for _, (batch, labels) in zip(range(4), loader, strict=False):
                correct += (tutorial_net(batch.to(device)).argmax(1) == labels.to(device)).sum().item()

    def evaluate_ours() -> None:
        split = Split(ours.images[: 4 * BATCH_SIZE], ours.labels[: 4 * BATCH_SIZE])
        evaluate_split(ours.net, split, ours.normalize, ours.precision, 32, Evaluate()).compute_accuracy()

    @torch.inference_mode()
    def run_net(net: nn.Module, batch: Tensor) -> None:
        net(batch)

    with_data = time_in_turns(rounds, device, evaluate_tutorial, evaluate_ours)
    net_alone = time_in_turns(
        rounds, device, lambda: run_net(tutorial_net, images), lambda: run_net(our_net, our_images)
    )
    return {"evaluation": compute_ratio(*with_data), "evaluation_net": compute_ratio(*net_alone)}


def measure_data(folder: Path, rounds: int, device: torch.device) -> dict[str, Any]:
    """Measure the making of training batches that nothing is done with."""
    loader, ours = iterate_tutorial_batches(folder, training=True), OurTraining("small", device)

    def make_batches() -> None:
        ours.augmenter.begin_epoch(1)
        for start in range(0, IMAGES, BATCH_SIZE):
            ours.augmenter.make_batch(ours.order[start : start + BATCH_SIZE])

    tutorial_times, our_times = time_in_turns(rounds, device, lambda: [next(loader) for _ in range(8)], make_batches)
    images_per_second = round(IMAGES / statistics.median(our_times))
    return {"data": compute_ratio(tutorial_times, our_times), "data_images_per_second": images_per_second}


def compare_curves(steps: int = 150) -> float:
    """Train on digits as the package does and in plain fp32 torch, on the same batches.

    Return the difference, ours minus plain, of the mean losses over the last third of the steps.
    """
    run = make_run("small", Data(name="digits", image_size=16), stages="16 16 | 32 32", classes=10)
    splits = load_splits(run.data, run.fingerprint, 0, torch.device("cpu"))
    our_net, plain_net = (build_model(run.arch, torch.Generator().manual_seed(0)).train() for _ in range(2))
    augmenter = Augmenter.prepare(Augment(), splits.train.images, 16, Normalizer(splits.mean, splits.std), 0)
    our_net = our_net.to(memory_format=torch.channels_last)
    precision = choose_precision(run, TrainingSettings())
    optimizer = build_optimizer(run.train, our_net)
    step = TrainStep.prepare(our_net, optimizer, augmenter, splits.train.labels, run.train, precision, BATCH_SIZE)
    plain_optimizer = torch.optim.SGD(plain_net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    generator = torch.Generator().manual_seed(0)
    our_losses: list[float] = []
    plain_losses: list[float] = []
    for _ in range(steps):
        examples = torch.randint(0, len(splits.train), (BATCH_SIZE,), generator=generator)
        step.begin_epoch(1)
        step.update(examples, 0.05)
        our_losses.append(step.compute_mean_loss(1))
        logits = plain_net(augmenter.make_batch(examples).contiguous())
        loss = functional.cross_entropy(logits, splits.train.labels[examples])
        plain_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        plain_optimizer.step()
        plain_losses.append(loss.item())
    return statistics.fmean(our_losses[-steps // 3 :]) - statistics.fmean(plain_losses[-steps // 3 :])


class TutorialTraining:
    """A training loop as tutorials write it."""

    def __init__(self, name: str, folder: Path, device: torch.device, batch_size: int) -> None:
        self.device = device
        self.net = build_model(make_arch(name), torch.Generator().manual_seed(0)).to(device).train()
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        self.loader = iterate_tutorial_batches(folder, training=True, batch_size=batch_size)
        self.total_loss = 0.0

    def run_step(self) -> None:
        """Train on the next batch."""
        images, labels = (part.to(self.device) for part in next(self.loader))
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.net(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.total_loss += loss.item()


class OurTraining:
    """The package's training step, on resident images."""

    def __init__(self, name: str, device: torch.device, batch_size: int = BATCH_SIZE) -> None:
        run = make_run(name)
        net = build_model(run.arch, torch.Generator().manual_seed(0))
        self.precision = choose_precision(run, TrainingSettings(device=str(device)))
        self.images = torch.from_numpy(draw_images()).to(device)
        self.labels = (torch.arange(IMAGES) % 10).to(device)
        self.normalize = Normalizer(torch.tensor(MEAN, device=device) * 255, torch.tensor(STD, device=device) * 255)
        self.augmenter = Augmenter.prepare(Augment(crop_padding=4, flip=True), self.images, 32, self.normalize, 0)
        self.net = net.to(device).to(memory_format=torch.channels_last).train()
        optimizer = build_optimizer(run.train, self.net)
        self.step = TrainStep.prepare(
            self.net, optimizer, self.augmenter, self.labels, run.train, self.precision, batch_size
        )
        self.step.begin_epoch(1)
        self.order = torch.randperm(IMAGES).to(device)
        self.batch_size = batch_size
        self.next_example = 0

    def run_step(self) -> None:
        """Train on the next batch."""
        self.step.update(self.order[self.next_example : self.next_example + self.batch_size], 0.05)
        self.next_example = (self.next_example + self.batch_size) % IMAGES


def time_in_turns(
    rounds: int, device: torch.device, run_tutorial: Callable[[], object], run_ours: Callable[[], object]
) -> tuple[list[float], list[float]]:
    """Return the seconds of each loop per round: CPU time, or wall time on a GPU. The first round is not counted."""
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds + 1):
        turns = zip((run_tutorial, run_ours), (return_freed_memory, keep_freed_memory), times, strict=True)
        for run_loop, set_allocator, seconds in turns:
            set_allocator()
            for _ in range(2):  # the second counts
                start = clock()
                run_loop()
                if device.type == "cuda":
                    torch.cuda.synchronize()
            if number:
                seconds.append(clock() - start)
    return times


def return_freed_memory() -> None:
    """Make glibc return freed memory at its default's highest thresholds: 32 MB, and twice that (mallopt(3))."""
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 32 << 20)
        library.mallopt(M_TRIM_THRESHOLD, 64 << 20)


def compute_ratio(tutorial_times: list[float], our_times: list[float]) -> float:
    """Return the median over the rounds of tutorial's seconds / ours."""
    return round(statistics.median(slow / fast for slow, fast in zip(tutorial_times, our_times, strict=True)), 2)


def iterate_tutorial_batches(folder: Path, *, training: bool, batch_size: int = BATCH_SIZE) -> Iterator[Any]:
    """Yield the tutorial's batches without end."""
    augment = [v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip()] if training else []
    transform = v2.Compose(
        [v2.ToImage(), *augment, v2.ToDtype(torch.float32, scale=True), v2.Normalize(list(MEAN), list(STD))]
    )
    loader = DataLoader(ImageFolder(str(folder), transform), batch_size=batch_size, shuffle=training)
    while True:
        yield from loader


def make_arch(name: str, **changes: Any) -> Arch:
    """Return SMALL or MEDIUM, with these changes."""
    options = {"classes": 10, "image_size": 32, "in_channels": 3, "norm": "batch", **NETS[name], **changes}
    return Arch.model_validate(options).to_normal_form()


def make_run(name: str, data: Data | None = None, **changes: Any) -> Run:
    """Return a run of SMALL or MEDIUM on `data`, by default on digits enlarged to 32 x 32 x 3."""
    data = data or Data(name="digits", image_size=32, channels=3)
    arch = make_arch(name, **{"image_size": data.image_size, "in_channels": data.shape.channels, **changes})
    fingerprint = sources.compute_data_fingerprint(data)
    return Run(arch=arch, data=data, train=Train(batch_size=BATCH_SIZE), fingerprint=fingerprint, seed=0)


def draw_images() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return smooth colors with noise, about as hard to decode as photographs: uint8, N x 32 x 32 x 3."""
    generator = np.random.default_rng(0)
    coarse = torch.from_numpy(generator.uniform(0, 255, (IMAGES, 3, 6, 6))).float()
    smooth = functional.interpolate(coarse, size=(32, 32), mode="bicubic").permute(0, 2, 3, 1).numpy()
    return (smooth + generator.normal(0, 8, smooth.shape)).clip(0, 255).astype(np.uint8)


def write_images(folder: Path) -> None:
    """Write the images as JPEG files in ten class folders."""
    for index, image in enumerate(draw_images()):
        class_folder = folder / str(index % 10)
        class_folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(class_folder / f"{index}.jpg", quality=95)


if __name__ == "__main__":
    main()
