"""The proposals of a search: the values that each of its variants has, by the records and the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vgg_ablate.analysis.results import Results
from vgg_ablate.config.variants import Variant
from vgg_ablate.records import Run


def collect_proposals(results: Results) -> dict[str, Variant]:
    """Return the variants that a search has proposed and its winners, by name; `changes` are their values."""
    in_study = {variant.name for variant in results.study.all_variants}
    points = results.manifest.provenance.get("proposals", [])
    proposals: dict[str, Variant] = {}
    for planned in results.manifest.planned:
        name, record = planned.variant, results.records.get(planned.key)
        if record is None or name in in_study or name in proposals:
            continue
        run, number = record.run, name[1:]  # proposal 12 is called s0012
        is_proposal = number.isdecimal() and int(number) < len(points)
        changes = points[int(number)] if is_proposal else _find_twin_changes(run, proposals)
        proposals[name] = Variant(name=name, arch=run.arch, data=run.data, train=run.train, changes=changes)
    return proposals


def _find_twin_changes(run: Run, proposals: Mapping[str, Variant]) -> Mapping[str, Any]:
    """Return the values of the proposal with the net and the recipe of a winner, up to the number of epochs."""
    train = run.train.model_copy(update={"epochs": 1})
    for proposal in proposals.values():
        if proposal.arch == run.arch and proposal.train.model_copy(update={"epochs": 1}) == train:
            return proposal.changes
    return {}
