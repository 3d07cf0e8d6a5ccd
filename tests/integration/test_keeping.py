"""`watcher backup`, `restore` and `export`, on real databases."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.commands import run
from tests.stored import JOB, NOW, a_job, a_proposal, a_snapshot, an_alert, an_effect
from watcher import bootstrap
from watcher.domain.observations import EvalRow, TrainRow
from watcher.service.ports import Writes
from watcher.service.records import ProposalState
from watcher.store.sqlite import open_store

NASTY = "=cmd()\n\x1b[31m<b>"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory with one job of everything."""
    directory = tmp_path / "state"

    def work(tx: Writes) -> None:
        tx.save_job(a_job(snapshot=a_snapshot(suffix=NASTY, total_steps=10)))
        tx.append(
            JOB, 1, [TrainRow(1, 10, 2.0, 1.0, 1e-5), TrainRow(2, 20, float("nan"), None, None), EvalRow(2, 21, 2.5)]
        )
        tx.save_alert(an_alert(reason=NASTY))
        tx.add_proposal(a_proposal(state=ProposalState.CONFIRMED))
        tx.enqueue([an_effect("k1", payload={"title": NASTY})], NOW)

    with open_store(directory / "watcher.db") as store:
        store.write_now(work)
    return directory


def _jobs(directory: Path) -> list[str]:
    with open_store(directory / "watcher.db", query_only=True) as store:
        return [record.key.job_id for record in store.read_now(lambda reads: reads.jobs())]


def test_a_backup_is_whole_and_private_and_what_is_restored(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    made = run("backup", copy, "--state-dir", state)
    with open_store(state / "watcher.db") as store:
        store.write_now(lambda tx: tx.save_job(a_job(key=JOB.__class__("main", "ft-later"))))
    restored = run("restore", copy, "--state-dir", state)

    assert (made.code, restored.code) == (0, 0)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert _jobs(state) == ["ft-1"]
    kept = next(state.glob("watcher.db.before-restore-*Z"))
    assert str(kept) in restored.out
    with open_store(kept, query_only=True) as store:
        assert len(store.read_now(lambda reads: reads.jobs())) == 2


def test_a_backup_goes_beside_the_database_and_can_be_made_while_somebody_writes(state: Path) -> None:
    with open_store(state / "watcher.db") as store:
        store.write_now(lambda tx: tx.set_meta("m", "in the log, not in the file"))
        made = run("backup", "--state-dir", state)

    copy = next(state.glob("watcher.db.backup-*Z"))
    assert made.out.startswith(str(copy))
    with open_store(copy, query_only=True) as store:
        assert store.read_now(lambda reads: reads.meta("m")) == "in the log, not in the file"


def test_a_restore_needs_no_database_to_be_there(state: Path, tmp_path: Path) -> None:
    copy, other = tmp_path / "copy.db", tmp_path / "other"
    run("backup", copy, "--state-dir", state)

    assert run("restore", copy, "--state-dir", other).code == 0
    assert _jobs(other) == ["ft-1"]


def test_a_damaged_database_is_moved_away_with_its_log(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    run("backup", copy, "--state-dir", state)
    (state / "watcher.db").write_bytes(b"\x00" * 8192)
    (state / "watcher.db-wal").write_bytes(b"leftover")
    restored = run("restore", copy, "--state-dir", state)

    assert restored.code == 0
    assert _jobs(state) == ["ft-1"]
    assert sorted(path.name.rpartition("Z")[2] for path in state.glob("*before-restore*")) == ["", "-wal"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        pytest.param(None, "does not exist", id="no such file"),
        pytest.param(b"", "is empty", id="an empty file"),
        pytest.param(b"hello " * 2000, "no sound database", id="something else"),
    ],
)
def test_what_is_no_backup_is_refused_and_nothing_is_changed(
    state: Path, tmp_path: Path, content: bytes | None, told: str
) -> None:
    source = tmp_path / "source"
    if content is not None:
        source.write_bytes(content)
    refused = run("restore", source, "--state-dir", state)

    assert refused.code == 2
    assert told in refused.err
    assert _jobs(state) == ["ft-1"]
    assert list(state.glob("*before-restore*")) == []


def test_a_database_of_another_program_and_one_of_a_newer_version_are_refused(state: Path, tmp_path: Path) -> None:
    foreign, newer = tmp_path / "foreign.db", tmp_path / "newer.db"
    with closing(sqlite3.connect(foreign)) as raw:
        raw.execute("CREATE TABLE t (x)")
    run("backup", newer, "--state-dir", state)
    with closing(sqlite3.connect(newer, isolation_level=None)) as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")

    assert run("restore", foreign, "--state-dir", state).code == 2
    assert run("restore", newer, "--state-dir", state).code == 4
    assert _jobs(state) == ["ft-1"]


def test_nothing_is_restored_under_a_running_daemon_or_over_an_existing_file(state: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    run("backup", copy, "--state-dir", state)
    with bootstrap.state_lock(state):
        assert run("restore", copy, "--state-dir", state).code == 4
    again = run("backup", copy, "--state-dir", state)

    assert (again.code, "expected a file that is not there yet" in again.err) == (2, True)


@pytest.mark.parametrize("what", ["jobs", "alerts", "cancels", "deliveries"])
def test_an_export_says_the_same_in_both_forms(state: Path, what: str) -> None:
    as_json = json.loads(run("export", what, "--format", "json", "--state-dir", state).out)[what]
    as_csv = list(csv.DictReader(io.StringIO(run("export", what, "--state-dir", state).out)))

    assert len(as_json) == len(as_csv) == 1
    assert set(as_csv[0]) == set(as_json[0]) - {"alerts", "sparkline"}
    assert all(not text.startswith(("=", "+", "@")) and "\x1b" not in text for text in as_csv[0].values())


@pytest.mark.parametrize("what", ["jobs", "alerts", "cancels", "deliveries", "metrics"])
def test_a_sheet_of_nothing_has_its_header(state: Path, what: str) -> None:
    everything = run("export", what, "--state-dir", state).out.splitlines()
    nothing = run("export", what, "--since", "2100-01-01", "--state-dir", state)

    assert (nothing.code, nothing.out.splitlines()) == (0, everything[:1])


def test_metrics_are_exported_so_that_replay_reads_each(state: Path, tmp_path: Path) -> None:
    document = json.loads(run("export", "metrics", "-f", "json", "--state-dir", state).out)["metrics"]
    sheet = list(csv.DictReader(io.StringIO(run("export", "metrics", "--state-dir", state).out)))
    dump = tmp_path / "one.json"
    dump.write_text(json.dumps(document[0]))

    assert [row["train/loss"] or row["eval/loss"] for row in sheet] == ["2.0", "NaN", "2.5"]
    assert run("replay", dump).code == 0


def test_an_export_can_begin_at_a_day(state: Path) -> None:
    before, after = (
        run("export", "alerts", "--since", day, "--state-dir", state) for day in ("2026-11-23", "2026-11-24")
    )

    assert (len(before.out.splitlines()), len(after.out.splitlines())) == (2, 1)
