"""Database files that are not ours, not sound, or too new: refused with advice, and left as they are."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import pytest

from tests.stored import JOB, a_job
from watcher.domain.observations import TrainRow
from watcher.service.errors import SchemaTooNewError, StoreError
from watcher.service.ports import Writes
from watcher.store.files import back_up
from watcher.store.sqlite import open_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "watcher.db"


def fill(tx: Writes, rows: int = 2000) -> None:
    tx.save_job(a_job())
    tx.append(JOB, 1, [TrainRow(n, n, 1.5) for n in range(rows)])


def test_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    open_store(path).close()
    with sqlite3.connect(path) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    before = path.read_bytes()

    for query_only in (True, False):
        with pytest.raises(SchemaTooNewError, match="9999"):
            open_store(path, query_only=query_only)

    assert path.read_bytes() == before


@pytest.mark.parametrize("query_only", [True, False])
@pytest.mark.parametrize("content", [b"not a database, but somebody's notes\n" * 100, b"\x00" * 5000, b"xy"])
def test_a_file_that_is_no_database_is_kept(path: Path, content: bytes, *, query_only: bool) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(StoreError, match=r"watcher\.db.*left as it is.*To restore: stop the daemon") as caught:
        open_store(path, query_only=query_only)

    assert not isinstance(caught.value, SchemaTooNewError)
    assert path.read_bytes() == content


@pytest.mark.parametrize("query_only", [True, False])
def test_a_database_of_another_program_is_kept(path: Path, *, query_only: bool) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as raw:
        raw.execute("CREATE TABLE albums (title)")
    raw.close()

    with pytest.raises(StoreError, match="some other program"):
        open_store(path, query_only=query_only)

    with sqlite3.connect(path) as raw:
        assert raw.execute("SELECT name FROM sqlite_master").fetchall() == [("albums",)]
    raw.close()


def test_a_truncated_file_is_found_at_the_start(path: Path) -> None:
    with open_store(path) as store:
        store.write_now(fill)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.truncate(size // 2)

    with pytest.raises(StoreError, match="left as it is"):
        open_store(path)

    assert path.stat().st_size == size // 2


def test_damage_found_later_names_the_file_too(path: Path) -> None:
    open_store(path).close()
    empty = path.stat().st_size // 4096
    with open_store(path) as store:
        store.write_now(fill)
    with path.open("r+b") as file:
        file.seek(0, os.SEEK_END)
        pages = file.tell() // 4096
        for page in range(empty, pages):  # what was filled in: the tables themselves can be read
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)

    with pytest.raises(StoreError, match=r"watcher\.db.*To restore"):
        open_store(path)
    with open_store(path, query_only=True) as reader, pytest.raises(StoreError, match=r"watcher\.db.*To restore"):
        reader.read_now(lambda tx: tx.observations(JOB))


def test_a_backup_restores(path: Path) -> None:
    with open_store(path) as store:
        store.write_now(lambda tx: tx.set_meta("m", "before"))
        backup = back_up(path, "test")
        store.write_now(lambda tx: tx.set_meta("m", "after"))
        assert back_up(path, "later").name == "watcher.db.backup-later"
    path.write_bytes(b"broken")

    shutil.copy(backup, path)

    assert oct(stat.S_IMODE(backup.stat().st_mode)) == "0o600"
    with open_store(path) as store:
        assert store.read_now(lambda tx: tx.meta("m")) == "before"
