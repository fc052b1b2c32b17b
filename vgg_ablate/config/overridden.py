"""Studies with overrides that train something else: they get a name, and so a results folder, of their own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vgg_ablate.config.registration import build_deciding_content
from vgg_ablate.config.study import Study, load
from vgg_ablate.errors import SpecError

_HASH_DIGITS = 6
_MAX_NAME = 80


def load_with_own_name(path: str | Path, overrides: Sequence[str]) -> Study:
    """Read a study file with overrides, and name the study after its own training.

    Overrides that change what is trained, such as train.epochs=1, would otherwise replace the results of the file's
    study: the name gets a hash of what is trained, unless an override sets `name`. Raises SpecError.
    """
    study = load(path, overrides)
    if not overrides or any(override.partition("=")[0] == "name" for override in overrides):
        return study
    content = _select_trained(study)
    try:
        if content == _select_trained(load(path)):
            return study
    except SpecError:  # the file alone is no valid study
        pass
    # Not `hash_content`: names of existing results folders end in this digest.
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_HASH_DIGITS]
    return study.with_name(f"{study.name[: _MAX_NAME - _HASH_DIGITS - 1]}-{digest}")


def _select_trained(study: Study) -> dict[str, Any]:
    """Return what decides which runs are trained: not the claims, and not the smallest effect."""
    content = build_deciding_content(study)
    return {key: value for key, value in content.items() if key not in ("claims", "smallest_effect")}
