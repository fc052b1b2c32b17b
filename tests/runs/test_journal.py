"""The ledger in a journal file, as on a network file system: what a full disk or a crash has torn is repaired."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from tests import fake_training
from tests.runs.harness import OPTIONS, build_fake_plan, make_study, run_in_process
from vgg_ablate.errors import StorageError
from vgg_ablate.runs.ledger import storage
from vgg_ablate.runs.ledger.ledger import Ledger
from vgg_ablate.runs.rebuild import rebuild_ledger


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The journal of a complete study of 9 runs, in its results folder."""
    folder = tmp_path / "results"
    path = folder / "study.journal"
    options = replace(OPTIONS, storage=f"journal:///{path}")
    assert run_in_process(build_fake_plan(make_study(tmp_path)), folder, options).is_complete
    assert not (folder / "study.db").exists()
    return path


def count_trials(journal: Path) -> int:
    """Return the number of runs that the ledger holds."""
    with closing(Ledger.open("asked", storage.build_default_url(journal.parent))) as ledger:
        return len(ledger.read_outcomes())


def test_a_journal_holds_every_run_and_the_next_start_continues_it(tmp_path: Path, journal: Path) -> None:
    assert count_trials(journal) == 9
    assert run_in_process(build_fake_plan(make_study(tmp_path, variants=3)), journal.parent).trained == 3
    assert count_trials(journal) == 12
    assert not (journal.parent / "study.db").exists()
    reopened = optuna.load_study(
        study_name="asked", storage=optuna.storages.JournalStorage(JournalFileBackend(str(journal)))
    )
    runs = {trial.user_attrs["run"] for trial in reopened.trials}
    assert runs == {f"{variant}/{seed}" for variant in ("base", "v0", "v1", "v2") for seed in range(3)}


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.97, 0.9999])
def test_a_torn_last_line_is_cut_off_and_its_trial_added_again(tmp_path: Path, journal: Path, kept: float) -> None:
    whole = journal.read_bytes()
    torn = whole[: int(len(whole) * kept)].rstrip(b"\n")
    journal.write_bytes(torn)
    assert run_in_process(build_fake_plan(make_study(tmp_path)), journal.parent).trained == 0
    assert count_trials(journal) == 9
    assert journal.read_bytes().startswith(torn[: torn.rfind(b"\n") + 1])
    with closing(Ledger.open("asked", storage.build_default_url(journal.parent))) as ledger:
        assert {trial.state for trial in ledger.study.get_trials()} == {TrialState.COMPLETE}


def test_a_journal_with_a_damaged_line_is_reported_moved_aside_and_rebuilt(tmp_path: Path, journal: Path) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:5], b"not an operation\n", *lines[5:]]))
    with pytest.raises(StorageError, match=r"study\.journal: a line .*moved to study\.journal\.damaged: run again"):
        run_in_process(build_fake_plan(make_study(tmp_path)), journal.parent)
    options = replace(OPTIONS, storage=f"journal:///{journal}")
    assert run_in_process(build_fake_plan(make_study(tmp_path)), journal.parent, options).trained == 0
    assert count_trials(journal) == 9


def test_a_database_without_its_driver_is_an_error_that_names_the_module() -> None:
    url = "mssql+pymssql://ann:secret@localhost/ledger"
    with pytest.raises(StorageError, match=r"mssql.*: the driver of this database is not installed: pymssql") as caught:
        Ledger.open("asked", url)
    assert "secret" not in str(caught.value)


def test_a_journal_is_rebuilt_from_the_records(tmp_path: Path, journal: Path) -> None:
    assert rebuild_ledger(make_study(tmp_path), journal.parent, None, fake_training.fingerprint) == 9
    assert count_trials(journal) == 9


def test_a_results_folder_on_a_network_file_system_gets_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "is_remote", lambda path: True)
    folder = tmp_path / "results"
    assert run_in_process(build_fake_plan(make_study(tmp_path)), folder).is_complete
    assert (folder / "study.journal").exists()
    assert count_trials(folder / "study.journal") == 9
