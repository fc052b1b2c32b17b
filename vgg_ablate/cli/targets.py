"""Nets named on the command line: `D`, `16 16 | 32 32`, `studies/kernels.yaml`, `studies/kernels.yaml:five`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vgg_ablate.errors import Problem, SpecError, find_nearest
from vgg_ablate.formatting.text import count_noun, join_first

if TYPE_CHECKING:
    from vgg_ablate.config.study import Study
    from vgg_ablate.models.width_matching import ResolvedVariant

_UNUSUAL_LR = 1.0  # above it, a slip of the keyboard is likelier than an intention
_HIGH_LR = 0.02  # the learning rate above which deep nets without warm-up stalled in our studies
_MAX_LISTED = 5  # names in one warning


def resolve_target(
    target: str, image_size: int | None = None, classes: int | None = None
) -> tuple[ResolvedVariant, ...]:
    """Return one net, or those of all variants of a study. Raises SpecError."""
    from vgg_ablate.models.width_matching import resolve_variants

    changes = {name: value for name, value in (("image_size", image_size), ("classes", classes)) if value}
    path, name = _split_target(target)
    if path is None:
        from vgg_ablate.config.single_net import build_single_net

        return resolve_variants([build_single_net(target, changes)])
    from vgg_ablate.config.study import load

    study = load(path)
    variants = study.variants
    if changes:
        variants = tuple(
            variant.model_copy(update={"arch": variant.arch.model_copy(update=changes)}) for variant in variants
        )
    names = [variant.name for variant in variants]
    if name is not None and name not in names:
        rule = f"no variant of this name; there are {', '.join(names)}"
        raise SpecError(Problem(rule, location=str(path), got=name, nearest=find_nearest(name, names)))
    try:
        # All of them, even for one: its width may be matched to the costs of another.
        nets = resolve_variants(variants)
    except SpecError as error:
        raise study.with_locations(error) from error
    return tuple(net for net in nets if name in (None, net.variant.name))


def warn_about_size(nets: Iterable[ResolvedVariant]) -> None:
    """Warn on stderr of nets with unlikely many parameters, before anything is allocated."""
    from vgg_ablate.models.memory import build_size_warning

    for net in nets:
        if warning := build_size_warning(net.costs.params):
            print(f"warning: {net.variant.name}: {warning}", file=sys.stderr)


def warn_about_warmup(nets: Iterable[ResolvedVariant]) -> None:
    """Warn on stderr of deep nets that start at a high learning rate: they stall, or lose points of accuracy."""
    names = [net.variant.name for net in nets if _lacks_warmup(net)]
    if names:
        print(
            f"warning: {join_first(names, _MAX_LISTED)}: more than two convolutions in a stage, trained at a "
            f"learning rate above {_HIGH_LR} without warm-up: such runs often stall; set train.warmup_epochs: 1",
            file=sys.stderr,
        )


def warn_about_rate(nets: Iterable[ResolvedVariant]) -> None:
    """Warn on stderr of learning rates that are likely mistakes of typing."""
    names = [net.variant.name for net in nets if net.variant.train.lr > _UNUSUAL_LR]
    if names:
        print(
            f"warning: {join_first(names, _MAX_LISTED)}: a learning rate above {_UNUSUAL_LR:g} is unusual; "
            "common rates are 0.001 to 0.1",
            file=sys.stderr,
        )


def warn_about_seeds(study: Study) -> None:
    """Warn on stderr of claims for whose verdicts the study has too few seeds."""
    from vgg_ablate.analysis.metrics import get_metric
    from vgg_ablate.analysis.verdicts import FEWEST_SEEDS

    names = [claim.id for claim in study.claims if not get_metric(claim.metric).is_exact]
    count = len(study.seed_list)
    if names and count < FEWEST_SEEDS:
        place = ": ".join(filter(None, (study.locate_path("seeds"), "seeds")))
        print(
            f"warning: {place}: {count_noun(count, 'seeds')}; a verdict on {join_first(names, _MAX_LISTED)} "
            f"needs at least {FEWEST_SEEDS}",
            file=sys.stderr,
        )


def _lacks_warmup(net: ResolvedVariant) -> bool:
    """Return whether a net has more than two convolutions per stage and trains at a high rate from the first step."""
    train = net.variant.train
    is_deep = any(len(stage.convs) > 2 for arch in (net.arch, *net.ensemble) for stage in arch.stages)
    return is_deep and train.lr > _HIGH_LR and train.warmup_epochs < 1 and not train.schedule.starts_low


def print_mismatches(nets: Iterable[ResolvedVariant]) -> None:
    """Print the remaining difference of every matched net from its budget."""
    from vgg_ablate.diagrams.table1 import format_mismatch

    for net in nets:
        if net.matched is not None:
            print(f"{net.variant.name}: matched, {format_mismatch(net.matched)}")


def _split_target(target: str) -> tuple[Path | None, str | None]:
    """Return the study file and the variant that a target names; no file for a preset or stages."""
    path, colon, name = target.partition(":")
    if Path(path).suffix not in (".yaml", ".yml"):
        return None, None
    return Path(path), name if colon else None
