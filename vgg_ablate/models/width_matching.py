"""Variants -> nets that exist: shaped by their data, matched to their budgets, spelled out, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from vgg_ablate.config.arch import Arch, Match
from vgg_ablate.config.study import Variant
from vgg_ablate.config.training import Train
from vgg_ablate.errors import Problem, SpecError, find_nearest
from vgg_ablate.models.costs import Costs, combine_costs, compute_costs
from vgg_ablate.models.dense_coverage import find_scale_problems
from vgg_ablate.models.layers import find_copyable_layers

MIN_WIDTH, MAX_WIDTH = 1e-3, 1e4  # multipliers that are tried


@dataclass(frozen=True, slots=True)
class WidthMatch:
    """How a budget was met."""

    cost: str
    wanted: float
    got: int
    width: float  # the multiplier that was found

    @property
    def mismatch(self) -> float:
        """What is left of the difference, as a fraction of the budget."""
        return self.got / self.wanted - 1


@dataclass(frozen=True, slots=True)
class ResolvedVariant:
    """A variant, and the net that it is."""

    variant: Variant
    arch: Arch  # the normal form
    costs: Costs  # of all its nets
    matched: WidthMatch | None = None
    ensemble: tuple[Arch, ...] = ()  # the further nets, in the normal form

    @property
    def train(self) -> Train:
        """How it is trained, its further nets in the normal form."""
        return (
            self.variant.train.model_copy(update={"ensemble": self.ensemble}) if self.ensemble else self.variant.train
        )


def resolve_variants(variants: Sequence[Variant]) -> tuple[ResolvedVariant, ...]:
    """The net of every variant. Raises SpecError that names every variant that cannot exist."""
    done: dict[str, ResolvedVariant] = {}
    problems = _unmatchable(variants)
    waiting = [] if problems else list(variants)
    while waiting:
        ready = [one for one in waiting if _target(one) is None or _target(one) in done]
        if not ready:  # their budgets are those of nets that cannot exist, which was said
            break
        for variant in ready:
            try:
                done[variant.name] = _resolved(variant, done)
                _pretrained(done[variant.name])
                _check_scales(done[variant.name])
            except SpecError as error:
                problems.extend(
                    Problem(one.rule, _path(variant, one.path), one.place, one.got, one.nearest)
                    for one in error.problems
                )
            except ValueError as error:
                problems.append(Problem(str(error), _path(variant)))
        met = {one.name for one in ready}
        waiting = [one for one in waiting if one.name not in met]
    if problems:
        raise SpecError(problems)
    return tuple(done[variant.name] for variant in variants)


def _unmatchable(variants: Sequence[Variant]) -> list[Problem]:
    """Budgets of variants that are not there, and of variants that wait for each other."""
    targets = {variant.name: _target(variant) for variant in variants}
    problems = []
    for variant in variants:
        path, target = _path(variant, "arch.match"), targets[variant.name]
        if target is not None and target not in targets:
            rule = f"the budget is that of no variant; there are {', '.join(targets)}"
            problems.append(Problem(rule, path, got=target, nearest=find_nearest(target, targets)))
            continue
        road = [variant.name]
        while target is not None and target in targets and target not in road:
            road.append(target)
            target = targets[target]
        if target == variant.name:
            problems.append(Problem("the budget is its own", path, got=" -> ".join([*road, variant.name])))
    return problems


def _path(variant: Variant, path: str = "") -> str:
    """The name of what is wrong: of the base, the path alone."""
    if not variant.changes:
        return path or "arch"
    return f"variants.{variant.name}: {path}" if path else f"variants.{variant.name}"


def _target(variant: Variant) -> str | None:
    match = variant.arch.match
    return match.target if match is not None and isinstance(match.target, str) else None


def _resolved(variant: Variant, done: dict[str, ResolvedVariant]) -> ResolvedVariant:
    arch = variant.arch.with_shape(variant.data.shape)
    if variant.train.ensemble:
        return _ensemble(variant, arch)
    if arch.match is None:
        plain = arch.to_normal_form()
        return ResolvedVariant(variant, plain, compute_costs(plain))
    target = arch.match.target
    wanted = float(getattr(done[target].costs, arch.match.cost)) if isinstance(target, str) else float(target)
    plain, found = match_width(arch, arch.match, wanted)
    return ResolvedVariant(variant, plain, compute_costs(plain), found)


def _pretrained(resolved: ResolvedVariant) -> None:
    """Raises SpecError where the net that is trained first cannot exist, or has nothing to copy."""
    before, path = resolved.variant.train.pretrain, "train.pretrain.arch"
    if before is None:
        return
    try:
        source = before.arch.with_shape(resolved.variant.data.shape).to_normal_form()
        alike = [find_copyable_layers(source, arch, before.convs) for arch in (resolved.arch, *resolved.ensemble)]
    except SpecError as error:
        raise SpecError([Problem(one.rule, path, one.place, one.got, one.nearest) for one in error.problems]) from error
    except ValueError as error:
        raise SpecError(Problem(str(error), path)) from error
    if not all(alike):
        rule = "no layer has the name and shape of one of the net that it is for"
        raise SpecError(Problem(rule, path, got=source.to_notation()))


def _check_scales(resolved: ResolvedVariant) -> None:
    """Raise SpecError where a net cannot be tested at a scale of `data.evaluate`; equal problems share a line."""
    evaluate = resolved.variant.data.evaluate
    found = [one for arch in (resolved.arch, *resolved.ensemble) for one in find_scale_problems(arch, evaluate)]
    if found:
        raise SpecError(dict.fromkeys(found))


def _ensemble(variant: Variant, arch: Arch) -> ResolvedVariant:
    nets, problems = list[Arch](), list[Problem]()
    for place, net in enumerate((arch, *variant.train.ensemble)):
        where = f"train.ensemble[{place - 1}]" if place else "arch"
        try:
            if net.match is not None:
                raise SpecError(Problem("a match scales one net: the nets of an ensemble have widths of their own"))
            nets.append(net.with_shape(variant.data.shape).to_normal_form())
            compute_costs(nets[-1])
        except SpecError as error:
            problems += [Problem(one.rule, where, one.place, one.got, one.nearest) for one in error.problems]
        except ValueError as error:
            problems.append(Problem(str(error), where))
    if problems:
        raise SpecError(problems)
    return ResolvedVariant(variant, nets[0], combine_costs(nets), ensemble=tuple(nets[1:]))


def match_width(arch: Arch, match: Match, wanted: float) -> tuple[Arch, WidthMatch]:
    """The arch at the width that comes nearest to the budget. Raises SpecError where none is within the tolerance."""

    def spelled(width: float) -> Arch:
        return arch.model_copy(update={"match": None, "width": width}).to_normal_form()

    @cache
    def cost(width: float) -> int:
        return int(getattr(compute_costs(spelled(width)), match.cost))

    widths = _bracket(cost, wanted)
    width = min(widths, key=lambda width: abs(cost(width) - wanted))
    found = WidthMatch(match.cost, wanted, cost(width), width)
    if abs(found.mismatch) > match.tolerance:
        nets = " and ".join(f"{cost(width):,} ({spelled(width).to_notation()})" for width in widths)
        rule = f"no width gives {wanted:,.0f} {match.cost} within {match.tolerance:.2%}: the nearest are {nets}"
        raise SpecError(Problem(rule, "arch.match"))
    return spelled(width), found


def _bracket(cost: Callable[[float], int], wanted: float) -> tuple[float, float]:
    """Two widths next to each other, the cost of one at most `wanted`, of the other more: costs grow with the width.

    Where the narrowest net costs more already, or the widest less, it is the narrowest or widest two.
    """
    below, above = MIN_WIDTH, 1.5  # not 1.0: there nothing is rounded, and a group norm may not divide
    while cost(above) <= wanted and above < MAX_WIDTH:
        below, above = above, above * 2
    if cost(below) > wanted:
        return below, _next(cost, below, above)
    if cost(above) <= wanted:
        return below, above
    return _halved(cost, below, above, wanted)


def _next(cost: Callable[[float], int], narrow: float, wide: float) -> float:
    """The narrowest width that costs more than `narrow` does."""
    return _halved(cost, narrow, wide, cost(narrow))[1]


def _halved(cost: Callable[[float], int], below: float, above: float, wanted: float) -> tuple[float, float]:
    """Until no number lies between them."""
    while below < (middle := (below + above) / 2) < above:
        if cost(middle) <= wanted:
            below = middle
        else:
            above = middle
    return below, above
