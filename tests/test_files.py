"""Files are written whole or not at all, and locks end with their process."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from vgg_ablate.errors import StorageError
from vgg_ablate.files import open_lock_file, replace_file, try_lock, write_once

HOLD_LOCK = """
import sys
from pathlib import Path
from vgg_ablate.files import open_lock_file, try_lock

handle = open_lock_file(Path(sys.argv[1]))
print(try_lock(handle, shared=sys.argv[2] == "shared"), flush=True)
sys.stdin.read()
"""


def start_holder(path: Path, kind: str) -> subprocess.Popen[str]:
    """Start a process that holds the lock until it is killed."""
    command = [sys.executable, "-c", HOLD_LOCK, str(path), kind]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    return process


@pytest.mark.parametrize(("kind", "shared_succeeds"), [("exclusive", False), ("shared", True)])
def test_a_lock_excludes_other_processes_until_its_process_dies(
    tmp_path: Path, kind: str, shared_succeeds: bool
) -> None:
    path = tmp_path / "locks" / "study.lock"
    holder = start_holder(path, kind)
    handle = open_lock_file(path)
    try:
        assert try_lock(handle, shared=True) is shared_succeeds
        assert not try_lock(handle)
        holder.kill()
        holder.communicate()
        assert try_lock(handle)
    finally:
        os.close(handle)
        holder.kill()
        holder.communicate()


def test_of_many_writers_exactly_one_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "records" / "key.json"
    with ThreadPoolExecutor(16) as executor:
        written = list(executor.map(lambda index: write_once(path, str(index)), range(64)))
    assert sum(written) == 1
    assert path.read_text() == str(written.index(True))
    assert list(path.parent.iterdir()) == [path], "no temporary file is left"


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_files_have_the_mode_that_the_umask_allows(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        replace_file(tmp_path / "manifest.json", "")
        write_once(tmp_path / "record.json", "")
        os.close(open_lock_file(tmp_path / "study.lock"))
    finally:
        os.umask(before)
    assert {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == dict.fromkeys(
        ("manifest.json", "record.json", "study.lock"), mode
    )


def test_a_replaced_file_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    for content in ("first", b"second", "gr\u00fcn"):
        replace_file(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_a_storage_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "record.json"
    for write in (replace_file, write_once, lambda path, _: open_lock_file(path)):
        with pytest.raises(StorageError, match=r"file/record\.json: Not a directory|file/record\.json: File exists"):
            write(path, "content")
