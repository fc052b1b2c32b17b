"""Expansion of `train.ensemble`, whose nets are written as their differences from the variant's own arch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.overrides import set_at_path
from vgg_ablate.config.types import InvalidValueError


def expand_ensemble(study: Any) -> Any:
    """Return a copy of a study document in which every net of `train.ensemble` is a complete arch.

    A net is a preset's name, or fields and paths below `arch` with new values: `E`, `{preset: E}`, `{kernel: 5}`,
    `{head.hidden: [64]}`, or `{}` for the same arch again. Invalid nets stay as they are, for the validation of Arch.
    """
    train: Any = study.get("train") if isinstance(study, Mapping) else None
    nets = train.get("ensemble") if isinstance(train, Mapping) else None
    if not isinstance(nets, list) or not nets:
        return study
    arch = study.get("arch")
    # An invalid arch would be reported again for each net that inherits its mistake.
    expanded = [_apply_changes(arch, net) for net in nets] if _is_valid_arch(arch) else []
    return {**study, "train": {**train, "ensemble": expanded}}


def _is_valid_arch(value: Any) -> bool:
    try:
        Arch.model_validate(value)
    except ValidationError:
        return False
    return True


def _apply_changes(arch: Any, net: Any) -> Any:
    changes = {"preset": net} if isinstance(net, str) else net
    if not isinstance(changes, Mapping):
        return net
    document: dict[str, Any] = {"arch": arch if isinstance(arch, Mapping) else {"preset": arch}}
    for path, value in changes.items():
        try:
            document = set_at_path(document, f"arch.{path}", value)
        except InvalidValueError:  # keep the key, so that validation reports it as unknown at its place
            document = {"arch": {**document["arch"], path: value}}
    return document["arch"]
