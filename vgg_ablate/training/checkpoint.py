"""The checkpoint of an unfinished training.

Contract: one file, replaced whole at the end of an epoch, that is read without running code from it. A training that
continues from it equals one that was never interrupted, bit for bit. It is used only for the same training key in the
same environment; otherwise the training starts anew.
"""

from __future__ import annotations

import os
import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import torch

from vgg_ablate.errors import StorageError
from vgg_ablate.records import Epoch

FORMAT_VERSION = 4


class NetState(NamedTuple):
    """One net after an epoch. Random generators need no state: every epoch is seeded anew (data/rng.py)."""

    epochs: tuple[Epoch, ...]  # of this net, so far
    pretrained: list[str]  # layers that were copied from another net
    net: dict[str, Any]  # state_dict
    optimiser: dict[str, Any]  # state_dict; field names are keys of the file, so they keep their spelling
    micro_batch: int  # examples that pass through the net at once: fewer than in the recipe where memory ran out


class Checkpoint(NamedTuple):
    """The state of a training after an epoch."""

    key: str  # training key: runs that share it share the checkpoint
    epochs: tuple[Epoch, ...]  # of all nets together, so far
    nets: tuple[NetState, ...]
    environment: dict[str, Any]  # what the result depends on besides the run: device, threads, precision


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`. Raises StorageError."""
    content = {
        "format": FORMAT_VERSION,
        **_convert_to_plain(checkpoint),
        "nets": [_convert_to_plain(net) for net in checkpoint.nets],
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch_path = tempfile.mkstemp(prefix=".", suffix=".aside", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())  # before the rename: a power cut must not leave an empty file under the name
        os.replace(scratch_path, path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def read_checkpoint(path: Path, key: str, environment: dict[str, Any]) -> Checkpoint | None:
    """Return the checkpoint of this training in this environment; None where there is none or it is another's.

    Raises StorageError where the file cannot be read or is damaged.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    try:
        with file:  # opened once: another run with the same training key may finish and remove it meanwhile
            if not zipfile.is_zipfile(file):  # torch would try to read it as a pickle of its old format
                raise StorageError(f"{path}: not a checkpoint")
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise StorageError(f"{path}: not a checkpoint: {str(error).splitlines()[0]}") from error
    if content.pop("format", None) != FORMAT_VERSION or content["key"] != key or content["environment"] != environment:
        return None
    nets = tuple(NetState(**{**net, "epochs": _read_epochs(net)}) for net in content["nets"])
    return Checkpoint(**{**content, "epochs": _read_epochs(content), "nets": nets})


def _convert_to_plain(state: Checkpoint | NetState) -> dict[str, Any]:
    """Return a mapping without our classes, which `weights_only` would refuse to load."""
    return {**state._asdict(), "epochs": [epoch.model_dump() for epoch in state.epochs]}


def _read_epochs(content: dict[str, Any]) -> tuple[Epoch, ...]:
    return tuple(Epoch(**epoch) for epoch in content["epochs"])
