"""A single net without a study file, given by a preset's name or by stages in the compact notation."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import ValidationError

from vgg_ablate.config.arch import Arch
from vgg_ablate.config.presets import PRESETS
from vgg_ablate.config.training import Data, Train
from vgg_ablate.config.validation_problems import build_problems
from vgg_ablate.config.variants import Variant
from vgg_ablate.config.yaml_loader import Document
from vgg_ablate.errors import Problem, SpecError, find_nearest

_IMAGENET = {"image_size": 224, "in_channels": 3, "classes": 1000}


def build_single_net(target: str, shape: Mapping[str, int]) -> Variant:
    """Return the net as the base variant of a study.

    `shape` may have image_size, in_channels and classes; those of ImageNet are the defaults. Raises SpecError.
    """
    is_notation = target[:1].isdigit()
    if target not in PRESETS and not is_notation:
        rule = f"must be a preset, a study file (.yaml) or stages; available presets: {', '.join(PRESETS)}"
        raise SpecError(Problem(rule, got=target, nearest=find_nearest(target, PRESETS)))
    source = {"stages": target} if is_notation else {"preset": target}
    try:
        arch = Arch.model_validate({**source, **_IMAGENET, **shape})
    except ValidationError as error:
        raise SpecError(build_problems(error, Arch, Document({}), ("arch",))) from error
    return Variant(name="net" if is_notation else target, arch=arch, data=Data(name="digits"), train=Train())
