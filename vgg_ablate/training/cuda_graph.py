"""A training step as one CUDA graph, which launches hundreds of kernels at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_REHEARSALS = 3  # steps before recording: cuDNN chooses its algorithms, and optimisers allocate their state

ListTensors = Callable[[], Iterable[Tensor]]


def record_step(step: Callable[[], None], list_state: ListTensors, device: torch.device) -> Callable[[], None]:
    """Return a function that replays `step`, and leave the training as it was.

    `step` must read and write tensors that stay where they are in memory; `list_state` lists those that it changes.
    """
    with torch.cuda.device(device):
        # On a side stream, as torch's notes on CUDA graphs require: autograd would otherwise tie the gradients to the
        # default stream, which cannot be captured.
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            rehearse_step(step, list_state, [device])
        torch.cuda.current_stream().wait_stream(side_stream)
        graph = torch.cuda.CUDAGraph()
        # Recording runs nothing: it notes the kernels, and reserves memory that only this graph uses.
        with torch.cuda.graph(graph):
            step()
    return graph.replay


def rehearse_step(step: Callable[[], None], list_state: ListTensors, devices: list[torch.device]) -> None:
    """Run steps and restore everything that they changed.

    State that the steps created, such as momenta, becomes 0, with which optimisers start.
    """
    before = {id(tensor): tensor.detach().clone() for tensor in list_state()}
    # The rehearsals draw dropout masks: the fork keeps these out of the numbers that the training draws.
    with torch.random.fork_rng(devices=devices):
        for _ in range(_REHEARSALS):
            step()
    with torch.no_grad():
        for tensor in list_state():
            if id(tensor) in before:
                tensor.copy_(before[id(tensor)])
            else:
                tensor.zero_()
