"""The folders and locks of the cache."""

from __future__ import annotations

import errno
import multiprocessing
import sys
import time
from pathlib import Path

import pytest

from vgg_ablate.config.training import Data
from vgg_ablate.data.cache import find_data_root, get_cache_dir, hold_cache_lock
from vgg_ablate.errors import StorageError

Patch = pytest.MonkeyPatch


def test_the_cache_folder_is_the_environment_variables_or_the_users(tmp_path: Path, monkeypatch: Patch) -> None:
    monkeypatch.setenv("VGG_ABLATE_CACHE", str(tmp_path / "own"))
    assert get_cache_dir() == tmp_path / "own"
    monkeypatch.delenv("VGG_ABLATE_CACHE")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert get_cache_dir() == tmp_path / "xdg" / "vgg_ablate"
        monkeypatch.delenv("XDG_CACHE_HOME")
        assert get_cache_dir() == Path.home() / ".cache" / "vgg_ablate"


def test_the_data_root_is_the_studys_below_the_environment_variables(tmp_path: Path, monkeypatch: Patch) -> None:
    unnamed, relative = Data(name="mnist"), Data(name="mnist", root="sets")
    monkeypatch.delenv("VGG_ABLATE_DATA", raising=False)
    assert find_data_root(unnamed) == get_cache_dir() / "data"
    assert find_data_root(relative) == Path("sets")
    monkeypatch.setenv("VGG_ABLATE_DATA", str(tmp_path))
    assert find_data_root(unnamed) == tmp_path
    assert find_data_root(relative) == tmp_path / "sets"
    assert find_data_root(Data(name="mnist", root="/absolute")) == Path("/absolute")


def append_twice(path: Path) -> None:
    """Append two lines under the lock, with time for another process in between."""
    with hold_cache_lock(path):
        name = multiprocessing.current_process().name
        for _ in range(2):
            with path.open("a") as file:
                file.write(f"{name}\n")
            time.sleep(0.05)


def test_one_process_at_a_time_holds_a_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=append_twice, args=(tmp_path / "entry",)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    lines = (tmp_path / "entry").read_text().splitlines()
    assert len(set(lines)) == 3
    assert lines[::2] == lines[1::2]


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_on_a_file_system_without_locks_the_block_runs_unlocked(tmp_path: Path, monkeypatch: Patch, code: int) -> None:
    def refuse(handle: int, operation: int) -> None:
        raise OSError(code, "flock is not supported")

    monkeypatch.setattr(pytest.importorskip("fcntl"), "flock", refuse)
    with hold_cache_lock(tmp_path / "entry"):
        pass


def test_a_lock_that_cannot_be_made_is_an_error_that_names_the_entry_and_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(StorageError, match=r"entry: .*; \$VGG_ABLATE_CACHE names another folder"),
        hold_cache_lock(tmp_path / "file" / "entry"),
    ):
        pytest.fail("entered without a lock")


def test_an_error_inside_the_lock_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="inside"), hold_cache_lock(tmp_path / "entry"):
        raise OSError(errno.ENOLCK, "inside")
