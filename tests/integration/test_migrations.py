"""Schemas of older versions: brought up to date in a child process, after a backup, and equal to a fresh one."""

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from tests.stored import JOB, a_job
from watcher.domain.observations import TrainRow
from watcher.service.errors import StoreError
from watcher.service.ports import Writes
from watcher.store import files, schema
from watcher.store.engine import make_engine
from watcher.store.migrations.__main__ import SCRIPTS, main, upgrade
from watcher.store.sqlite import open_store


def schema_of(path: Path) -> dict[str, str]:
    """The statement that made each table and index, by name, without regard to blanks."""
    with closing(sqlite3.connect(path)) as raw:
        found = raw.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.split()) for name, sql in found}


def revision_of(path: Path) -> list[tuple[str]]:
    with closing(sqlite3.connect(path)) as raw:
        return raw.execute("SELECT version_num FROM alembic_version").fetchall()


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    path = tmp_path / "fresh.db"
    open_store(path).close()
    return path


@pytest.fixture
def migrated(tmp_path: Path) -> Path:
    """From the first revision on, as if every version had been installed in turn."""
    path = tmp_path / "migrated.db"
    path.touch()
    for revision in schema.REVISIONS:
        upgrade(path, revision)
    return path


@pytest.fixture
def older(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database whose revision this version knows as an older one."""
    with open_store(fresh) as store:
        store.write_now(lambda tx: tx.set_meta("m", "kept"))
    with closing(sqlite3.connect(fresh, isolation_level=None)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '0000'")
    monkeypatch.setattr(schema, "REVISIONS", ("0000", *schema.REVISIONS))
    return fresh


def test_a_fresh_database_equals_a_migrated_one(fresh: Path, migrated: Path) -> None:
    assert schema_of(fresh) == schema_of(migrated)
    assert revision_of(fresh) == revision_of(migrated) == [(schema.REVISIONS[-1],)]


def test_alembic_sees_nothing_left_to_migrate(migrated: Path) -> None:
    engine = make_engine(migrated, writes=False)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})

        assert compare_metadata(context, schema.metadata) == []
    engine.dispose()


def test_the_known_revisions_are_those_that_are_shipped() -> None:
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    shipped = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

    assert tuple(reversed(shipped)) == schema.REVISIONS


def test_an_up_to_date_database_is_left_alone(fresh: Path) -> None:
    before = fresh.read_bytes()

    upgrade(fresh)

    assert fresh.read_bytes() == before


def test_the_child_process_upgrades_from_nothing(tmp_path: Path, fresh: Path) -> None:
    """The command that the daemon starts, from a database that no revision has touched."""
    path = tmp_path / "state %41.db"
    path.touch()

    files._upgrade(path)

    assert schema_of(path) == schema_of(fresh)


def test_an_older_database_is_backed_up_before_the_upgrade(older: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upgraded: list[Path] = []

    def pretend(path: Path) -> None:
        upgraded.append(path)
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            raw.execute("UPDATE alembic_version SET version_num = ?", [schema.REVISIONS[-1]])

    monkeypatch.setattr(files, "_upgrade", pretend)

    with open_store(older) as store:
        assert store.read_now(lambda tx: tx.meta("m")) == "kept"

    backup = older.with_name("fresh.db.backup-0000")
    assert upgraded == [older]
    assert revision_of(backup) == [("0000",)]
    assert os.stat(backup).st_mode & 0o777 == 0o600  # noqa: PTH116
    assert sorted(p.name for p in older.parent.iterdir()) == ["fresh.db", "fresh.db.backup-0000"]


NEXT = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "9999", "{last}"


def upgrade():
    with op.batch_alter_table("jobs", recreate="always") as batch:
        batch.alter_column("health", new_column_name="condition")
    {more}
"""


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the migrations, to which a test can add."""
    copied = tmp_path / "migrations"
    shutil.copytree(SCRIPTS, copied)
    monkeypatch.setattr("watcher.store.migrations.__main__.SCRIPTS", copied)
    return copied / "versions" / "v9999_next.py"


@pytest.fixture
def filled(fresh: Path) -> Path:
    def work(tx: Writes) -> None:
        tx.save_job(a_job())
        tx.append(JOB, 1, [TrainRow(1, 1, 1.0)])

    with open_store(fresh) as store:
        store.write_now(work)
    return fresh


def rows_of(path: Path, table: str) -> int:
    with closing(sqlite3.connect(path)) as raw:
        count: int = raw.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
    return count


def test_a_revision_can_make_a_table_anew_without_losing_what_hangs_on_it(filled: Path, scripts: Path) -> None:
    scripts.write_text(NEXT.format(last=schema.REVISIONS[-1], more=""))

    upgrade(filled)

    assert "condition" in schema_of(filled)["jobs"]
    assert revision_of(filled) == [("9999",)]
    assert (rows_of(filled, "jobs"), rows_of(filled, "observations")) == (1, 1)


def test_a_revision_that_leaves_orphans_rolls_back_whole(filled: Path, scripts: Path) -> None:
    scripts.write_text(NEXT.format(last=schema.REVISIONS[-1], more='op.execute("DELETE FROM jobs")'))
    before = schema_of(filled)

    with pytest.raises(StoreError, match="observations without its parent"):
        upgrade(filled)

    assert schema_of(filled) == before
    assert (rows_of(filled, "jobs"), rows_of(filled, "observations")) == (1, 1)


def test_a_failed_upgrade_changes_nothing_and_says_why(older: Path) -> None:
    """No script knows revision 0000: the child fails."""
    before = schema_of(older)

    with pytest.raises(StoreError, match=r"fresh\.db could not be brought up to date and was left.*'0000'"):
        open_store(older)

    assert schema_of(older) == before
    assert revision_of(older) == [("0000",)]
    assert older.with_name("fresh.db.backup-0000").exists()


def test_an_older_database_is_not_upgraded_by_looking(older: Path) -> None:
    with pytest.raises(StoreError, match="older version"):
        open_store(older, query_only=True)

    assert revision_of(older) == [("0000",)]
    assert [p.name for p in older.parent.iterdir()] == ["fresh.db"]


def test_without_room_for_a_backup_nothing_is_upgraded(older: Path) -> None:
    older.with_name("fresh.db.backup-0000.part").mkdir()

    with pytest.raises(StoreError, match=r"fresh\.db\.backup-0000 can't be written"):
        open_store(older)

    assert revision_of(older) == [("0000",)]


def test_a_revision_that_breaks_rolls_back_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "half.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("CREATE TABLE rule_states (id)")

    with pytest.raises(SystemExit) as caught:
        main([str(path)])

    assert "table rule_states already exists" in str(caught.value.code)
    assert "\n" not in str(caught.value.code)
    assert set(schema_of(path)) == {"rule_states"}
    assert capsys.readouterr().out == ""
