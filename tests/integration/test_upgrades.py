"""Databases that older versions filled: brought up to date whole, read whole, and gone on with.

`tools/golden_database.py` makes them: the program of a commit whose schema it was, watching a simulator.
"""

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import PLANTED, restored_logs, run
from tests.daemons import a_daemon, a_place
from watcher.domain.alerts import WATCHER, Subject
from watcher.domain.observations import Observation
from watcher.domain.rule import SubjectKind
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery
from watcher.simulator.job import job_id_of
from watcher.store import schema
from watcher.store.migrations.__main__ import upgrade
from watcher.store.sqlite import open_store

GOLDEN = {path.name[:4]: path for path in sorted((Path(__file__).parents[1] / "data" / "databases").glob("*.sql.gz"))}
OLDEST = min(GOLDEN)
Columns = dict[str, list[str]]
Rows = dict[str, list[tuple[object, ...]]]


def made(revision: str, folder: Path) -> Path:
    """The database of a revision, as its version left it in a state directory."""
    path = folder / "watcher.db"
    folder.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.executescript(gzip.decompress(GOLDEN[revision].read_bytes()).decode())
    return path


def rows_of(path: Path, like: Columns | None = None) -> tuple[Columns, Rows]:
    """The columns of each table, or those of `like`, and all that stands in them."""
    with closing(sqlite3.connect(path)) as raw:
        names = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = like or {n: [c[1] for c in raw.execute(f"PRAGMA table_info({n})")] for n in names}
        columns.pop("alembic_version", None)
        queries = {name: f"SELECT {', '.join(columns[name])} FROM {name}" for name in columns}  # noqa: S608
        return columns, {name: sorted(raw.execute(query), key=repr) for name, query in queries.items()}


def everything(reads: Reads) -> dict[str, int]:
    """How much of each kind the store gives, every record decoded."""
    jobs = reads.jobs()
    alerts = reads.alerts(AlertQuery(limit=10_000))
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    keys = [job.key for job in jobs]
    of_jobs = (Subject(kind=SubjectKind.JOB, account=key.account, job_id=key.job_id) for key in keys)
    subjects = [WATCHER, account, *of_jobs]
    observations: list[tuple[int, Observation]] = [pair for key in keys for pair in reads.observations(key)]
    return {
        "jobs": len(jobs),
        "observations": len(observations),
        "keys": sum(len(reads.row_keys(key)) for key in keys),
        "rule_states": sum(len(reads.states(subject)) for subject in subjects),
        "alerts": len(alerts),
        "transitions": sum(len(reads.transitions(alert.id)) for alert in alerts),
        "outbox": len(reads.outbox(limit=10_000)),
        "proposals": len(reads.proposals()),
        "audit": len(reads.audits()),
        "groups": len(reads.groups()),
        "acks": len(reads.acks()),
        "decisions": sum(len(reads.decisions(alert.id)) for alert in alerts),
    }


@pytest.fixture(params=sorted(GOLDEN))
def state(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A state directory that was left by an older version."""
    return made(request.param, tmp_path / "state").parent


def test_there_is_a_database_of_every_schema_that_an_upgrade_can_meet() -> None:
    assert set(schema.REVISIONS[:-1]) <= set(GOLDEN) <= set(schema.REVISIONS)


def test_nothing_is_lost_on_the_way_up_and_every_record_can_be_read(state: Path) -> None:
    path = state / "watcher.db"
    columns, before = rows_of(path)
    upgrade(path)
    _, after = rows_of(path, columns)
    with open_store(path, query_only=True) as store:
        found = store.read_now(everything)

    assert after == before
    assert [name for name in before if not before[name]] == []
    superseded, step = (columns["observations"].index(name) for name in ("superseded", "step"))
    expected = {name: len(before.get(name, ())) for name in found}
    assert found == expected | {
        "observations": sum(1 for row in before["observations"] if not row[superseded]),
        "keys": sum(1 for row in before["observations"] if row[step] is not None),
    }


def test_every_command_shows_what_an_older_version_left(state: Path) -> None:
    upgrade(state / "watcher.db")
    place = ("--state-dir", state)
    columns, rows = rows_of(state / "watcher.db")
    shown = {what: run("export", what, "-f", "json", *place) for what in ("jobs", "alerts", "cancels", "deliveries")}
    others = [
        run("explain", rows["alerts"][0][columns["alerts"].index("id")], *place),
        run("jobs", rows["jobs"][0][columns["jobs"].index("job_id")], *place),
        *(run(command, *place) for command in ("jobs", "alerts", "status", "money")),
    ]

    assert {what: len(ended.json[what]) for what, ended in shown.items()} == {
        what: len(rows[table]) for what, table in zip(shown, ("jobs", "alerts", "proposals", "outbox"), strict=True)
    }
    assert [(ended.code, ended.err) for ended in others] == [(0, "")] * len(others)


def test_the_daemon_takes_over_the_oldest_after_a_backup_that_can_be_restored(tmp_path: Path) -> None:
    with a_place(tmp_path) as place:
        path = made(OLDEST, place.state)
        _, before = rows_of(path)
        with a_daemon(place):
            pass
    backup = path.with_name(f"watcher.db.backup-{OLDEST}")
    restored = run("restore", backup, "--state-dir", place.state)

    assert rows_of(backup)[1] == before
    assert restored.code == 0
    assert rows_of(path)[1] == before
    with open_store(path) as store:
        assert {job.key.job_id for job in store.read_now(lambda reads: reads.jobs())} >= {job_id_of("steady")}


@pytest.mark.parametrize("command", [["run"], ["once"], ["jobs"], ["status"]])
def test_a_newer_schema_is_refused_and_left_alone(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOGETHER_API_KEY", PLANTED)
    path = made(max(GOLDEN), tmp_path / "state")
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    before = path.read_bytes()
    with restored_logs():
        refused = run(*command, "--state-dir", path.parent)

    assert refused.code == 4
    assert "schema 9999" in refused.err
    assert path.read_bytes() == before
