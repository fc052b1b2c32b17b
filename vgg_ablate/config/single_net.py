"""One net that no study has written down: a preset's name, or stages in the compact notation."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.config.study import Variant
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.yaml_loader import Document, build_problems
from vgg_ablate.errors import Problem, SpecError, find_nearest

_IMAGENET = {"image_size": 224, "in_channels": 3, "classes": 1000}


def build_single_net(target: str, shape: Mapping[str, int]) -> Variant:
    """The net as the base of a study, for ImageNet's images where `shape` says no other. Raises SpecError."""
    stages = target[:1].isdigit()
    if target not in PRESETS and not stages:
        rule = f"neither a preset, nor a study file (.yaml), nor stages; the presets are {', '.join(PRESETS)}"
        raise SpecError(Problem(rule, got=target, nearest=find_nearest(target, PRESETS)))
    written = {"stages": target} if stages else {"preset": target}
    try:
        arch = Arch.model_validate({**written, **_IMAGENET, **shape})
    except ValidationError as error:
        raise SpecError(build_problems(error, Arch, Document({}), ("arch",))) from error
    return Variant(name="net" if stages else target, arch=arch, data=Data(name="digits"), train=Train())
