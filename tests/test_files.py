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


def test_a_replaced_file_is_readable_by_others_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    for content in ("first", b"second", "gr\u00fcn"):
        replace_file(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_a_storage_error_with_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "record.json"
    for write in (replace_file, write_once, lambda path, _: open_lock_file(path)):
        with pytest.raises(StorageError, match=r"file/record\.json: Not a directory|file/record\.json: File exists"):
            write(path, "content")
