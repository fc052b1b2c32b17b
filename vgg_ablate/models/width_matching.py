"""Variants as nets that exist: given the shape of their data, matched to their budgets, in normal form, with costs.

A budget is met by width alone, at the nearest of all widths, with every convolution scaled by one factor: a match that
also changed depth or head would change what the variant is compared for. Two neighbouring widths can lie several per
cent apart in small nets; then the error names both nets, and the study decides whether to widen the tolerance. A net
that meets its budget exactly is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

from vgg_ablate.config.arch import Arch, Match
from vgg_ablate.config.study import Study
from vgg_ablate.config.training import Train
from vgg_ablate.config.variants import Variant
from vgg_ablate.errors import Problem, SpecError, find_nearest
from vgg_ablate.models.costs import Costs, combine_costs, compute_costs
from vgg_ablate.models.dense_coverage import find_scale_problems
from vgg_ablate.models.layers import find_copyable_layers

_VARIANTS = "variants."  # starts the paths of their problems

MIN_WIDTH, MAX_WIDTH = 1e-3, 1e4  # multipliers that are tried


@dataclass(frozen=True, slots=True)
class WidthMatch:
    """The budget of a matched net, and the cost that the net has."""

    cost: str  # name of the cost: params, macs or activations
    budget: float
    actual: int
    width: float  # the multiplier

    @property
    def mismatch(self) -> float:
        """The remaining difference as a fraction of the budget."""
        return self.actual / self.budget - 1


@dataclass(frozen=True, slots=True)
class ResolvedVariant:
    """A variant with its nets in normal form."""

    variant: Variant
    arch: Arch
    costs: Costs  # of all nets together
    matched: WidthMatch | None = None
    ensemble: tuple[Arch, ...] = ()  # the further nets of an ensemble

    @property
    def nets(self) -> tuple[Arch, ...]:
        """All nets, the variant's own first."""
        return (self.arch, *self.ensemble)

    @property
    def train(self) -> Train:
        """The training configuration, with the further nets in normal form."""
        train = self.variant.train
        return train.model_copy(update={"ensemble": self.ensemble}) if self.ensemble else train


def resolve_variants(variants: Sequence[Variant]) -> tuple[ResolvedVariant, ...]:
    """Return the nets of every variant, in the given order.

    Raises one SpecError with a problem for every variant that cannot exist.
    """
    resolved: dict[str, ResolvedVariant] = {}
    problems = _find_target_problems(variants)
    waiting = [] if problems else list(variants)
    # A variant matched to another one waits until that one is resolved. Rounds, and not one pass in the order of the
    # study, since a variant may be matched to one that is listed after it.
    while waiting:
        ready = [variant for variant in waiting if (target := _find_target(variant)) is None or target in resolved]
        if not ready:  # the rest is matched to nets that cannot exist, each of which has its own problem
            break
        for variant in ready:
            try:
                resolved[variant.name] = _resolve(variant, resolved)
                _check_pretraining(resolved[variant.name])
                _check_scales(resolved[variant.name])
            except SpecError as error:
                problems += _move_problems(error, partial(_build_path, variant))
            except ValueError as error:
                problems.append(Problem(str(error), _build_path(variant)))
        names = {variant.name for variant in ready}
        waiting = [variant for variant in waiting if variant.name not in names]
    if problems:
        raise SpecError(_drop_inherited(problems))
    return tuple(resolved[variant.name] for variant in variants)


def _drop_inherited(problems: Sequence[Problem]) -> list[Problem]:
    """Return the problems without those of variants that the base has, too."""
    rules = [(problem.rule, problem.got) for problem in problems if not problem.path.startswith(_VARIANTS)]
    return [
        problem
        for problem in problems
        if not problem.path.startswith(_VARIANTS) or (problem.rule, problem.got) not in rules
    ]


def resolve_point(study: Study, name: str, point: Mapping[str, Any]) -> ResolvedVariant:
    """Return the net of a point of a search's space as the variant `name`. Raises SpecError where it cannot exist."""
    assert study.search is not None  # callers ask only for searches
    variant = study.build_variant(name, study.search.build_changes(point))
    # The base comes first, since the width of a variant may be matched to its costs.
    return resolve_variants([study.base, variant])[-1]


def _find_target_problems(variants: Sequence[Variant]) -> list[Problem]:
    """Return the problems of matches to unknown variants, and of circles of matches."""
    targets = {variant.name: _find_target(variant) for variant in variants}
    problems = []
    for variant in variants:
        path, target = _build_path(variant, "arch.match"), targets[variant.name]
        if target is not None and target not in targets:
            rule = f"must name a variant of the study: {', '.join(targets)}"
            problems.append(Problem(rule, path, got=target, nearest=find_nearest(target, targets)))
            continue
        chain = [variant.name]
        while target is not None and target in targets and target not in chain:
            chain.append(target)
            target = targets[target]
        if target == variant.name:
            rule = "is matched to itself through other variants" if len(chain) > 1 else "is matched to itself"
            problems.append(Problem(rule, path, got=" -> ".join([*chain, variant.name])))
    return problems


def _build_path(variant: Variant, path: str = "") -> str:
    """Return the path of a problem with the variant's name in front; of the base, the path alone."""
    if not variant.changes:
        return path or "arch"
    return f"{_VARIANTS}{variant.name}: {path}" if path else f"{_VARIANTS}{variant.name}"


def _find_target(variant: Variant) -> str | None:
    """Return the name of the variant whose cost is the budget, or None."""
    match = variant.arch.match
    return match.target if match is not None and isinstance(match.target, str) else None


