"""The store as a file: its modes, crashes, damage, full disks and other processes."""

import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.leaks import heard
from tests.stored import JOB, NOW, a_job, a_proposal, an_effect
from watcher.domain.observations import TrainRow
from watcher.service.errors import StoreError
from watcher.service.ports import Writes
from watcher.service.records import ProposalState
from watcher.store.sqlite import SqliteStore, open_store

NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "watcher.db"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pragma(store: SqliteStore, name: str) -> object:
    return store.write_now(lambda tx: tx._connection.exec_driver_sql(f"PRAGMA {name}").scalar())  # type: ignore[attr-defined]


def fill(tx: Writes, rows: int = 2000) -> None:
    tx.save_job(a_job())
    tx.append(JOB, 1, [TrainRow(n, n, 1.5) for n in range(rows)])


# --- the file ---


def test_file_and_directory_are_for_the_owner_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        with open_store(path) as store:
            store.write_now(fill)

            assert {name.name: oct(mode(name)) for name in path.parent.iterdir()} == dict.fromkeys(
                ("watcher.db", "watcher.db-wal", "watcher.db-shm"), "0o600"
            )
            assert oct(mode(path.parent)) == "0o700"
    finally:
        os.umask(old)


def test_a_file_that_others_could_read_is_closed_to_them(path: Path) -> None:
    open_store(path).close()
    path.chmod(0o644)

    open_store(path).close()

    assert oct(mode(path)) == "0o600"


def test_a_directory_that_was_there_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)

    open_store(shared / "watcher.db").close()

    assert oct(mode(shared)) == "0o755"


def test_commits_are_durable_and_readers_do_not_wait(path: Path) -> None:
    with open_store(path) as store:
        settings = {name: pragma(store, name) for name in ("journal_mode", "synchronous", "foreign_keys", "query_only")}

    assert settings == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "query_only": 0}
    assert [p.name for p in path.parent.iterdir()] == ["watcher.db"]


@pytest.mark.parametrize("name", ["a?mode=ro.db", "100%20 #1 ü.db"])
def test_a_path_may_hold_any_character(tmp_path: Path, name: str) -> None:
    with open_store(tmp_path / name) as store:
        store.write_now(lambda tx: tx.set_meta("m", "1"))

    with open_store(tmp_path / name, create=False) as store:
        assert store.read_now(lambda tx: tx.meta("m")) == "1"
    assert [p.name for p in tmp_path.iterdir()] == [name]


# --- beside a running daemon ---


def test_a_reader_sees_what_a_running_daemon_commits_and_changes_nothing(path: Path) -> None:
    with open_store(path) as daemon, open_store(path, query_only=True) as reader:
        daemon.write_now(lambda tx: tx.set_meta("m", "1"))

        assert reader.read_now(lambda tx: tx.meta("m")) == "1"
        with pytest.raises(StoreError, match="for reading only"):
            reader.write_now(lambda tx: tx.set_meta("m", "2"))
        with pytest.raises(StoreError, match="readonly"):
            reader.read_now(lambda tx: tx._connection.exec_driver_sql("DELETE FROM meta"))  # type: ignore[attr-defined]


@pytest.mark.parametrize("query_only", [True, False])
def test_a_missing_file_is_not_made_by_looking(path: Path, *, query_only: bool) -> None:
    with pytest.raises(StoreError, match=r"watcher\.db does not exist"):
        open_store(path, create=False, query_only=query_only)

    assert not path.parent.exists()


def test_an_empty_file_is_a_fresh_database_for_the_daemon_alone(tmp_path: Path) -> None:
    path = tmp_path / "watcher.db"
    path.touch()

    with pytest.raises(StoreError, match="is empty"):
        open_store(path, query_only=True)

    open_store(path).close()
    open_store(path, query_only=True).close()


def test_of_two_processes_that_move_a_proposal_one_wins(path: Path) -> None:
    with open_store(path) as one, open_store(path) as two, ThreadPoolExecutor(2) as threads:
        for n in range(20):
            name = f"p{n}"
            one.write_now(lambda tx, name=name: tx.add_proposal(a_proposal(name)))  # type: ignore[misc]
            together = threading.Barrier(2)

            def move(
                store: SqliteStore, state: ProposalState, name: str = name, together: threading.Barrier = together
            ) -> bool:
                together.wait(20)
                new = a_proposal(name, state=state)
                return store.write_now(lambda tx: tx.move_proposal(name, ProposalState.PROPOSED, new))

            claim = threads.submit(move, one, ProposalState.CONFIRMED)
            veto = threads.submit(move, two, ProposalState.VETOED)

            assert claim.result() != veto.result()
            won = ProposalState.CONFIRMED if claim.result() else ProposalState.VETOED
            found = two.read_now(lambda tx, name=name: tx.proposal(name))  # type: ignore[misc]
            assert found is not None
            assert found.state is won


