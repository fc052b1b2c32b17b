"""A step as one CUDA graph: hundreds of kernels launched at once. On a CPU it is the step itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

_REHEARSALS = 3  # before a graph is recorded: libraries choose their algorithms, optimisers make their state

ListTensors = Callable[[], Iterable[Tensor]]


def record_step(step: Callable[[], None], state: ListTensors, device: torch.device) -> Callable[[], None]:
    """What replays `step`, which reads and writes tensors that stay where they are; `state` lists those it changes."""
    if device.type != "cuda":
        return step
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            rehearse_step(step, state, [device])
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
    return graph.replay


def rehearse_step(step: Callable[[], None], state: ListTensors, devices: list[torch.device]) -> None:
    """Take steps, and put everything back: what was there to its values, what a step made (momenta) to 0."""
    before = {id(tensor): tensor.detach().clone() for tensor in state()}
    with torch.random.fork_rng(devices=devices):
        for _ in range(_REHEARSALS):
            step()
    with torch.no_grad():
        for tensor in state():
            if id(tensor) in before:
                tensor.copy_(before[id(tensor)])
            else:
                tensor.zero_()
