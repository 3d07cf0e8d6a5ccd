"""Backups that a person asks for, and the way back."""

from pathlib import Path

from watcher.service.errors import ConfigError, StoreError
from watcher.store.engine import make_engine, transact
from watcher.store.files import check, refuse_newer, require, revision, vacuum_into

_FILES = ("-wal", "-shm", "")
"""What belongs to a database, the file itself last: until it is moved the old one is still in its place."""


def copy_to(path: Path, target: Path) -> None:
    """A copy of the database at `target`, consistent even while others write.

    Raises:
        ConfigError: there is something at `target`.
        StoreError: it could not be written, or there is no database.
    """
    require(path)
    if target.exists():
        raise ConfigError(f"{target} exists; expected a file that is not there yet")
    vacuum_into(path, target)


def restore_from(path: Path, source: Path, stamp: str) -> Path | None:
    """Put the backup `source` in the place of the database; nobody may have it open.

    Returns where the database that was there is kept: `<file>.before-restore-<stamp>`, with its log files.

    Raises:
        ConfigError: `source` is no sound database of ours; nothing was changed.
        SchemaTooNewError: a newer version wrote it; nothing was changed.
        StoreError: it could not be written.
    """
    refuse_newer(source, _sound(source))
    new = path.with_name(f"{path.name}.restoring")
    kept = path.with_name(f"{path.name}.before-restore-{stamp}") if path.exists() else None
    try:
        new.unlink(missing_ok=True)
        vacuum_into(source, new)
        if kept is not None:
            _move(path, kept)
        new.rename(path)
    except OSError as exc:
        raise StoreError(f"{path} can't be replaced: {exc.strerror}") from exc
    return kept


def _sound(source: Path) -> str:
    """The revision of a backup that was looked through."""
    if not source.is_file():
        raise ConfigError(f"{source} does not exist; expected a backup of the database")
    engine = make_engine(source, writes=False)
    try:
        check(source, engine)
        found = transact(source, engine, lambda connection: revision(source, connection))
    except StoreError as exc:
        raise ConfigError(f"{source} is no sound database of this program; nothing was changed") from exc
    finally:
        engine.dispose()
    if found is None:
        raise ConfigError(f"{source} is empty; expected a backup of the database")
    return found


def _move(path: Path, kept: Path) -> None:
    # A log that stayed behind would be taken for that of the restored file.
    for ending in _FILES:
        part = path.with_name(f"{path.name}{ending}")
        if part.exists():
            part.rename(kept.with_name(f"{kept.name}{ending}"))
