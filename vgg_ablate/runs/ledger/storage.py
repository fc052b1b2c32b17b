"""Where a ledger is kept: in SQLite, on a network file system in a journal file, or on a server by its URL."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import optuna
import sqlalchemy.exc
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

from vgg_ablate.errors import StorageError
from vgg_ablate.runs.provenance import mask_password

MEMORY_URL = "memory"  # a ledger that is forgotten at the end, for when nobody looks on
_SQLITE, _JOURNAL = "sqlite:///", "journal:///"
_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "virtiofs"}
)


def build_default_url(folder: Path) -> str:
    """The URL of the ledger in a results folder: of the one that is there, or of the one that its disk can hold."""
    database, journal = folder / "study.db", folder / "study.journal"
    if journal.exists() or (is_remote(folder) and not database.exists()):
        return f"{_JOURNAL}{journal}"
    return f"{_SQLITE}{database}"


def parse_file_path(url: str) -> Path | None:
    """The file that a URL names; None where it names a server, or nothing."""
    scheme = next((scheme for scheme in (_SQLITE, _JOURNAL) if url.startswith(scheme)), None)
    return Path(url.removeprefix(scheme)) if scheme else None


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Optuna's storage, opened. Raises StorageFailed where its file is damaged, having moved it aside."""
    if url == MEMORY_URL:
        return optuna.storages.InMemoryStorage()
    path = parse_file_path(url)
    if path is None:
        return optuna.storages.RDBStorage(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    if url.startswith(_JOURNAL):
        return _journal(path)
    _check(path)
    return optuna.storages.RDBStorage(url, engine_kwargs={"creator": lambda: _connection(path)})


def is_remote(path: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Does the path lie on a network file system? False where the system does not say."""
    if not mounts.exists():
        return False
    fields = (line.split() for line in mounts.read_text(encoding="utf-8").splitlines())
    kinds = {mount.replace("\\040", " "): kind for _, mount, kind, *_ in fields}
    around = next((parent for parent in (path.absolute(), *path.absolute().parents) if str(parent) in kinds), None)
    return around is not None and (kinds[str(around)] in _REMOTE or kinds[str(around)].startswith("fuse."))


@contextlib.contextmanager
def translate_storage_errors(place: str) -> Iterator[None]:
    """What goes wrong inside is the storage's: StorageFailed, with its place."""
    place = mask_password(place)
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error) as error:
        cause = error.__cause__ or error
        raise StorageError(f"{place}: {str(cause).splitlines()[0]}") from error
    except OSError as error:
        raise StorageError(f"{error.filename or place}: {error.strerror}") from error


def _connection(path: Path) -> sqlite3.Connection:
    """WAL, so that a dashboard reads while the driver writes; NORMAL: a power cut costs trials, never the file.

    WAL needs memory that all readers share, which a network file system does not have (sqlite.org/wal.html).
    """
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    connection.execute(f"PRAGMA journal_mode={'DELETE' if is_remote(path) else 'WAL'}")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _check(path: Path) -> None:
    """Raises StorageFailed where a database is damaged."""
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
        verdict = str(error)
    if verdict != "ok":
        raise _moved_aside(path, verdict)


def _journal(path: Path) -> optuna.storages.JournalStorage:
    """A line an operation. Optuna reads over a torn last line, and appends to it what can then never be read."""
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        _mend(path)
    finally:
        lock.release()
    try:
        return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock))
    except (ValueError, KeyError) as error:
        raise _moved_aside(path, f"a line is no operation of Optuna's: {error}") from error


def _mend(path: Path) -> None:
    """Cut off a last line that a full disk or a crash has torn: what it was about is told again from the records."""
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _moved_aside(path: Path, verdict: str) -> StorageError:
    aside = path.with_name(f"{path.name}.damaged")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    return StorageError(f"{path}: {verdict}; moved to {aside.name}: run again, and it is made anew from the records")
