"""What a results folder says of the study beside its records: study.yaml as it was run, and manifest.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_ablate.errors import SpecError, StorageFailed
from vgg_ablate.records import Manifest, Planned, TuningRun, replace_whole
from vgg_ablate.runs.provenance import provenance
from vgg_ablate.spec.study import Study, load
from vgg_ablate.spec.tuning import Tuned


def write_down(
    study: Study, planned: Sequence[Planned], folder: Path, *, trains: bool, tuning: Sequence[TuningRun] = ()
) -> None:
    """Both files, where the plan differs from what they say or something is about to train; the history grows."""
    before = manifest(folder)
    if before is not None and before.planned == tuple(planned) and not trains:
        return
    now = {**provenance(), "seeds": list(study.seed_list), "looks": list(study.looks)}
    told = before.provenance if before is not None else {}
    kept = {"proposals": told["proposals"]} if "proposals" in told else {}
    replace_whole(folder / "study.yaml", study.as_yaml())
    Manifest(
        study=study.name,
        base=study.base.name,
        planned=tuple(planned),
        tuning=tuple(tuning),
        provenance={**now, "history": [*told.get("history", []), now], **kept},
    ).write(folder)


def write_proposals(folder: Path, planned: Sequence[Planned], proposals: Sequence[Mapping[str, Any]]) -> None:
    """What a search has asked for so far, into the manifest that is there."""
    before = Manifest.read(folder)
    changed = {"planned": tuple(planned), "provenance": {**before.provenance, "proposals": list(proposals)}}
    if before.planned != changed["planned"] or before.provenance != changed["provenance"]:
        before.model_copy(update=changed).write(folder)


def saved_winners(folder: Path) -> Mapping[str, Tuned]:
    """Return the winners of the tuning in the study.yaml of a results folder; none where it cannot be read."""
    try:
        return load(folder / "study.yaml").tuned
    except SpecError:
        return {}


def saved_tuning(folder: Path) -> Sequence[TuningRun]:
    """Return the trials that the manifest of a results folder lists; none where it cannot be read."""
    try:
        return Manifest.read(folder).tuning
    except StorageFailed:
        return ()


def manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder in which the study was run before."""
    return Manifest.read(folder) if (folder / "manifest.json").exists() else None
