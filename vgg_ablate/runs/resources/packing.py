"""GPU packing (`--runs-per-gpu auto`): several runs share a GPU if their measured memory fits.

The first run on a device trains alone. After that, a run may start on a device if its memory and that of the runs there
stay within the device's memory minus a margin. The memory of a run is the largest that was measured for its predicted
size; for a size that was not measured yet, it is the prediction times the worst ratio of measured to predicted so far:
in a search every net has another size, and one unknown net at a time would pack nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from vgg_ablate.records import Record, Run
from vgg_ablate.runs.resources import memory_fit
from vgg_ablate.runs.resources.memory_fit import predict_peak_bytes
from vgg_ablate.runs.resources.slots import Slot

# Part of a device's memory that stays free, for fragmentation, cuDNN workspaces and errors of the prediction.
MEMORY_MARGIN = 0.1
# Bytes that a process holds on a GPU besides the memory that torch reserves: the CUDA context and loaded kernels.
CUDA_CONTEXT_BYTES = 600 << 20


@dataclass
class GpuPacking:
    """The runs per device and their memory in bytes."""

    slots: Sequence[Slot]
    _running: dict[str, tuple[str, int]] = field(default_factory=dict)  # key -> device, predicted peak
    _peaks: dict[int, int] = field(default_factory=dict)  # predicted peak -> largest measured peak

    def find_devices(self, run: Run, free: Iterable[Slot], processes: Mapping[str, int]) -> list[str]:
        """Return the devices of the free slots that have room for the run, the one with most room first.

        `processes`: worker processes per device, idle ones included, since each holds a CUDA context.
        """
        predicted = predict_peak_bytes(run, graphs=True)
        devices = dict.fromkeys(get_slot_device(slot) for slot in free)
        room = {device: self._compute_room(device, predicted, processes.get(device, 0)) for device in devices}
        return sorted((device for device in room if room[device] >= 0), key=lambda device: -room[device])

    def begin(self, run: Run, device: str) -> None:
        """Record that a run starts on a device."""
        self._running[run.key] = (device, predict_peak_bytes(run, graphs=True))

    def end(self, key: str, peak: int | None) -> None:
        """Record that a run has ended, and its peak memory in bytes if it was measured."""
        _, predicted = self._running.pop(key)
        if peak is not None:
            self._peaks[predicted] = max(peak, self._peaks.get(predicted, 0))

    def estimate_capacity(self) -> int:
        """Return how many runs of the largest measured size fit on all devices; one per device before any ended."""
        largest = max(self._peaks.values(), default=None)
        return sum(1 if largest is None else count_fitting_runs(slots, largest) for slots in _group_slots(self.slots))

    def _compute_room(self, device: str, predicted: int, processes: int) -> float:
        """Return the usable bytes that stay free on a device with another run; negative if the run must wait."""
        running = [size for other, size in self._running.values() if other == device]
        slot = next(slot for slot in self.slots if get_slot_device(slot) == device)
        if not running:
            return float(slot.memory or 0)  # a run may always try alone, whatever the prediction
        # Until one run has ended, nothing shows how far the predictions are off: one run at a time.
        if not self._peaks or slot.memory is None:
            return -1.0
        # A new process is started only if every one on the device has a run.
        contexts = max(processes, len(running) + 1) * get_context_bytes(slot)
        return compute_usable_bytes(slot.memory) - contexts - sum(map(self._estimate_peak, [*running, predicted]))

    def _estimate_peak(self, predicted: int) -> int:
        """Return the peak of a run from its predicted peak, in bytes."""
        if predicted in self._peaks:
            return self._peaks[predicted]
        # The worst ratio so far: a run that is let in and does not fit costs more than one that waits.
        return round(predicted * max(measured / size for size, measured in self._peaks.items()))


def predict_slots(slots: Sequence[Slot], runs: Iterable[Run], records: Iterable[Record]) -> tuple[Slot, ...]:
    """Return the slots that packing will use, from the predicted peak of the largest run.

    `records` of runs on this kind of device correct the prediction.
    """
    device = memory_fit.find_smallest_device(slots, records)
    # Runs that differ in seed or learning rate have the same peak: predict once per size.
    sizes = {(run.arch, run.train.batch_size, run.train.micro_batch): run for run in runs}
    peak = max(device.predict_peak(run) for run in sizes.values())
    return tuple(slot for group in _group_slots(slots) for slot in group[: count_fitting_runs(group, peak)])


def count_fitting_runs(slots: Sequence[Slot], peak: int) -> int:
    """Return how many runs with this peak (bytes) can share the device of these slots: 1 to `len(slots)`."""
    memory = slots[0].memory
    if memory is None or slots[0].gpu is None:
        return 1 if slots[0].gpu else len(slots)
    return max(1, min(len(slots), compute_usable_bytes(memory) // max(1, peak + get_context_bytes(slots[0]))))


def compute_usable_bytes(memory: int) -> int:
    """Return the bytes of a device's memory that runs may fill."""
    return int((1 - MEMORY_MARGIN) * memory)


def get_context_bytes(slot: Slot) -> int:
    """Return the bytes that a worker process holds on its device besides its run."""
    return CUDA_CONTEXT_BYTES if slot.device == "cuda" else 0


def _group_slots(slots: Sequence[Slot]) -> list[list[Slot]]:
    """Group slots by device."""
    return [list(group) for _, group in groupby(sorted(slots, key=get_slot_device), key=get_slot_device)]


def get_slot_device(slot: Slot) -> str:
    """Return the name of a slot's device: the GPU's number, or `cpu`."""
    return slot.gpu or "cpu"
