"""What a results folder says of the study beside its records: study.yaml as it was run, and manifest.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_ablate.errors import SpecError, StorageFailed
from vgg_ablate.records import Manifest, Planned, Store, TuningRun, replace_whole
from vgg_ablate.runs.provenance import provenance
from vgg_ablate.spec.registration import changed_since, deciding, hash_of
from vgg_ablate.spec.study import Study, load
from vgg_ablate.spec.tuning import Tuned


def write_down(
    study: Study, planned: Sequence[Planned], folder: Path, *, trains: bool, tuning: Sequence[TuningRun] = ()
) -> None:
    """Both files, where the plan or the study differs from what they say or something is about to train.

    The history grows with each writing. The registration is that of before the first record: it is written once, and
    a later study that decides otherwise is named in the history.
    """
    before, path, text = manifest(folder), folder / "study.yaml", study.as_yaml()
    saved = path.exists() and path.read_bytes() == text.encode()  # a torn file differs, and is written again
    if before is not None and before.planned == tuple(planned) and saved and not trains:
        return
    told = before.provenance if before is not None else {}
    kept = {"proposals": told["proposals"]} if "proposals" in told else {}
    now = {**provenance(), "seeds": list(study.seed_list), "looks": list(study.looks)}
    decides = deciding(study)
    registration = _registration(study, decides, told.get("registration"), folder, str(now["at"]))
    entry: dict[str, Any] = {**now, "deciding": hash_of(decides)}
    if registration is not None:
        kept["registration"] = registration
        entry["changed"] = changed_since(registration, study, decides)
    replace_whole(path, text)
    Manifest(
        study=study.name,
        base=study.base.name,
        planned=tuple(planned),
        tuning=tuple(tuning),
        provenance={**now, "history": [*told.get("history", []), entry], **kept},
    ).write(folder)


def _registration(
    study: Study, decides: Mapping[str, Any], before: Mapping[str, Any] | None, folder: Path, at: str
) -> Mapping[str, Any] | None:
    """The first that was made, unless nothing was recorded since: a study may be changed until its first record."""
    recorded = len(Store(folder / "records").keys())
    if before is not None and recorded:
        return before
    if study.registered is None:
        return None
    return {
        "date": study.registered.isoformat(),
        "hash": hash_of(decides),
        "registered_at": at,
        "recorded": recorded,  # runs that had a record when it was made
        "deciding": decides,
    }


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
