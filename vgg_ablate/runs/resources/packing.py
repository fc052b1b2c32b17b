"""How many runs share a device: as many as fit by what runs have measured there (`--packing auto`).

The first run on a device trains alone. From then on a run is let in where what it takes, and what those take that train
there, stay within the device's memory less a margin. A size that was measured takes what it took at most; another takes
its prediction times the worst ratio of measured to predicted so far.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from vgg_ablate.records import Record, Run
from vgg_ablate.runs.resources import memory_fit
from vgg_ablate.runs.resources.memory_fit import predict_peak_bytes
from vgg_ablate.runs.resources.slots import Slot

MEMORY_MARGIN = 0.1  # of a device's memory, left free: fragments, workspaces, what the prediction misses
CUDA_CONTEXT_BYTES = (
    600 << 20
)  # bytes that a process holds of a GPU beside what torch reserves: CUDA's context, its kernels


@dataclass
class GpuPacking:
    """Who trains where, and what it takes there; in bytes."""

    slots: Sequence[Slot]
    _running: dict[str, tuple[str, int]] = field(default_factory=dict)  # key -> device, predicted
    _peaks: dict[int, int] = field(default_factory=dict)  # predicted -> measured, at most

    def devices(self, run: Run, free: Iterable[Slot], alive: Mapping[str, int]) -> list[str]:
        """Those of the free slots' devices that have room for the run, the emptiest first.

        `alive`: how many worker processes a device has, with those that wait.
        """
        there = list(dict.fromkeys(get_slot_device(slot) for slot in free))
        left = {
            device: self._left(device, predict_peak_bytes(run, graphs=True), alive.get(device, 0)) for device in there
        }
        return sorted((device for device in there if left[device] >= 0), key=lambda device: -left[device])

    def begin(self, run: Run, device: str) -> None:
        """It trains there."""
        self._running[run.key] = (device, predict_peak_bytes(run, graphs=True))

    def end(self, key: str, peak: int | None) -> None:
        """It has ended; `peak`, where it was measured."""
        _, size = self._running.pop(key)
        if peak is not None:
            self._peaks[size] = max(peak, self._peaks.get(size, 0))

    def estimate_capacity(self) -> int:
        """How many runs of the largest size measured fit; one a device before anything was measured."""
        largest = max(self._peaks.values(), default=None)
        return sum(1 if largest is None else count_fitting_runs(slots, largest) for slots in _by_device(self.slots))

    def _left(self, device: str, size: int, alive: int) -> float:
        """Bytes that stay free of what may be used, with the run let in; negative: it must wait."""
        running = [taken for where, taken in self._running.values() if where == device]
        slot = next(slot for slot in self.slots if get_slot_device(slot) == device)
        if not running:
            return float(slot.memory or 0)  # alone it may always try
        if not self._peaks or slot.memory is None:
            return -1.0
        processes = max(alive, len(running) + 1) * get_context_bytes(slot)
        return compute_usable_bytes(slot.memory) - processes - sum(map(self._taken, [*running, size]))

    def _taken(self, size: int) -> int:
        """What a run of this predicted size takes."""
        if size in self._peaks:
            return self._peaks[size]
        return round(size * max(peak / of for of, peak in self._peaks.items()))


def predict_slots(slots: Sequence[Slot], runs: Iterable[Run], records: Iterable[Record]) -> tuple[Slot, ...]:
    """The slots that will be used, by the prediction for the largest run; `records`: of this kind of device."""
    here = memory_fit.find_smallest_device(slots, records)
    sizes = {(run.arch, run.train.batch_size, run.train.micro_batch): run for run in runs}
    peak = max(here.peak(run) for run in sizes.values())
    return tuple(slot for of in _by_device(slots) for slot in of[: count_fitting_runs(of, peak)])


def count_fitting_runs(slots: Sequence[Slot], peak: int) -> int:
    """How many runs with this peak share the device of these slots; at least one, and no more than there are slots."""
    memory = slots[0].memory
    if memory is None or slots[0].gpu is None:
        return 1 if slots[0].gpu else len(slots)
    return max(1, min(len(slots), compute_usable_bytes(memory) // max(1, peak + get_context_bytes(slots[0]))))


def compute_usable_bytes(memory: int) -> int:
    """Bytes of a device that runs may fill."""
    return int((1 - MEMORY_MARGIN) * memory)


def get_context_bytes(slot: Slot) -> int:
    """Bytes of its device that the slot's process holds beside its run."""
    return CUDA_CONTEXT_BYTES if slot.device == "cuda" else 0


def _by_device(slots: Sequence[Slot]) -> list[list[Slot]]:
    return [list(of) for _, of in groupby(sorted(slots, key=get_slot_device), key=get_slot_device)]


def get_slot_device(slot: Slot) -> str:
    """The GPU's number, or `cpu`."""
    return slot.gpu or "cpu"
