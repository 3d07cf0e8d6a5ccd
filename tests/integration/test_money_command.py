"""`watcher money` on a real store: what a person, a spreadsheet and a program read, beside each other."""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.commands import run
from tests.stored import NOW, a_job, a_proposal, a_snapshot, at
from watcher.clock import SystemClock
from watcher.domain.observations import Event, Observation, Status, TrainRow
from watcher.service.bookstate import BookState, packed
from watcher.service.ports import Writes
from watcher.service.records import MANUAL, JobKey, JobRecord, ProposalState
from watcher.store.sqlite import open_store

PRICE = 9_840_000_000
SAME = "if every step costs the same"
LESS = "if the $4.00 minimum does not apply to jobs that end early"


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(SystemClock, "now", lambda _self: NOW + timedelta(days=2))
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path))


def a_course(name: str, status: Status, step: int | None, **changes: Any) -> tuple[JobRecord, list[Observation]]:
    """A job of 120 steps for $9.84 that was seen running before it became what it is; 60 s a step."""
    running = a_snapshot(name, total_steps=120, total_price_nano=PRICE, suffix=changes.pop("suffix", name))
    if status is Status.QUEUED:
        running = replace(running, status=status, raw_status="queued", total_price_nano=None)
    fields = {key: changes.pop(key) for key in ("early_stopped", "total_price_nano") if key in changes}
    log = changes.pop("log", [])
    snapshot = replace(running, status=status, raw_status=status.value, at=at(10), **fields)
    state = BookState(price_nano=None if changes.get("silent") or status is Status.QUEUED else PRICE)
    if step is not None:
        for n in (1, step):
            row = TrainRow(n, round(NOW.timestamp() + 60 * n) * 10**9, 1.0)
            state.pace.take([row], NOW)
            state.ticks.append((n, row.at_ns))
    ended = {"ended_at": at(10), "closed": True} if status.terminal else {}
    key = JobKey(changes.pop("account", "main"), name)
    record = a_job(key, snapshot=snapshot, feed=packed(state), **{**ended, **changes})
    return record, [] if record.silent else [running, *log, snapshot]


def event(kind: str, minutes: float, message: str = "", **fields: Any) -> Event:
    return Event(type=kind, at=at(minutes), message=message, **fields)


def courses() -> list[tuple[JobRecord, list[Observation]]]:
    """One of each way to end, and what runs or waits."""
    halt = event("early_stopped", 9, step=72)
    return [
        a_course("ft-runs", Status.RUNNING, 72),
        a_course("ft-waits", Status.QUEUED, None, total_price_nano=None),
        a_course("ft-done", Status.COMPLETED, 120),
        a_course("ft-early", Status.COMPLETED, 72, early_stopped=True, log=[halt, event("refund", 11, "$3.94 back")]),
        a_course("ft-late", Status.COMPLETED, 72, early_stopped=True, log=[halt]),
        a_course("ft-ours", Status.CANCELLED, 30),
        a_course("ft-hand", Status.CANCELLED, 60, log=[event("refund", 11, "Refund issued")]),
        a_course("ft-else", Status.CANCELLED, 60, log=[event("refund", 11, "$1.00")]),
        a_course("ft-error", Status.ERROR, 60, log=[event("job_restarted", 9, "as ft-bb")]),
        a_course("ft-old", Status.CANCELLED, None, silent=True, account="second"),
        a_course("ft-past", Status.COMPLETED, 120, ended_at=NOW - timedelta(days=40)),
    ]


def fill(path: Path, found: Iterable[tuple[JobRecord, list[Observation]]]) -> None:
    def write(tx: Writes) -> None:
        for record, seen in found:
            tx.save_job(record)
            tx.append(record.key, 1, seen)
        for name, mode in (("ft-ours", "enforce"), ("ft-hand", MANUAL)):
            tx.add_proposal(a_proposal(name, JobKey("main", name), mode=mode, state=ProposalState.CONFIRMED))

    with open_store(path / "watcher.db") as store:
        store.write_now(write)


def table(out: str) -> dict[str, str]:
    """Lines of a listing by their first word, with single spaces."""
    return {line.split()[0]: " ".join(line.split()[1:]) for line in out.splitlines() if line.strip()}


