"""Where an unfinished run goes on from: one file, replaced whole at the end of an epoch, read without running code."""

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
    """One net after an epoch. Chance needs no state: every epoch draws anew (data/rng.py)."""

    epochs: tuple[Epoch, ...]  # its own, so far
    pretrained: list[str]  # layers that came from another net
    net: dict[str, Any]
    optimiser: dict[str, Any]
    micro_batch: int  # examples that went through the net at once: fewer than asked for where memory has run out


class Checkpoint(NamedTuple):
    """All that a training knows after an epoch."""

    key: str  # of the training: runs that share it share the checkpoint
    epochs: tuple[Epoch, ...]  # so far, of all its nets together
    nets: tuple[NetState, ...]
    environment: dict[str, Any]  # what the result depends on: device, threads, precision


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Replace the file at `path`. Raises StorageFailed."""
    content = {"format": FORMAT_VERSION, **_plain(checkpoint), "nets": [_plain(net) for net in checkpoint.nets]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, aside = tempfile.mkstemp(prefix=".", suffix=".aside", dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


def read_checkpoint(path: Path, key: str, environment: dict[str, Any]) -> Checkpoint | None:
    """The checkpoint of this training in this environment; None where there is none, so that the run starts afresh."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    try:
        with file:  # opened once: another run of the same training may remove it meanwhile
            if not zipfile.is_zipfile(file):  # torch would take it for a pickle of old
                raise StorageError(f"{path}: not a checkpoint")
            file.seek(0)
            content = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise StorageError(f"{path}: not a checkpoint: {str(error).splitlines()[0]}") from error
    if content.pop("format", None) != FORMAT_VERSION or content["key"] != key or content["environment"] != environment:
        return None
    nets = tuple(NetState(**{**net, "epochs": _epochs(net)}) for net in content["nets"])
    return Checkpoint(**{**content, "epochs": _epochs(content), "nets": nets})


def _plain(kept: Checkpoint | NetState) -> dict[str, Any]:
    """Without classes of ours, so that it can be read without running code."""
    return {**kept._asdict(), "epochs": [epoch.model_dump() for epoch in kept.epochs]}


def _epochs(content: dict[str, Any]) -> tuple[Epoch, ...]:
    return tuple(Epoch(**epoch) for epoch in content["epochs"])
