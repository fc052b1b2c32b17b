"""How much memory a run will need at its peak: what models/memory.py counts, and what this room adds to it. No torch.

Added: in bf16 a copy of the weights in two bytes; the gradients of two neighbouring maps, which live at once in the
backward pass; the batch's images in fp32; the resident examples, 4 bytes a padded pixel of three channels, 1 of one.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

from vgg_ablate.config.training import Sgd
from vgg_ablate.models.layers import Activation, Conv, Dense, Layer, Norm, Pool, build_layers
from vgg_ablate.models.memory import estimate_training_memory
from vgg_ablate.records import Run


def estimate_peak_bytes(run: Run, *, examples: int, precision: Literal["fp32", "bf16"], graphs: bool = False) -> int:
    """Bytes at the peak of a training step, beside Python and its libraries; `examples`: those of all splits.

    The nets of an ensemble all stay; their steps follow one another, so that what a batch takes is that of the largest.
    `graphs`: steps are recorded (training/cuda_graph.py), and every net's graph keeps the memory of its own.
    """
    each = [_of_net(net, precision) for net in run.nets]
    passing = [passes for _, passes in each]
    resident = examples * _bytes_of_example(run) * len(each)
    return sum(stays for stays, _ in each) + (sum(passing) if graphs else max(passing)) + resident


def _of_net(run: Run, precision: Literal["fp32", "bf16"]) -> tuple[int, int]:
    """What stays between two steps, and what a batch adds."""
    batch = run.train.micro_batch or run.train.batch_size
    each, states = (2 if precision == "bf16" else 4), (1 if isinstance(run.train.optimizer, Sgd) else 2)
    net = estimate_training_memory(run.arch, batch, precision_bytes=each, states=states)
    copies = net.weights // 2 if precision == "bf16" else 0
    passing = max(_elements(before) + _elements(after) for before, after in pairwise(build_layers(run.arch)))
    image = (run.arch.image_size or 0) ** 2 * (run.arch.in_channels or 0)
    stays = net.weights + net.gradients + net.optimiser + copies
    return stays, net.activations + batch * (passing * each + image * 4)


def _elements(layer: Layer) -> int:
    """Values of the layer's output for one example."""
    match layer:
        case Conv() | Pool() | Norm() | Activation():
            return layer.channels * layer.size**2
        case Dense():
            return layer.features
        case _:
            return 0


def _bytes_of_example(run: Run) -> int:
    side = (run.arch.image_size or 0) + 2 * run.data.augment.crop_padding
    return side**2 * (4 if run.arch.in_channels == 3 else 1)