def test_a_person_sees_each_job_with_what_its_figures_rest_on(tmp_path: Path) -> None:
    fill(tmp_path, courses())
    shown = run("money")

    rows = table(shown.out)
    assert (shown.code, shown.err) == (0, "")
    assert rows["ft-runs"] == "running $9.84 $5.90¹ $4.92¹ $3.94¹"
    assert rows["ft-waits"] == "queued unknown $0.00³ unknown"
    assert rows["ft-done"] == "completed $9.84 $9.84"
    assert rows["ft-early"] == "completed $9.84 $5.90¹ $3.94¹ early stop $3.94¹ seen $3.94, as expected"
    assert rows["ft-late"] == "completed $9.84 $5.90¹ $3.94¹ early stop $3.94¹ overdue"
    assert rows["ft-ours"] == "cancelled $9.84 $2.46¹² $7.38¹² watcher $7.38¹² not seen"
    assert rows["ft-hand"] == "cancelled $9.84 $4.92¹ $4.92¹ by hand $4.92¹ seen, amount unknown"
    assert rows["ft-else"] == "cancelled $9.84 $4.92¹ $4.92¹ others $4.92¹ seen $1.00, not as expected"
    assert rows["ft-error"] == "error $9.84 $0.00 $9.84 overdue"
    assert rows["ft-old"] == "cancelled $9.84 unknown unknown others unknown log not read"
    assert "ft-past" not in rows
    assert [rows[mark] for mark in "¹²³"] == [SAME, LESS, "if a job that has not started costs nothing"]


def test_the_month_adds_up_and_counts_what_is_unknown(tmp_path: Path) -> None:
    fill(tmp_path, courses())
    totals = run("money", "--format", "json").json["totals"]

    assert totals["jobs"] == 10
    assert (totals["price"]["dollars"], totals["price"]["unknown"]) == ("88.56", 1)
    assert (totals["spent"]["dollars"], totals["spent"]["unknown"]) == ("39.852", 1)
    assert (totals["at_stake"]["dollars"], totals["at_stake"]["unknown"]) == ("3.936", 1)
    saved = {by: (found["jobs"], found["steps"], found["dollars"]) for by, found in totals["saved"].items()}
    assert saved == {
        "watcher": (1, 90, "7.38"),
        "hand": (1, 60, "4.92"),
        "early_stop": (2, 96, "7.872"),
        "somebody_else": (2, 60, "4.92"),
    }
    assert totals["saved"]["watcher"]["assumes"] == [SAME, LESS]
    assert (totals["refunds_expected"]["dollars"], totals["refunds_expected"]["unknown"]) == ("34.932", 1)
    assert (totals["refunds_seen"]["dollars"], totals["refunds_seen"]["unknown"]) == ("4.94", 1)
    assert totals["refunds_overdue"] == 2


def test_refunds_are_listed_with_what_the_log_says(tmp_path: Path) -> None:
    fill(tmp_path, courses())
    rows = table(run("money", "--refunds").out)

    assert rows["ft-early"] == 'early stop 2026-11-23 $3.94¹ $3.94 as expected, "$3.94 back"'
    assert rows["ft-late"] == "early stop 2026-11-23 $3.94¹ overdue"
    assert rows["ft-error"] == "restart 2026-11-23 $9.84 overdue"
    assert rows["ft-ours"] == "cancel 2026-11-23 $7.38¹² not seen; for it no entry is documented"
    assert rows["ft-hand"] == 'cancel 2026-11-23 $4.92¹ amount unknown seen, not compared, "Refund issued"'
    assert rows["ft-else"] == 'cancel 2026-11-23 $4.92¹ $1.00 not as expected, "$1.00"'
    assert rows["ft-old"] == "cancel 2026-11-23 unknown log not read"
    assert not {"ft-runs", "ft-waits", "ft-done"} & set(rows)


def test_a_spreadsheet_gets_numbers_and_the_word_unknown(tmp_path: Path) -> None:
    fill(tmp_path, courses())
    jobs = {row["id"]: row for row in csv.DictReader(io.StringIO(run("money", "--format", "csv").out))}
    refunds = {row["id"]: row for row in csv.DictReader(io.StringIO(run("money", "--refunds", "-f", "csv").out))}

    assert len(jobs) == 10
    assert (jobs["ft-ours"]["saved"], jobs["ft-ours"]["steps_saved"]) == ("7.38", "90")
    assert jobs["ft-ours"]["assumes"] == f"{SAME}; {LESS}"
    assert (jobs["ft-waits"]["price"], jobs["ft-waits"]["at_stake"]) == ("unknown", "unknown")
    assert set(refunds) == {"ft-old", "ft-error", "ft-else", "ft-hand", "ft-ours", "ft-late", "ft-early"}
    assert (refunds["ft-hand"]["seen"], refunds["ft-hand"]["entries"]) == ("unknown", "1")
    assert (refunds["ft-late"]["seen"], refunds["ft-late"]["state"]) == ("", "overdue")


