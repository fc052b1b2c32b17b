"""The files of a results folder that describe its study: study.yaml, and manifest.json with runs and provenance."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vgg_ablate.analysis.saved_study import read_saved_study
from vgg_ablate.analysis.summary import load_report
from vgg_ablate.config.content_hash import hash_content
from vgg_ablate.config.registration import build_deciding_content, find_registration_changes
from vgg_ablate.config.study import Study, load
from vgg_ablate.config.tuning import TuningWinner
from vgg_ablate.errors import Problem, SpecError, StorageError
from vgg_ablate.files import read_regular_file, replace_file
from vgg_ablate.manifest import Manifest, PlannedRun, TuningRun
from vgg_ablate.records import RecordStore
from vgg_ablate.report.answer import collect_verdict_words
from vgg_ablate.runs.provenance import collect_provenance


def write_study_files(
    study: Study, planned: Sequence[PlannedRun], folder: Path, *, trains: bool, tuning: Sequence[TuningRun] = ()
) -> None:
    """Write study.yaml and manifest.json if the study or its plan has changed, or if something is about to train.

    Every call that writes adds an entry to `provenance.history`. The registration is written before the first record
    and then stays; if a later study decides otherwise, its history entry lists what has changed. Raises StorageError.
    """
    before, path, text = read_manifest(folder), folder / "study.yaml", study.as_yaml()
    is_saved = False
    with contextlib.suppress(OSError):  # what cannot be read is written again, as a truncated file, which differs
        is_saved = read_regular_file(path) == text.encode()
    if before is not None and before.planned == tuple(planned) and is_saved and not trains:
        return
    provenance = before.provenance if before is not None else {}
    # A search adds its proposals later, through write_proposals; they survive a restart.
    kept: dict[str, Any] = {name: provenance[name] for name in ("proposals", "answer") if name in provenance}
    now = {**collect_provenance(), "seeds": list(study.seed_list), "looks": list(study.looks)}
    if (file := _locate_study_file(study, folder, provenance.get("file"))) is not None:
        kept["file"] = file
    if (place := _relate_to_working_directory(folder)) != f"results/{study.name}":
        kept["folder"] = place
    deciding = build_deciding_content(study)
    registration = _build_registration(study, deciding, provenance.get("registration"), folder, str(now["at"]))
    entry: dict[str, Any] = {**now, "deciding": hash_content(deciding)}
    if registration is not None:
        kept["registration"] = registration
        entry["changed"] = find_registration_changes(registration, study, deciding)
    replace_file(path, text)
    Manifest(
        study=study.name,
        base=study.base.name,
        planned=tuple(planned),
        tuning=tuple(tuning),
        provenance={**now, "history": [*provenance.get("history", []), entry], **kept},
    ).write(folder)
    _save_verdicts_of_answer(study, folder)


def save_texts(study: Study, folder: Path) -> bool:
    """Write study.yaml again if the study differs from the saved one in texts and settings of the report only.

    So `report STUDY` shows an answer, or columns, that were written after the last run. A study that asks for other
    runs or decides otherwise is left to `run`: the return value is False. Raises StorageError.
    """
    if read_manifest(folder) is None:
        return True
    saved = read_saved_study(folder)
    now = study.with_winners(saved.tuned) if saved.tuned else study
    is_same = study.name == saved.name and study.registered == saved.registered
    if not is_same or build_deciding_content(now) != build_deciding_content(saved):
        return False
    if (text := now.as_yaml()) != saved.as_yaml():
        replace_file(folder / "study.yaml", text)
    _save_verdicts_of_answer(now, folder)
    return True


def _save_verdicts_of_answer(study: Study, folder: Path) -> None:
    """Store the verdicts at which the author's answer is first saved, so that a report can note later changes."""
    manifest = Manifest.read(folder)
    provenance = {name: value for name, value in manifest.provenance.items() if name != "answer"}
    if study.answer is not None:
        if manifest.provenance.get("answer", {}).get("text") == study.answer:
            return
        verdicts = collect_verdict_words(load_report(folder))
        provenance["answer"] = {"text": study.answer, "verdicts": verdicts}
    if provenance != manifest.provenance:
        manifest.model_copy(update={"provenance": provenance}).write(folder)


