"""Connections to one SQLite file, and the one place where the driver's errors become ours."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from watcher.service.errors import StoreError

T = TypeVar("T")
_BUSY_SECONDS = 10.0
_WAL_LIMIT_BYTES = 64 * 2**20
_WAL_PAGES = 15_000
"""Pages in the log from which on they go into the file: about as many as the limit holds.

A page that polls change time and again goes there once, not each time. A start after a kill reads a full log in 0.02 s.
"""
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def make_engine(path: Path, *, writes: bool, connections: int = 1) -> Engine:
    """An engine on a file that exists; it never creates one. Without `writes` every change is refused."""
    # A path may hold any character; as_uri quotes it, so that `?` and `#` don't end the name.
    uri = f"{path.absolute().as_uri()}?mode=rw"

    def connect() -> sqlite3.Connection:
        # isolation_level None: the driver begins nothing by itself, `_begin` below does.
        raw = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            _prepare(raw, writes=writes)
        except BaseException:
            raw.close()
            raise
        return raw

    engine = create_engine(
        "sqlite://",
        creator=connect,
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        hide_parameters=True,  # errors are logged, and parameters are other people's data
    )
    # A deferred transaction that has read fails at once with "database is locked" when it then writes.
    begin = "BEGIN IMMEDIATE" if writes else "BEGIN"

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _prepare(raw: sqlite3.Connection, *, writes: bool) -> None:
    raw.execute("PRAGMA foreign_keys = ON")
    raw.execute("PRAGMA trusted_schema = OFF")
    if not writes:
        raw.execute("PRAGMA query_only = ON")
        return
    raw.execute("PRAGMA journal_mode = WAL")
    # NORMAL would lose acknowledged commits at a power cut: alerts, and the intent of a cancel.
    raw.execute("PRAGMA synchronous = FULL")
    raw.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
    raw.execute(f"PRAGMA wal_autocheckpoint = {_WAL_PAGES}")


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Raises StoreError, naming the file, for what SQLAlchemy and the driver raise inside."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as exc:
        raise StoreError(_explain(path, exc)) from exc


def _explain(path: Path, exc: Exception) -> str:
    cause = exc.orig if isinstance(exc, DBAPIError) and exc.orig is not None else exc
    # The low byte is the primary code: SQLITE_CORRUPT_INDEX and its kin are damage too.
    if (getattr(cause, "sqlite_errorcode", 0) & 0xFF) in _DAMAGE:
        return damaged(path, str(cause))
    return f"{path}: {cause}" if isinstance(cause, sqlite3.Error) else f"{path}: {type(cause).__name__}: {cause}"


def damaged(path: Path, detail: str) -> str:
    """What to tell of a file that is no sound database."""
    return (
        f"{path} is not a sound database ({detail}). It was left as it is. To restore: stop the daemon, move the file "
        f"away together with {path.name}-wal and {path.name}-shm, and copy a backup ({path.name}.backup-*) in its "
        "place; without a backup the next start makes a new database and reads the jobs from the API again"
    )


def transact(path: Path, engine: Engine, work: Callable[[Connection], T]) -> T:
    """Runs `work` in one transaction: committed when it returns, rolled back when it raises.

    Raises:
        StoreError: the store's own faults; whatever else `work` raises passes through.
    """
    with translated(path), engine.begin() as connection:
        return work(connection)
