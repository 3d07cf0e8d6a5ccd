"""The database file: made private, recognised, checked, brought up to date and backed up."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select

from watcher.service.errors import SchemaTooNewError, StoreError
from watcher.store import schema
from watcher.store.engine import damaged, transact, translated

_PRIVATE_FILE = 0o600
_PRIVATE_DIRECTORY = 0o700
_CHECK_BELOW_BYTES = 256 * 2**20  # a quick_check of this much takes about 0.3 s
_UPGRADE_SECONDS = 3600


def make_private(path: Path) -> None:
    """Creates the file and its directory when they are missing, readable by the owner alone.

    Raises:
        StoreError: the operating system refuses.
    """
    try:
        path.parent.mkdir(mode=_PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        if path.exists():
            # Never opened here: closing a file drops the locks that this process's other connections have on it.
            if path.stat().st_mode & 0o777 != _PRIVATE_FILE:
                path.chmod(_PRIVATE_FILE)
        else:
            # SQLite would make it with the umask's mode; its -wal and -shm files take over the mode of the file.
            path.touch(_PRIVATE_FILE)
    except OSError as exc:
        raise StoreError(f"{path} can't be created: {exc.strerror}") from exc


def require(path: Path) -> None:
    """Raises StoreError when there is no such file."""
    if not path.is_file():
        raise StoreError(f"{path} does not exist: no daemon has run with this state directory yet")


def revision(path: Path, connection: Connection) -> str | None:
    """The revision of the schema; None for a database without any table."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    found = connection.execute(select(schema.versions.c.version_num)).scalar() if "alembic_version" in tables else None
    if found is None:
        raise StoreError(f"{path} is a database of some other program; it was left as it is")
    return str(found)


def _create(path: Path, connection: Connection) -> str:
    """The revision, after making all tables in a database that has none."""
    found = revision(path, connection)
    if found is not None:
        return found
    schema.metadata.create_all(connection)
    schema.versions.create(connection)
    connection.execute(schema.versions.insert(), {"version_num": schema.REVISIONS[-1]})
    return schema.REVISIONS[-1]


def prepare(path: Path, engine: Engine) -> None:
    """Makes a fresh database, or brings an older one up to date after a backup beside it.

    Raises:
        SchemaTooNewError: a newer version wrote it.
        StoreError: it is damaged, foreign, or could not be written.
    """
    if path.stat().st_size <= _CHECK_BELOW_BYTES:
        check(path, engine)
    found = transact(path, engine, lambda connection: _create(path, connection))
    refuse_newer(path, found)
    if found != schema.REVISIONS[-1]:
        back_up(path, found)
        _upgrade(path)


def recognise(path: Path, engine: Engine) -> None:
    """Looks, and changes nothing.

    Raises:
        SchemaTooNewError: a newer version wrote it.
        StoreError: it is damaged, foreign, or older than this version reads.
    """
    found = transact(path, engine, lambda connection: revision(path, connection))
    if found is None:
        raise StoreError(f"{path} is empty: no daemon has run with this state directory yet")
    refuse_newer(path, found)
    if found != schema.REVISIONS[-1]:
        raise StoreError(f"{path} was written by an older version; the daemon brings it up to date when it starts")


def refuse_newer(path: Path, found: str) -> None:
    """Raises SchemaTooNewError for a revision that this version does not know."""
    if found not in schema.REVISIONS:
        raise SchemaTooNewError(
            f"{path} has schema {found}, and this version knows schemas up to {schema.REVISIONS[-1]}: "
            "install the version that wrote it, or restore a backup"
        )


def check(path: Path, engine: Engine) -> None:
    """Raises StoreError when the file is damaged."""
    with translated(path), engine.connect() as connection:
        verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
    if verdict != "ok":
        raise StoreError(damaged(path, " ".join(str(verdict).split())))


def back_up(path: Path, name: str) -> Path:
    """A copy of the database at `<file>.backup-<name>`, consistent even while others write.

    Raises:
        StoreError: it could not be written; nothing was changed then.
    """
    backup = path.with_name(f"{path.name}.backup-{name}")
    vacuum_into(path, backup)
    return backup


def vacuum_into(path: Path, backup: Path) -> None:
    """A copy of the database at `backup`, whole or not at all, consistent even while others write.

    Raises:
        StoreError: it could not be written.
    """
    unfinished = backup.with_name(f"{backup.name}.part")
    try:
        unfinished.unlink(missing_ok=True)
        make_private(unfinished)
        with translated(path), closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("VACUUM INTO ?", [str(unfinished)])
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(backup)
    except OSError as exc:
        raise StoreError(f"{backup} can't be written: {exc.strerror}") from exc


def _upgrade(path: Path) -> None:
    # A child process: Alembic takes 1.5 s and 43 MB to import, which the daemon would keep for its whole life.
    command = [sys.executable, "-P", "-m", "watcher.store.migrations", str(path.absolute())]
    # It imports from where this process does, installed or not.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        subprocess.run(  # noqa: S603 - our own module
            command, check=True, capture_output=True, text=True, timeout=_UPGRADE_SECONDS, env=environment
        )
    except subprocess.CalledProcessError as exc:
        last = exc.stderr.strip().splitlines()[-1:] or [f"exit code {exc.returncode}"]
        raise StoreError(f"{path} could not be brought up to date and was left as it was: {last[0]}") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise StoreError(f"{path} could not be brought up to date: {type(exc).__name__}") from exc