def check_owner(study: Study, folder: Path) -> None:
    """Check that a results folder holds no results of another study. Call it before the first write.

    The owner is the study file that the manifest names, as long as this file exists: a study file that was moved may
    continue, a copy with the same `name:` may not. Raises SpecError with the names of both.
    """
    try:
        before = read_manifest(folder)
    except StorageError:
        return  # a damaged manifest is written again, and the records identify their runs themselves
    if before is None:
        return
    remedy = "give the study another name, or pass --out with another folder"
    if before.study != study.name:
        rule = f"{folder} holds the results of study {before.study!r}; {remedy}"
        raise SpecError(Problem(rule, "name", study.locate_path("name"), study.name))
    owner, file = before.provenance.get("file"), study.source
    if not isinstance(owner, str) or file is None or _is_same_file(file, folder / "study.yaml"):
        return
    if Path(owner).exists() and not _is_same_file(Path(owner), file):
        rule = f"{folder} holds the results of {owner}, which has the same name; {remedy}"
        raise SpecError(Problem(rule, "name", study.locate_path("name"), study.name))


def _is_same_file(path: Path, other: Path) -> bool:
    return path.exists() and other.exists() and path.samefile(other)


def _locate_study_file(study: Study, folder: Path, before: Any) -> str | None:
    """Return the path of the study file, relative to the working directory where possible.

    Return `before`, the path in the manifest, if the study was loaded from the saved copy in the results folder.
    """
    file = study.source
    if file is None or not file.exists() or _is_same_file(file, folder / "study.yaml"):
        return before if isinstance(before, str) else None
    return _relate_to_working_directory(file)


def _relate_to_working_directory(path: Path) -> str:
    """Return a path relative to the working directory where it lies below it, else absolute."""
    path = path.resolve()
    return (path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path).as_posix()


def _build_registration(
    study: Study, deciding: Mapping[str, Any], before: Mapping[str, Any] | None, folder: Path, at: str
) -> Mapping[str, Any] | None:
    """Return the registration to write: the earlier one once there is a record, the study's own until then."""
    recorded = len(RecordStore(folder / "records").keys())
    if before is not None and recorded:
        return before
    if study.registered is None:
        return None
    return {
        "date": study.registered.isoformat(),
        "hash": hash_content(deciding),
        "registered_at": at,
        "recorded": recorded,  # records at the time of the registration
        "deciding": deciding,
    }


def write_proposals(folder: Path, planned: Sequence[PlannedRun], proposals: Sequence[Mapping[str, Any]]) -> None:
    """Write the runs and proposals of a search into the existing manifest, if they have changed."""
    before = Manifest.read(folder)
    changed = {"planned": tuple(planned), "provenance": {**before.provenance, "proposals": list(proposals)}}
    if before.planned != changed["planned"] or before.provenance != changed["provenance"]:
        before.model_copy(update=changed).write(folder)


def read_saved_winners(folder: Path) -> Mapping[str, TuningWinner]:
    """Return the tuning winners in the study.yaml of a results folder; none if the file cannot be read."""
    try:
        return load(folder / "study.yaml").tuned
    except SpecError:
        return {}


def read_saved_tuning(folder: Path) -> Sequence[TuningRun]:
    """Return the tuning trials in the manifest of a results folder; none if it cannot be read."""
    try:
        return Manifest.read(folder).tuning
    except StorageError:
        return ()


def read_manifest(folder: Path) -> Manifest | None:
    """Return the manifest of a results folder, None if the study was never run there. Raises StorageError."""
    return Manifest.read(folder) if (folder / "manifest.json").exists() else None
