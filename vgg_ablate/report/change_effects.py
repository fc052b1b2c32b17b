"""Effects of changes on a net, in words: `five: pairs of 3x3 merged into one 5x5; weight layers 7 → 4`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vgg_ablate.config.kernel_rewrites import RULE_DESCRIPTIONS

_COSTS = (
    ("weight_layers", "weight layers", ""),
    ("activation_layers", "activation layers", ""),
    ("receptive_field", "receptive field", " px"),
)
_RATIOS = (("params", "params"), ("macs", "MACs"))
_NEGLIGIBLE = 0.005  # a ratio that would be printed as x 1.00


def describe_change(
    changes: Mapping[str, Any], base_costs: Mapping[str, int] | None, costs: Mapping[str, int] | None
) -> str:
    """Return what the changes do to the base's net; empty where they leave it as it is, or costs are not known."""
    rules = changes.get("arch.kernel", ())
    parts = [RULE_DESCRIPTIONS[rule] for rule in (rules if isinstance(rules, list | tuple) else [rules])]
    if base_costs and costs:
        effects = [
            f"{noun} {base_costs[cost]} → {costs[cost]}{unit}"
            for cost, noun, unit in _COSTS
            if costs[cost] != base_costs[cost]
        ]
        ratios = {noun: costs[cost] / base_costs[cost] for cost, noun in _RATIOS}
        effects += [f"{noun} × {ratio:.2f}" for noun, ratio in ratios.items() if abs(ratio - 1) >= _NEGLIGIBLE]
        if effects:
            parts.append(", ".join(effects))
    return "; ".join(parts)


def list_changes(
    changes: Mapping[str, Mapping[str, Any]], costs: Mapping[str, Mapping[str, int]], base: str
) -> list[str]:
    """Return one sentence per variant whose net differs from the base's; `changes` and `costs` are by variant."""
    described = {name: describe_change(changed, costs.get(base), costs.get(name)) for name, changed in changes.items()}
    return [f"{name}: {text}." for name, text in described.items() if text and name != base]
