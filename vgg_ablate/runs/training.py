"""What a worker trains with: the package's own training, as the seam of `runs.worker`."""

from __future__ import annotations

from collections.abc import Generator
from functools import cache
from typing import Any

from vgg_ablate.net.audit import audit
from vgg_ablate.records import Epoch, Run, Tested
from vgg_ablate.runs.pools import Place
from vgg_ablate.spec.arch import Arch
from vgg_ablate.train import loop
from vgg_ablate.train.device import environment
from vgg_ablate.train.settings import Settings


def train(run: Run, place: Place) -> Generator[Epoch, None, Tested]:
    """Yield every epoch, those of a checkpoint too; return what the test set said."""
    return loop.train(run, _settings(run, place))


def facts(run: Run, place: Place) -> tuple[dict[str, int], dict[str, Any]]:
    """The costs by tracing, once an arch; and the environment."""
    return _audited(run.arch), environment(run, _settings(run, place))


@cache
def _audited(arch: Arch) -> dict[str, int]:
    return audit(arch)


def _settings(run: Run, place: Place) -> Settings:
    return Settings(device=place.device, threads=place.threads, checkpoint=place.checkpoint(run.key))
