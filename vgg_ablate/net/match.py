"""Variants -> nets that exist: shaped by their data, matched to their budgets, spelled out, counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vgg_ablate.errors import Problem, SpecError
from vgg_ablate.net.costs import Costs, costs
from vgg_ablate.spec.arch import Arch, Match
from vgg_ablate.spec.study import Variant


@dataclass(frozen=True, slots=True)
class Matched:
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
class Resolved:
    """A variant, and the net that it is."""

    variant: Variant
    arch: Arch  # the normal form
    costs: Costs
    matched: Matched | None = None


def resolve(variants: Sequence[Variant]) -> tuple[Resolved, ...]:
    """The net of every variant. Raises SpecError that names every variant that cannot exist."""
    done: dict[str, Resolved] = {}
    problems: list[Problem] = []
    waiting = list(variants)
    while waiting:
        ready = [one for one in waiting if _target(one) is None or _target(one) in done]
        if not ready:
            problems.extend(Problem("matches a variant that is not there, or itself", _path(one)) for one in waiting)
            break
        for variant in ready:
            try:
                done[variant.name] = _resolved(variant, done)
            except SpecError as error:
                problems.extend(
                    Problem(one.rule, f"{_path(variant)}: {one.path}", one.place, one.got, one.nearest)
                    for one in error.problems
                )
            except ValueError as error:
                problems.append(Problem(str(error), _path(variant)))
        waiting = [one for one in waiting if one not in ready]
        if problems and any(_target(one) not in (None, *done) for one in waiting):
            break
    if problems:
        raise SpecError(problems)
    return tuple(done[variant.name] for variant in variants)


def _path(variant: Variant) -> str:
    return f"variants.{variant.name}" if variant.changes else "arch"


def _target(variant: Variant) -> str | None:
    match = variant.arch.match
    return match.target if match is not None and isinstance(match.target, str) else None


def _resolved(variant: Variant, done: dict[str, Resolved]) -> Resolved:
    arch = variant.arch.with_shape(variant.data.shape)
    if arch.match is None:
        plain = arch.spelled_out()
        return Resolved(variant, plain, costs(plain))
    target = arch.match.target
    wanted = float(getattr(done[target].costs, arch.match.cost)) if isinstance(target, str) else float(target)
    plain, found = met(arch, arch.match, wanted)
    return Resolved(variant, plain, costs(plain), found)


def met(arch: Arch, match: Match, wanted: float) -> tuple[Arch, Matched]:
    """The arch at the width that comes nearest to the budget. Raises SpecError where none is within the tolerance."""

    def at(width: float) -> tuple[Arch, int]:
        plain = arch.model_copy(update={"match": None, "width": width}).spelled_out()
        return plain, int(getattr(costs(plain), match.cost))

    below, above = _bracket(lambda width: at(width)[1], wanted)
    width = min((below, above), key=lambda width: abs(at(width)[1] - wanted))
    plain, got = at(width)
    found = Matched(match.cost, wanted, got, width)
    if abs(found.mismatch) > match.tolerance:
        nearest = f"the nearest are {at(below)[1]:,} (width {below:.4g}) and {at(above)[1]:,} (width {above:.4g})"
        rule = f"no width gives {wanted:,.0f} {match.cost} within {match.tolerance:.2%}: {nearest}"
        raise SpecError(Problem(rule, "arch.match"))
    return plain, found


def _bracket(cost: Callable[[float], int], wanted: float) -> tuple[float, float]:
    """Two widths next to each other, the cost of one at most `wanted`, of the other at least; costs grow with width."""
    below, above = 1e-3, 1.0
    while cost(above) < wanted and above < 1e4:
        above *= 2
    for _ in range(60):
        middle = (below + above) / 2
        if cost(middle) <= wanted:
            below = middle
        else:
            above = middle
    return below, above