# --- crashes ---

WRITER = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from watcher.service.records import Effect, NewEffect
from watcher.store.sqlite import open_store

now = datetime(2026, 11, 23, tzinfo=timezone.utc)
store = open_store(Path(sys.argv[1]))
for n in range(10**9):
    def work(tx):
        tx.set_meta("last", str(n))
        tx.enqueue([NewEffect(key=str(n), effect=Effect.NOTIFY, lane="l", payload="x" * 500, next_at=now)], now)
    store.write_now(work)
    print(n, flush=True)
"""


def run_python(code: str, *arguments: str) -> "subprocess.Popen[str]":
    root = Path(__file__).parents[2]
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True, cwd=root
    )


def test_kill_9_loses_no_acknowledged_commit(path: Path) -> None:
    for commits in (1, 40, 300):
        path.unlink(missing_ok=True)
        with run_python(WRITER, str(path)) as process:
            assert process.stdout is not None
            told = [process.stdout.readline() for _ in range(commits)]
            process.send_signal(signal.SIGKILL)
            told += process.stdout.readlines()
        heard("what a process printed", "".join(told))
        acknowledged = max(int(line) for line in told if line.endswith("\n"))

        with open_store(path, query_only=True) as reader:
            rows = reader.read_now(lambda tx: tx.outbox(limit=10**6))
            last = reader.read_now(lambda tx: tx.meta("last"))
        with open_store(path) as store:
            assert pragma(store, "integrity_check") == "ok"

        assert last is not None
        assert int(last) >= acknowledged
        assert [row.key for row in rows] == [str(n) for n in range(int(last) + 1)]


# --- no room, no permission ---


def test_a_full_disk_is_a_store_error_and_passes(path: Path) -> None:
    with open_store(path) as store:
        store.write_now(lambda tx: tx.set_meta("m", "1"))
        pages = pragma(store, "page_count")
        pragma(store, f"max_page_count = {pages}")

        for _ in range(3):
            with pytest.raises(StoreError, match=r"watcher\.db: database or disk is full"):
                store.write_now(fill)
        assert store.read_now(lambda tx: tx.jobs()) == []
        assert store.read_now(lambda tx: tx.meta("m")) == "1"

        pragma(store, "max_page_count = 1000000")
        store.write_now(fill)

        assert len(store.read_now(lambda tx: tx.observations(JOB))) == 2000


@pytest.fixture
def locked_directory() -> Iterator[Path]:
    """A directory that nobody may write to, reachable by any user."""
    directory = Path(tempfile.mkdtemp(prefix="store-"))
    directory.chmod(0o555)
    yield directory
    directory.chmod(0o755)
    shutil.rmtree(directory)


UNPRIVILEGED = """
import os, sys
from pathlib import Path
from watcher.service.errors import StoreError
from watcher.store.sqlite import open_store

if os.geteuid() == 0:  # root may write anywhere
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
try:
    open_store(Path(sys.argv[1]))
except StoreError as error:
    print(error)
"""


@pytest.mark.parametrize("name", ["watcher.db", "below/watcher.db"])
def test_a_directory_that_can_not_be_written_is_named(locked_directory: Path, name: str) -> None:
    path = locked_directory / name

    with run_python(UNPRIVILEGED, str(path), str(NOBODY)) as process:
        said, _ = process.communicate(timeout=30)

    assert said == f"{path} can't be created: Permission denied\n"


def test_a_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").touch()

    with pytest.raises(StoreError, match=r"state/watcher\.db can't be created"):
        open_store(tmp_path / "state" / "watcher.db")


def test_a_database_kept_busy_by_another_is_a_store_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watcher.store.engine._BUSY_SECONDS", 0.0)
    with open_store(path) as store:
        raw = sqlite3.connect(path, isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreError, match="database is locked"):
            store.write_now(lambda tx: tx.enqueue([an_effect("k")], NOW))

        raw.execute("ROLLBACK")
        raw.close()
        assert store.write_now(lambda tx: tx.enqueue([an_effect("k")], NOW)) == 1


def test_a_write_holds_the_file_from_its_first_word(path: Path) -> None:
    """A transaction that reads first and locks later fails when another process wrote in between."""
    with open_store(path) as store:
        other = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)

        def work(tx: Writes) -> None:
            assert tx.meta("m") is None
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("INSERT INTO meta VALUES ('m', '2')")
            tx.set_meta("m", "1")

        store.write_now(work)
        other.close()

        assert store.read_now(lambda tx: tx.meta("m")) == "1"


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, watcher.store.sqlite; print(sorted({'alembic', 'mako', 'sqlalchemy.orm'} & set(sys.modules)))"

    with run_python(code) as process:
        said, _ = process.communicate(timeout=30)

    assert said == "[]\n"