def _resolve(variant: Variant, resolved: dict[str, ResolvedVariant]) -> ResolvedVariant:
    arch = variant.arch.with_shape(variant.data.shape)
    if variant.train.ensemble:
        return _resolve_ensemble(variant, arch)
    if arch.match is None:
        net = arch.to_normal_form()
        return ResolvedVariant(variant, net, compute_costs(net))
    target = arch.match.target
    budget = float(getattr(resolved[target].costs, arch.match.cost)) if isinstance(target, str) else float(target)
    net, width_match = match_width(arch, arch.match, budget)
    return ResolvedVariant(variant, net, compute_costs(net), width_match)


def _resolve_ensemble(variant: Variant, arch: Arch) -> ResolvedVariant:
    nets, problems = list[Arch](), list[Problem]()
    for index, net in enumerate((arch, *variant.train.ensemble)):
        path = f"train.ensemble[{index - 1}]" if index else "arch"
        try:
            with _relocate_problems(path):
                if net.match is not None:
                    # One factor for several nets is no rule that a reader would guess.
                    rule = "a match scales one net, and an ensemble has several: give each net its width"
                    raise SpecError(Problem(rule))
                nets.append(net.with_shape(variant.data.shape).to_normal_form())
                compute_costs(nets[-1])
        except SpecError as error:
            problems += error.problems
    if problems:
        raise SpecError(problems)
    return ResolvedVariant(variant, nets[0], combine_costs(nets), ensemble=tuple(nets[1:]))


def _check_pretraining(resolved: ResolvedVariant) -> None:
    """Raise SpecError where the net that is trained first cannot exist, or has no layer to copy."""
    pretrain = resolved.variant.train.pretrain
    if pretrain is None:
        return
    with _relocate_problems("train.pretrain.arch"):
        source = pretrain.arch.with_shape(resolved.variant.data.shape).to_normal_form()
        if not all(find_copyable_layers(source, net, pretrain.convs) for net in resolved.nets):
            rule = "must have a layer of the same name and shape as one of the net that it initialises"
            raise SpecError(Problem(rule, got=source.to_notation()))


def _check_scales(resolved: ResolvedVariant) -> None:
    """Raise SpecError where a net cannot be tested at a scale of `data.evaluate`."""
    evaluate = resolved.variant.data.evaluate
    problems = [problem for net in resolved.nets for problem in find_scale_problems(net, evaluate)]
    if problems:
        raise SpecError(dict.fromkeys(problems))  # the nets of an ensemble may share one: it is reported once


@contextmanager
def _relocate_problems(path: str) -> Iterator[None]:
    """Raise SpecError and ValueError of the block as a SpecError whose problems are at `path`."""
    try:
        yield
    except SpecError as error:
        raise SpecError(_move_problems(error, lambda _: path)) from error
    except ValueError as error:
        raise SpecError(Problem(str(error), path)) from error


def _move_problems(error: SpecError, find_path: Callable[[str], str]) -> list[Problem]:
    return [replace(problem, path=find_path(problem.path)) for problem in error.problems]


def match_width(arch: Arch, match: Match, budget: float) -> tuple[Arch, WidthMatch]:
    """Return the arch, in normal form, at the width whose cost is nearest to the budget.

    Raises SpecError where no width is within the tolerance of `match`.
    """

    def scale(width: float) -> Arch:
        return arch.model_copy(update={"match": None, "width": width}).to_normal_form()

    costs: dict[tuple[int, ...], int] = {}

    # Most of the widths that a bisection tries round to the channels of an earlier one.
    @cache
    def compute_cost(width: float) -> int:
        channels = tuple(arch.model_copy(update={"width": width}).iterate_scaled_channels())
        if channels not in costs:
            costs[channels] = getattr(compute_costs(scale(width)), match.cost)
        return costs[channels]

    candidates = _bracket_width(compute_cost, budget)
    width = min(candidates, key=lambda width: abs(compute_cost(width) - budget))
    width_match = WidthMatch(match.cost, budget, compute_cost(width), width)
    if abs(width_match.mismatch) > match.tolerance:
        nets = " and ".join(f"{compute_cost(width):,} ({scale(width).to_notation()})" for width in candidates)
        rule = f"no width gives {budget:,.0f} {match.cost} within {match.tolerance:.2%}: the nearest are {nets}"
        raise SpecError(Problem(rule, "arch.match"))
    return scale(width), width_match


def _bracket_width(compute_cost: Callable[[float], int], budget: float) -> tuple[float, float]:
    """Return two neighbouring widths: the cost at one is at most the budget, at the other it is more.

    Costs never fall as the width grows. Where even the narrowest net costs more than the budget, or the widest less,
    these are the two narrowest or the two widest nets.
    """
    below, above = MIN_WIDTH, 1.5  # not 1.0: there nothing is rounded, and a group norm may not divide the channels
    while compute_cost(above) <= budget and above < MAX_WIDTH:
        below, above = above, above * 2
    if compute_cost(below) > budget:
        return below, _bisect_width(compute_cost, below, above, compute_cost(below))[1]
    if compute_cost(above) <= budget:
        return below, above
    return _bisect_width(compute_cost, below, above, budget)


def _bisect_width(
    compute_cost: Callable[[float], int], below: float, above: float, budget: float
) -> tuple[float, float]:
    """Narrow the bracket until no floating-point number lies inside, so that the result is exact."""
    while below < (middle := (below + above) / 2) < above:
        if compute_cost(middle) <= budget:
            below = middle
        else:
            above = middle
    return below, above
