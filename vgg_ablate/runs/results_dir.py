"""What a results folder says of the study beside its records: study.yaml as it was run, and manifest.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_ablate.config.registration import build_deciding_content, find_registration_changes, hash_content
from vgg_ablate.config.study import Study, load
from vgg_ablate.config.tuning import TuningWinner
from vgg_ablate.errors import Problem, SpecError, StorageError
from vgg_ablate.records import Manifest, PlannedRun, RecordStore, TuningRun, replace_file
from vgg_ablate.runs.provenance import collect_provenance


def write_study_files(
    study: Study, planned: Sequence[PlannedRun], folder: Path, *, trains: bool, tuning: Sequence[TuningRun] = ()
) -> None:
    """Both files, where the plan or the study differs from what they say or something is about to train.

    The history grows with each writing. The registration is that of before the first record: it is written once, and
    a later study that decides otherwise is named in the history.
    """
    before, path, text = read_manifest(folder), folder / "study.yaml", study.as_yaml()
    saved = path.exists() and path.read_bytes() == text.encode()  # a torn file differs, and is written again
    if before is not None and before.planned == tuple(planned) and saved and not trains:
        return
    told = before.provenance if before is not None else {}
    kept: dict[str, Any] = {"proposals": told["proposals"]} if "proposals" in told else {}
    now = {**collect_provenance(), "seeds": list(study.seed_list), "looks": list(study.looks)}
    if (file := _source(study, folder, told.get("file"))) is not None:
        kept["file"] = file
    decides = build_deciding_content(study)
    registration = _registration(study, decides, told.get("registration"), folder, str(now["at"]))
    entry: dict[str, Any] = {**now, "deciding": hash_content(decides)}
    if registration is not None:
        kept["registration"] = registration
        entry["changed"] = find_registration_changes(registration, study, decides)
    replace_file(path, text)
    Manifest(
        study=study.name,
        base=study.base.name,
        planned=tuple(planned),
        tuning=tuple(tuning),
        provenance={**now, "history": [*told.get("history", []), entry], **kept},
    ).write(folder)


def check_owner(study: Study, folder: Path) -> None:
    """Check that a results folder holds no other study's results, before anything is written into it.

    The owner is the study file that the folder's manifest names, as long as it is there: a file that was moved may go
    on, a copy with the same `name:` may not. Raises SpecError with both names.
    """
    try:
        before = read_manifest(folder)
    except StorageError:
        return  # a torn manifest is written again; the records say which runs they are
    if before is None:
        return
    remedy = "give the study another name, or pass --out with another folder"
    if before.study != study.name:
        rule = f"{folder} holds the results of study {before.study!r}; {remedy}"
        raise SpecError(Problem(rule, "name", study.locate_path("name"), study.name))
    owner, file = before.provenance.get("file"), study.source
    if not isinstance(owner, str) or file is None or _is_same(file, folder / "study.yaml"):
        return
    if Path(owner).exists() and not _is_same(Path(owner), file):
        rule = f"{folder} holds the results of {owner}, which has the same name; {remedy}"
        raise SpecError(Problem(rule, "name", study.locate_path("name"), study.name))


def _is_same(one: Path, other: Path) -> bool:
    return one.exists() and other.exists() and one.samefile(other)


def _source(study: Study, folder: Path, before: Any) -> str | None:
    """The file of the study, from the working directory on where it lies below it; as before for the saved copy."""
    file = study.source
    if file is None or not file.exists() or _is_same(file, folder / "study.yaml"):
        return before if isinstance(before, str) else None
    file = file.resolve()
    return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)


def _registration(
    study: Study, decides: Mapping[str, Any], before: Mapping[str, Any] | None, folder: Path, at: str
) -> Mapping[str, Any] | None:
    """The first that was made, unless nothing was recorded since: a study may be changed until its first record."""
    recorded = len(RecordStore(folder / "records").keys())
    if before is not None and recorded:
        return before
    if study.registered is None:
        return None
    return {
        "date": study.registered.isoformat(),
        "hash": hash_content(decides),
        "registered_at": at,
        "recorded": recorded,  # runs that had a record when it was made
        "deciding": decides,
    }


def write_proposals(folder: Path, planned: Sequence[PlannedRun], proposals: Sequence[Mapping[str, Any]]) -> None:
    """What a search has asked for so far, into the manifest that is there."""
    before = Manifest.read(folder)
    changed = {"planned": tuple(planned), "provenance": {**before.provenance, "proposals": list(proposals)}}
    if before.planned != changed["planned"] or before.provenance != changed["provenance"]:
        before.model_copy(update=changed).write(folder)


def read_saved_winners(folder: Path) -> Mapping[str, TuningWinner]:
    """Return the winners of the tuning in the study.yaml of a results folder; none where it cannot be read."""
    try:
        return load(folder / "study.yaml").tuned
    except SpecError:
        return {}


def read_saved_tuning(folder: Path) -> Sequence[TuningRun]:
    """Return the trials that the manifest of a results folder lists; none where it cannot be read."""
    try:
        return Manifest.read(folder).tuning
    except StorageError:
        return ()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a folder in which the study was run before."""
    return Manifest.read(folder) if (folder / "manifest.json").exists() else None
