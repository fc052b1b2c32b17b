"""The ledger on a real PostgreSQL server, which is started for these tests."""

from __future__ import annotations

import glob
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from tests.runs.harness import OPTIONS, build_fake_plan, make_study, run_in_process
from vgg_ablate.errors import StorageError
from vgg_ablate.runs.ledger.ledger import Ledger

ROOT = Path(__file__).parents[2]
BINARIES = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
pytestmark = pytest.mark.skipif(not BINARIES, reason="PostgreSQL is not installed (Debian: apt-get install postgresql)")


def run_as_postgres(*command: str) -> list[str]:
    """Return the command as user postgres if this process is root: the server refuses to run as root."""
    return (
        ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *command]
        if os.getuid() == 0
        else [*command]
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a server on a free port of the loopback interface and yield the URL of its database."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'vgg_ablate[postgres]')")
    folder, programs = Path("/tmp") / f"postgres-{os.getpid()}", os.path.dirname(BINARIES[-1])
    folder.mkdir(mode=0o700)
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
    subprocess.run(run_as_postgres(f"{programs}/initdb", "-A", "trust", "-U", "ablate", "-D", data), **quiet)  # type: ignore[call-overload]
    server = subprocess.Popen(
        run_as_postgres(f"{programs}/postgres", "-D", data, "-p", str(port), "-k", str(folder), "-F"),
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    try:
        _wait_for_server(port)
        yield f"postgresql+psycopg://ablate@127.0.0.1:{port}/postgres"
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def _wait_for_server(port: int) -> None:
    import psycopg

    for _ in range(100):
        try:
            psycopg.connect(host="127.0.0.1", port=port, user="ablate", dbname="postgres").close()
            return
        except psycopg.OperationalError:
            time.sleep(0.1)
    raise AssertionError("the server did not answer in 10 s")


def test_a_ledger_on_a_server_holds_what_a_file_holds(tmp_path: Path, server: str) -> None:
    plan, options = build_fake_plan(make_study(tmp_path, name="served")), replace(OPTIONS, storage=server)
    assert run_in_process(plan, tmp_path / "results", options).is_complete
    assert run_in_process(plan, tmp_path / "results", options).trained == 0
    with closing(Ledger.open("served", server)) as ledger:
        assert len(ledger.read_outcomes()) == 9
    assert not (tmp_path / "results" / "study.db").exists()


def test_a_password_is_in_no_byte_that_a_run_prints_or_leaves(tmp_path: Path, server: str) -> None:
    (tmp_path / "tiny.yaml").write_text(
        "version: 1\nname: tiny\nquestion: q\nseeds: 1\ndata: {name: digits, image_size: 8, limit: 200}\n"
        "arch: {stages: '4 | 4'}\ntrain: {epochs: 1}\n"
    )
    url = server.replace("ablate@", "ablate:hunter2@")
    command = [sys.executable, "-m", "vgg_ablate", "run", "tiny.yaml", "--workers", "1", "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for option, variable in ((["--storage", url], {}), ([], {"VGG_ABLATE_STORAGE": url})):  # trained, then recorded
        done = subprocess.run(
            [*command, *option], cwd=tmp_path, env=environment | variable, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        assert not (tmp_path / "results" / "tiny" / "study.db").exists()
        written = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(written) > 8
        for content in (done.stdout, done.stderr, *(path.read_bytes() for path in written)):
            assert b"hunter2" not in content


def test_a_server_that_does_not_answer_is_an_error_of_the_environment(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'vgg_ablate[postgres]')")
    options = replace(OPTIONS, storage="postgresql+psycopg://ablate@127.0.0.1:1/postgres")
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1.*connection"):
        run_in_process(build_fake_plan(make_study(tmp_path)), tmp_path / "results", options)


def test_a_password_is_in_no_message(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed (pip install 'vgg_ablate[postgres]')")
    options = replace(OPTIONS, storage="postgresql+psycopg://ablate:secret@127.0.0.1:1/postgres")
    with pytest.raises(StorageError) as caught:
        run_in_process(build_fake_plan(make_study(tmp_path)), tmp_path / "results", options)
    assert "secret" not in str(caught.value)
