"""The nets that `D`, `16 16 | 32 32`, `studies/kernels.yaml` and `studies/kernels.yaml:five` mean."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import Problem, SpecError, find_nearest

if TYPE_CHECKING:
    from vgg_ablate.models.width_matching import ResolvedVariant


_HIGH_LR = 0.02


def resolve_target(
    target: str, image_size: int | None = None, classes: int | None = None
) -> tuple[ResolvedVariant, ...]:
    """One net, or those of all variants of a study. Raises SpecError."""
    from vgg_ablate.models.width_matching import resolve_variants

    given = {name: value for name, value in (("image_size", image_size), ("classes", classes)) if value}
    path, name = _split(target)
    if path is None:
        from vgg_ablate.config.single_net import build_single_net

        return resolve_variants([build_single_net(target, given)])
    from vgg_ablate.config.study import load

    study = load(path)
    variants = [
        one.model_copy(update={"arch": one.arch.model_copy(update=dict(given))}) if given else one
        for one in study.variants
    ]
    names = [one.name for one in variants]
    if name is not None and name not in names:
        rule = f"no variant of this name; there are {', '.join(names)}"
        raise SpecError(Problem(rule, place=str(path), got=name, nearest=find_nearest(name, names)))
    try:
        found = resolve_variants(variants)
    except SpecError as error:
        raise study.with_locations(error) from error
    return tuple(one for one in found if name in (None, one.variant.name))


def warn_about_size(nets: Iterable[ResolvedVariant]) -> None:
    """Say on stderr, before anything is allocated, which nets are larger than anybody means."""
    from vgg_ablate.models.memory import build_size_warning

    for one in nets:
        if too_many := build_size_warning(one.costs.params):
            print(f"warning: {one.variant.name}: {too_many}", file=sys.stderr)


def warn_about_warmup(nets: Iterable[ResolvedVariant]) -> None:
    """Say on stderr which deep nets begin at a high learning rate: without warm-up such runs stall or lag by points."""
    names = [one.variant.name for one in nets if _lacks_warmup(one)]
    if names:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        print(
            f"warning: {shown}: more than two convolutions in a stage, trained at a learning rate above {_HIGH_LR} "
            "without warm-up: such runs often stall; set train.warmup_epochs: 1",
            file=sys.stderr,
        )


def _lacks_warmup(one: ResolvedVariant) -> bool:
    """Does it train more than two convolutions per stage at a high rate from the first step on?"""
    train = one.variant.train
    deep = any(len(stage.convs) > 2 for arch in (one.arch, *one.ensemble) for stage in arch.stages)
    return deep and train.lr > _HIGH_LR and train.warmup_epochs < 1 and train.schedule.kind != "one_cycle"


def print_mismatches(nets: Iterable[ResolvedVariant]) -> None:
    """Say of every matched net what is left of the difference from its budget."""
    from vgg_ablate.diagrams.table1 import format_mismatch

    for one in nets:
        if one.matched is not None:
            print(f"{one.variant.name}: matched, {format_mismatch(one.matched)}")


def _split(target: str) -> tuple[Path | None, str | None]:
    """A study's file and the name of a variant; no file where the target is none."""
    path, colon, name = target.partition(":")
    if Path(path).suffix not in (".yaml", ".yml"):
        return None, None
    return Path(path), name if colon else None
