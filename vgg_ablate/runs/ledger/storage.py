"""Storage of a ledger: SQLite, a journal file on a network file system, or a database server given by its URL.

A local ledger survives a killed driver, a full disk and a power cut: a damaged file is moved aside with an error, and
the next start rebuilds it from the records.
"""

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

MEMORY_URL = "memory"  # a ledger that is dropped at the end, for runs that nobody watches
_SQLITE, _JOURNAL = "sqlite:///", "journal:///"
_REMOTE = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "lustre", "gpfs", "beegfs", "virtiofs"}
)


def build_default_url(folder: Path) -> str:
    """Return the URL of the ledger in a results folder: an existing file, or the kind that the file system can hold."""
    database, journal = folder / "study.db", folder / "study.journal"
    if journal.exists() or (is_remote(folder) and not database.exists()):
        return f"{_JOURNAL}{journal}"
    return f"{_SQLITE}{database}"


def parse_file_path(url: str) -> Path | None:
    """Return the file that a URL names; None where it names a server, or memory."""
    scheme = next((scheme for scheme in (_SQLITE, _JOURNAL) if url.startswith(scheme)), None)
    return Path(url.removeprefix(scheme)) if scheme else None


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Return Optuna's storage for a URL. Raises StorageError where its file is damaged, having moved it aside."""
    if url == MEMORY_URL:
        return optuna.storages.InMemoryStorage()
    path = parse_file_path(url)
    if path is None:
        return optuna.storages.RDBStorage(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    if url.startswith(_JOURNAL):
        return _open_journal(path)
    _check_database(path)
    return optuna.storages.RDBStorage(url, engine_kwargs={"creator": lambda: _connect(path)})


def is_remote(path: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Return whether a path is on a network file system; False where the system has no table of mounts."""
    if not mounts.exists():
        return False
    fields = (line.split() for line in mounts.read_text(encoding="utf-8").splitlines())
    kinds = {mount.replace("\\040", " "): kind for _, mount, kind, *_ in fields}  # the table writes spaces as \040
    mount = next((parent for parent in (path.absolute(), *path.absolute().parents) if str(parent) in kinds), None)
    return mount is not None and (kinds[str(mount)] in _REMOTE or kinds[str(mount)].startswith("fuse."))


@contextlib.contextmanager
def translate_storage_errors(url: str) -> Iterator[None]:
    """Raise errors of Optuna, the database or the disk inside the block as StorageError, with the URL or the file."""
    url = mask_password(url)
    try:
        yield
    except (optuna.exceptions.StorageInternalError, sqlalchemy.exc.SQLAlchemyError, sqlite3.Error) as error:
        cause = error.__cause__ or error  # Optuna's own message says only that something went wrong
        raise StorageError(f"{url}: {str(cause).splitlines()[0]}") from error
    except ImportError as error:  # Optuna hides the name of the module behind a message of its own
        missing = getattr(error.__cause__ or error.__context__, "name", None) or "its module"
        raise StorageError(f"{url}: the driver of this database is not installed: {missing}") from error
    except OSError as error:
        raise StorageError(f"{error.filename or url}: {error.strerror}") from error


def _connect(path: Path) -> sqlite3.Connection:
    """Return a connection with which a dashboard can read while the driver writes."""
    # Half a minute: a dashboard that reads a large study may hold the database for seconds.
    connection = sqlite3.connect(path, timeout=30, check_same_thread=False)
    # A write-ahead log needs memory that all readers share, which a network file system does not have
    # (sqlite.org/wal.html).
    connection.execute(f"PRAGMA journal_mode={'DELETE' if is_remote(path) else 'WAL'}")
    # A power cut may cost the last trials, never the file; lost trials are added again from the records.
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _check_database(path: Path) -> None:
    """Raise StorageError where a database is damaged."""
    if not path.exists():
        return
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # locked, or unreadable: the file itself may be whole
            raise
        verdict = str(error)
    if verdict != "ok":
        raise _move_aside(path, verdict)


def _open_journal(path: Path) -> optuna.storages.JournalStorage:
    """Return a journal storage, which keeps one line per operation, after its torn last line was cut off.

    Optuna skips a torn last line when it reads, but appends the next operation to it, and then cannot read either.
    """
    lock = JournalFileSymlinkLock(str(path))
    lock.acquire()
    try:
        _cut_torn_line(path)
    finally:
        lock.release()
    try:
        return optuna.storages.JournalStorage(JournalFileBackend(str(path), lock))
    except (ValueError, KeyError) as error:
        raise _move_aside(path, f"a line is not an operation of Optuna: {error}") from error


def _cut_torn_line(path: Path) -> None:
    """Cut off a last line that a full disk or a crash has torn; its trial is added again from the record."""
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def _move_aside(path: Path, verdict: str) -> StorageError:
    """Move a damaged file and its write-ahead log out of the way, and return the error to raise."""
    aside = path.with_name(f"{path.name}.damaged")
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
    return StorageError(f"{path}: {verdict}; moved to {aside.name}: run again to rebuild it from the records")