def test_refunds_as_json_are_one_document(tmp_path: Path) -> None:
    fill(tmp_path, courses())
    document = run("money", "--refunds", "--format", "json").json

    assert set(document) == {"month", "account", "refunds", "totals"}
    early = next(claim for claim in document["refunds"] if claim["id"] == "ft-early")
    assert (early["cause"], early["state"], early["seen_dollars"]) == ("early stop", "as expected", "3.94")
    assert early["expected"] == {"dollars": "3.936", "assumes": [SAME], "missing": None}
    assert set(document["totals"]) == {"refunds_expected", "refunds_seen", "refunds_overdue"}


def test_a_job_carries_why_a_figure_is_unknown_and_what_a_cancel_would_mean(tmp_path: Path) -> None:
    fill(tmp_path, courses())
    jobs = {job["id"]: job for job in run("money", "--format", "json").json["jobs"]}

    assert jobs["ft-waits"]["price"] == {"dollars": None, "assumes": [], "missing": "price not known"}
    assert jobs["ft-runs"]["if_cancelled"]["spent"]["dollars"] == "5.904"
    assert jobs["ft-ours"]["if_cancelled"] is None
    assert dict(jobs["ft-ours"]["rows"])["saved"].startswith("90 of 120 steps, about $7.38 to be given back, if")


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        pytest.param(["--month", "2026-10"], ["ft-past"], id="a past month has no running jobs"),
        pytest.param(["--month", "2026-09"], [], id="nothing ended then"),
        pytest.param(["--account", "second"], ["ft-old"], id="one account"),
    ],
)
def test_a_month_is_by_the_jobs_end(tmp_path: Path, words: list[str], ids: list[str]) -> None:
    fill(tmp_path, courses())

    assert [job["id"] for job in run("money", "--format", "json", *words).json["jobs"]] == ids


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["--month", "2026-13"], "%Y-%m", id="no month"),
        pytest.param(["--account", "nobody"], "expected one of: main, second", id="no such account"),
    ],
)
def test_bad_input_says_what_was_expected(tmp_path: Path, words: list[str], told: str) -> None:
    fill(tmp_path, courses())
    ended = run("money", *words)

    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_nothing_to_show_is_said(tmp_path: Path) -> None:
    fill(tmp_path, courses()[:1])

    assert run("money", "--month", "2026-09").out == "no jobs in 2026-09\n"
    assert run("money", "--refunds").out == "no refund is due or was seen of jobs that ended in 2026-11\n"
    assert run("money", "--month", "2026-09", "-f", "csv").out.splitlines()[1:] == []


HOSTILE = "=cmd|'/c calc'!A1\x1b]0;owned\x07\u202e[bold]\nnext $5"


def test_words_of_the_log_can_do_nothing(tmp_path: Path) -> None:
    halt = event("early_stopped", 9, step=72)
    log = [halt, event("refund", 11, HOSTILE)]
    fill(tmp_path, [a_course("ft-1", Status.COMPLETED, 72, early_stopped=True, suffix=HOSTILE, log=log)])
    shown, sheet = run("money", "--refunds").out, run("money", "--refunds", "-f", "csv").out

    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", shown + sheet)
    assert all(not cell.startswith("=") for row in csv.reader(io.StringIO(sheet)) for cell in row)


@pytest.mark.parametrize("width", [80, 130])
def test_terminals_are_kept_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    fill(tmp_path, courses())
    shown = run("money").out + run("money", "--refunds").out

    assert max(map(len, shown.splitlines())) <= width


def test_looking_changes_nothing(tmp_path: Path) -> None:
    fill(tmp_path, courses())
    before = (tmp_path / "watcher.db").read_bytes()
    run("money")

    assert (tmp_path / "watcher.db").read_bytes() == before


def test_what_retention_forgets_changes_no_figure(tmp_path: Path) -> None:
    lowered = a_course("ft-early", Status.COMPLETED, 72, early_stopped=True, total_price_nano=5_904_000_000)
    fill(tmp_path, [lowered])
    before = run("money", "--format", "json").json
    with open_store(tmp_path / "watcher.db") as store:
        store.write_now(lambda tx: tx.thin(JobKey("main", "ft-early"), 1))
    after = run("money", "--format", "json").json

    assert before == after
    assert before["jobs"][0]["refund"]["price_lowered"] == "3.936"
    assert before["jobs"][0]["price"]["dollars"] == "9.84"
