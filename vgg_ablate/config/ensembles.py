"""`train.ensemble`: further nets, each written as what differs from the variant's own arch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.overrides import set_at_path
from vgg_ablate.config.types import InvalidValueError


def expand_ensemble(study: Any) -> Any:
    """A study as written, with every net of `train.ensemble` as a whole arch; the study given is left as it is.

    A net is a preset's name, or fields and paths below `arch` with their new values: `E`, `{preset: E}`, `{kernel: 5}`,
    `{head.hidden: [64]}`, and `{}` for the same arch once more. What cannot be read so is left to the arch's check.
    """
    train: Any = study.get("train") if isinstance(study, Mapping) else None
    nets = train.get("ensemble") if isinstance(train, Mapping) else None
    if not isinstance(nets, list) or not nets:
        return study
    arch = study.get("arch")
    whole = [_changed(arch, net) for net in nets] if _is_arch(arch) else []  # one error for an arch, not one a net
    return {**study, "train": {**train, "ensemble": whole}}


def _is_arch(given: Any) -> bool:
    try:
        Arch.model_validate(given)
    except ValidationError:
        return False
    return True


def _changed(arch: Any, net: Any) -> Any:
    changes = {"preset": net} if isinstance(net, str) else net
    if not isinstance(changes, Mapping):
        return net
    document: dict[str, Any] = {"arch": arch if isinstance(arch, Mapping) else {"preset": arch}}
    for path, value in changes.items():
        try:
            document = set_at_path(document, f"arch.{path}", value)
        except InvalidValueError:
            document = {"arch": {**document["arch"], path: value}}
    return document["arch"]
