"""Will a run fit? Its predicted peak beside the memory of the device on which it is to train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from vgg_ablate.records import Record, Run
from vgg_ablate.runs.resources import dataset_size
from vgg_ablate.runs.resources.slots import Slot
from vgg_ablate.training.memory import estimate_peak_bytes

_STREAMED = 0.5  # of the memory: examples that would fill more are read from the disk (data/streaming)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceMemory:
    """The device with the least memory, and how many runs share it."""

    device: str
    memory_bytes: int | None  # None: the system does not say
    together: int
    beside_bytes: int | None = None  # what a worker takes beside the prediction, as measured; None: nothing was
    graphs: bool = False  # training steps are recorded there, and every net keeps its memory

    def peak(self, run: Run) -> int:
        """Predicted bytes of a run here."""
        return predict_peak_bytes(run, self.memory_bytes, graphs=self.graphs) + (self.beside_bytes or 0)

    def hindrance(self, run: Run, peak: int) -> str | None:
        """Why a run with this peak does not fit, alone or beside its like, and what to do; None where it does."""
        if self.memory_bytes is None or self.together * peak <= self.memory_bytes:
            return None
        has = f"{self.device} has {format_gibibytes(self.memory_bytes)}"
        if peak > self.memory_bytes:
            one = estimate_peak_bytes(_in_ones(run), examples=0, precision=_precision(run), graphs=self.graphs)
            least = f"; train.micro_batch=1 would need {format_gibibytes(one)}" if run.train.micro_batch != 1 else ""
            return f"will not fit: predicted peak memory {format_gibibytes(peak)}, {has}{least}"
        share = f"predicted peak memory {format_gibibytes(peak)} each, {has}: room for {self.memory_bytes // peak}"
        return f"{self.together} at once will not fit: {share}"


def find_smallest_device(slots: Sequence[Slot], records: Iterable[Record] = ()) -> DeviceMemory:
    """The device of these slots that has the least room; `records` of it say what Python and its libraries take."""
    sharing = Counter((slot.gpu, slot.memory) for slot in slots)
    gpu, memory = min(sharing, key=lambda device: (device[1] or float("inf")) / sharing[device])
    measured = [(record.run, int(record.environment.get("peak_bytes") or 0)) for record in records]
    graphs = gpu is not None
    beside = [peak - predict_peak_bytes(run, memory, graphs=graphs) for run, peak in measured if peak]
    return DeviceMemory(
        device="this machine" if gpu is None else f"GPU {gpu}",
        memory_bytes=memory,
        together=sharing[gpu, memory],
        beside_bytes=max(0, round(median(beside))) if beside else None,
        graphs=graphs,
    )


def predict_peak_bytes(run: Run, memory: int | None = None, *, graphs: bool = False) -> int:
    """Bytes at the peak of its training, without libraries; examples that would fill the memory are not counted."""
    precision, held = _precision(run), dataset_size.count_examples(run.data)
    alone = estimate_peak_bytes(run, examples=0, precision=precision, graphs=graphs)
    whole = estimate_peak_bytes(run, examples=held, precision=precision, graphs=graphs)
    return alone if memory is not None and whole - alone > _STREAMED * memory else whole


def format_gibibytes(count: int) -> str:
    """`7.5 GiB`."""
    return f"{count / 2**30:,.1f} GiB"


def _in_ones(run: Run) -> Run:
    return run.model_copy(update={"train": run.train.model_copy(update={"micro_batch": 1})})


def _precision(run: Run) -> Literal["fp32", "bf16"]:
    """What `auto` comes to is known where it trains: the larger is predicted."""
    return "bf16" if run.train.precision == "bf16" else "fp32"
