"""Results folders of every kind of design."""

from __future__ import annotations

from pathlib import Path

from tests.report import factories

HEAD = """\
version: 1
name: design
question: Does every design have its figure?
seeds: 3
data: {name: digits, image_size: 32}
arch: {stages: "8 8 | 16 16", norm: batch, head: {hidden: [32], dropout: 0.5}}
train: {epochs: 3}
"""
DESIGNS = {
    "one_factor_at_a_time": (
        "factors: {arch.norm: [none, batch, group], arch.depth: [1, 2, 3], arch.width: [0.5, 1.0]}",
        ["levels", "budget", "nets", "curves"],
    ),
    "leave_one_out": (
        "parts: {norm: {arch.norm: none}, dropout: {arch.head.dropout: 0.0}, head: {arch.head.hidden: []}}",
        ["parts", "budget", "nets", "curves"],
    ),
    "cumulative": (
        "steps: {wider: {arch.width: 2}, kernels: {arch.kernel: 5}, no-head: {arch.head.hidden: []}}",
        ["road", "budget", "nets", "curves"],
    ),
    "factorial": (
        "factors: {arch.norm: [none, batch], arch.depth: [1, 2, 3], arch.width: [0.5, 1.0]}",
        ["levels", "interactions", "heat", "budget", "nets", "curves"],
    ),
    "search": (
        "space: {arch.width: {low: 0.25, high: 2.0}}\n  budget: {variants: 3}\n  best: 1\n  seeds: 2",
        ["history", "front", "budget", "nets", "curves"],
    ),
}


def make_design_folder(folder: Path, kind: str) -> Path:
    """Write the results folder of a study of that design with all of its records, and a search's proposals."""
    text = f"{HEAD}design:\n  kind: {kind}\n  {DESIGNS[kind][0]}\n"
    factories.make_results_folder(folder, text=text)
    if kind == "search":
        factories.add_search_records(folder, [{"arch.width": width} for width in (0.5, 1.5, 2.0)], {"winner-1": 1})
    return folder
