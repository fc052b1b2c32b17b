"""The fit of a run into memory: its predicted peak against the memory of the device on which it will train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from vgg_ablate.formatting import numbers
from vgg_ablate.records import Record, Run
from vgg_ablate.runs.resources import dataset_size
from vgg_ablate.runs.resources.slots import Slot
from vgg_ablate.training.memory import estimate_example_bytes, estimate_peak_bytes

_STREAMING_SHARE = 0.5  # of a device's memory; larger data sets are streamed from the disk (data/streaming)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """The memory of a device and the number of runs that share it."""

    device: str
    memory_bytes: int | None  # None: unknown
    together: int
    beside_bytes: int | None = None  # measured memory of Python and libraries per worker; None: not measured
    graphs: bool = False  # whether training steps are recorded as CUDA graphs, which keep the memory of every net

    def predict_peak(self, run: Run) -> int:
        """Return the predicted peak memory of a run on this device, in bytes."""
        return predict_peak_bytes(run, self.memory_bytes, graphs=self.graphs) + (self.beside_bytes or 0)

    def find_hindrance(self, run: Run, peak: int) -> str | None:
        """Return why a run with this peak (bytes) does not fit, and what would help; None if it does."""
        if self.memory_bytes is None or self.together * peak <= self.memory_bytes:
            return None
        available = f"{self.device} has {numbers.format_bytes(self.memory_bytes)}"
        if peak > self.memory_bytes:
            remedy = ""
            if run.train.micro_batch != 1:
                least = estimate_peak_bytes(
                    _use_micro_batches_of_one(run), examples=0, precision=_predict_precision(run), graphs=self.graphs
                )
                remedy = f"; train.micro_batch=1 would need {numbers.format_bytes(least)}"
            return f"will not fit: predicted peak memory {numbers.format_bytes(peak)}, {available}{remedy}"
        prediction = f"predicted peak memory {numbers.format_bytes(peak)} each, {available}"
        return f"{self.together} at once will not fit: {prediction}: room for {self.memory_bytes // peak}"


def find_smallest_device(slots: Sequence[Slot], records: Iterable[Record] = ()) -> DeviceMemory:
    """Return the device of these slots with the least memory per slot.

    `records` of runs on this kind of device show what Python and its libraries take besides the prediction.
    """
    slots_per_device = Counter((slot.gpu, slot.memory) for slot in slots)
    gpu, memory = min(slots_per_device, key=lambda device: (device[1] or float("inf")) / slots_per_device[device])
    measured = [(record.run, int(record.environment.get("peak_bytes") or 0)) for record in records]
    graphs = gpu is not None
    beside = [peak - predict_peak_bytes(run, memory, graphs=graphs) for run, peak in measured if peak]
    return DeviceMemory(
        device="this machine" if gpu is None else f"GPU {gpu}",
        memory_bytes=memory,
        together=slots_per_device[gpu, memory],
        beside_bytes=max(0, round(median(beside))) if beside else None,
        graphs=graphs,
    )


def predict_peak_bytes(run: Run, memory: int | None = None, *, graphs: bool = False) -> int:
    """Return the predicted peak of a training without libraries, in bytes.

    `memory`: bytes of the device; examples that would fill more than half of it are streamed and do not count.
    """
    precision, examples = _predict_precision(run), dataset_size.count_examples(run.data)
    without_examples = estimate_peak_bytes(run, examples=0, precision=precision, graphs=graphs)
    example_bytes = estimate_example_bytes(run, examples)
    is_streamed = memory is not None and example_bytes > _STREAMING_SHARE * memory
    return without_examples if is_streamed else without_examples + example_bytes


def _use_micro_batches_of_one(run: Run) -> Run:
    return run.model_copy(update={"train": run.train.model_copy(update={"micro_batch": 1})})


def _predict_precision(run: Run) -> Literal["fp32", "bf16"]:
    """Return the precision to predict with: `auto` is resolved where the run trains, and fp32 takes more memory."""
    return "bf16" if run.train.precision == "bf16" else "fp32"
