"""The read model of one job: time left, curves, checkpoints, words about cancels; and hostile words in every form."""

import csv
import io
import json
import math
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.commands import run
from tests.leaks import Heard
from tests.stored import JOB, NOW, OTHER_JOB, a_job, a_proposal, a_snapshot, a_transition, an_alert
from watcher.cli import drawing, jobpage
from watcher.cli.naming import complete_job
from watcher.domain import codec
from watcher.domain.alerts import TransitionReason
from watcher.domain.facts import JobFacts
from watcher.domain.observations import EvalRow, Event, Observation, Snapshot, Status, TrainRow
from watcher.service.checkpointview import checkpoint_view
from watcher.service.jobpage import page_view
from watcher.service.records import Checkpoint, JobKey, JobRecord
from watcher.store.sqlite import SqliteStore, open_store

HOSTILE = "=cmd|'/c calc'!A1\x1b]0;owned\x07\u202e[bold]<script>\n\u2028$(reboot)"


LISTS = ("events", "metrics", "checkpoints")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SqliteStore]:
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path))
    with open_store(tmp_path / "watcher.db") as opened:
        yield opened


def keep(store: SqliteStore, snapshot: Snapshot, seen: Sequence[Observation] = (), key: JobKey = JOB) -> JobRecord:
    record = a_job(key, snapshot=snapshot)
    store.write_now(lambda tx: tx.save_job(record))
    store.write_now(lambda tx: tx.append(key, 1, seen))
    return record


def page(store: SqliteStore, snapshot: Snapshot, seen: Sequence[Observation] = (), now: datetime = NOW) -> Any:
    record = keep(store, snapshot, seen)
    return store.read_now(lambda reads: page_view(reads, record, now))


def ns(seconds: float) -> int:
    return round((NOW.timestamp() + seconds) * 1e9)


def rows(count: int, *, loss: float = 1.0, gap: float = 2.0) -> list[Observation]:
    """The last of them was logged NOW."""
    return [TrainRow(step, ns((step - count) * gap), loss, 1.0, 1e-5) for step in range(1, count + 1)]


# --- time left ---


def test_time_left_is_told_by_the_jobs_own_pace_and_by_the_api_for_the_stage(store: SqliteStore) -> None:
    job = a_snapshot(total_steps=100, eta_seconds=200.0, started_at=NOW - timedelta(seconds=120))
    found = page(store, job, rows(50))["eta"]

    assert found == {"training_seconds": pytest.approx(100, abs=0.1), "stage_seconds": 80.0}
    assert jobpage.time_left(found) == (
        "about 1 min of training at its own pace; about 1 min of the present stage as the API estimates it"
    )


def test_a_slower_pace_counts_and_not_the_one_of_long_ago(store: SqliteStore) -> None:
    fast: list[Observation] = [TrainRow(step, ns(step), 1.0) for step in range(1, 301)]
    slow: list[Observation] = [TrainRow(300 + step, ns(300 + 10 * step), 1.0) for step in range(1, 201)]
    job = a_snapshot(total_steps=600)
    found = page(store, job, [*fast, *slow], NOW + timedelta(seconds=2300))

    assert found["eta"]["training_seconds"] == pytest.approx(1000, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "seen"),
    [  # of a job with a plan of 100 steps
        pytest.param({"total_steps": None}, rows(50), id="the plan is not known"),
        pytest.param({}, rows(1), id="one row has no pace"),
        pytest.param({"status": Status.UPLOADING}, rows(50), id="training is over"),
        pytest.param({"status": Status.COMPLETED, "eta_seconds": 900.0}, rows(50), id="it has ended"),
        pytest.param({"eta_seconds": 60.0, "status": Status.QUEUED}, [], id="the stage's has run out"),
    ],
)
def test_where_nothing_is_known_of_the_time_left_nothing_is_said(
    store: SqliteStore, changes: dict[str, Any], seen: list[Observation]
) -> None:
    job = replace(a_snapshot(total_steps=100, started_at=NOW - timedelta(hours=1)), **changes)
    found = page(store, job, seen)["eta"]

    assert found == {"training_seconds": None, "stage_seconds": None}
    assert jobpage.time_left(found) == ""


def test_the_estimate_of_a_stage_does_not_outlive_it() -> None:
    training = a_snapshot(eta_seconds=900.0, queue_depth=None, started_at=NOW)
    uploading = a_snapshot(status=Status.UPLOADING, raw_status="uploading", started_at=NOW + timedelta(minutes=9))

    assert uploading.merged(training).eta_seconds is None
    assert a_snapshot(total_steps=7).merged(training).eta_seconds == 900.0


# --- curves ---


def test_one_loss_that_is_no_number_shows_among_thousands(store: SqliteStore) -> None:
    seen = rows(5000)
    seen[2500] = TrainRow(2501, ns(0), math.inf)
    curve = page(store, a_snapshot(), seen)["curves"]["train_loss"]

    assert curve["sparkline"].count("×") == 1
    assert (curve["rows"], curve["not_finite"], curve["last"], curve["highest"]) == (5000, 1, 1.0, 1.0)


def test_extreme_and_missing_values_make_no_error(store: SqliteStore) -> None:
    seen: list[Observation] = [
        TrainRow(1, ns(1), 1e308, None, None),
        TrainRow(2, ns(2), 1e308, None, None),
        TrainRow(3, ns(3), None, math.nan, None),
        EvalRow(3, ns(4), math.nan),
    ]
    found = page(store, a_snapshot(), seen)
    curves = found["curves"]

    assert json.dumps(found, allow_nan=False)
    assert curves["grad_norm"]["last"] == "NaN"
    assert curves["eval_loss"]["sparkline"] == "×"
    assert curves["learning_rate"]["sparkline"] == ""
    assert "not finite" in drawn(found)


def test_a_job_without_rows_has_no_curves_and_no_empty_sections(store: SqliteStore) -> None:
    shown = drawn(page(store, a_snapshot(status=Status.QUEUED, raw_status="queued", queue_depth=3)))

    assert "queued, number 3 in the queue" in shown
    for title in ("metrics", "alerts", "checkpoints", "events", "cancel"):
        assert f"\n{title}" not in shown


def drawn(view: Any) -> str:
    console = Console(width=200, file=Heard(), highlight=False, markup=False, emoji=False)
    drawing.put(console, *jobpage.page(view))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


# --- checkpoints ---


def saved(step: int, minutes: float = 0) -> Event:
    return Event(
        type="checkpoint_save", at=NOW + timedelta(minutes=minutes), step=step, checkpoint_path=f"s3://c/{step}"
    )


def test_checkpoints_are_newest_first_each_step_once(store: SqliteStore) -> None:
    seen = [saved(20, 2), saved(10, 1), saved(20, 5)]
    found = page(store, a_snapshot(), seen)["checkpoints"]

    assert [(c["step"], c["from_checkpoint"]) for c in found] == [(20, "ft-1:20"), (10, "ft-1:10")]
    assert found[0]["created_at"] == (NOW + timedelta(minutes=5)).isoformat()


@pytest.mark.parametrize(
    ("changes", "step"),
    [({}, 50), ({"early_stopped": True, "best_step": 30}, 30), ({"early_stopped": False, "best_step": 30}, 50)],
    ids=["the last step", "the best step of a job that was stopped early", "the last step of one that was not"],
)
def test_a_completed_job_has_its_final_model_first(store: SqliteStore, changes: dict[str, Any], step: int) -> None:
    done = Event(type="job_complete", at=NOW, model_path="s3://final")
    job = a_snapshot(status=Status.COMPLETED, raw_status="completed", **changes)
    first, *_ = page(store, job, [*rows(50), saved(40), done])["checkpoints"]

    assert (first["step"], first["final"], first["path"], first["from_checkpoint"]) == (
        step,
        True,
        "s3://final",
        "ft-1",
    )
    assert first["download"] == "together fine-tuning download ft-1"


@pytest.mark.parametrize(
    ("kind", "more"),
    [("Final Merged", " --checkpoint-type merged"), ("Final Adapter", " --checkpoint-type adapter"), ("Final", "")],
)
def test_the_download_command_names_what_to_fetch(kind: str, more: str) -> None:
    checkpoint = Checkpoint(step=9, type=kind, created_at=None, path="", reference="ft-1", final=True)

    assert checkpoint_view(checkpoint, "ft-1")["download"] == f"together fine-tuning download ft-1{more}"


def test_an_id_that_is_code_is_one_word_to_the_shell() -> None:
    checkpoint = Checkpoint(step=9, type="", created_at=None, path="", reference="", final=False)
    command = checkpoint_view(checkpoint, "ft-1;$(reboot)")["download"]

    assert shlex.split(command) == [
        "together", "fine-tuning", "download", "ft-1;$(reboot)", "--checkpoint-step", "9"
    ]  # fmt: skip


# --- what became of cancels ---


def test_why_a_job_was_not_cancelled_is_on_its_page(store: SqliteStore) -> None:
    alert = an_alert()
    facts = codec.encode(JobFacts(account="main", job_id="ft-1", cancel="Auto-cancel: not now, only one sweep."))

    def write(tx: Any) -> None:
        tx.save_alert(alert)
        tx.add_transition(a_transition(alert), facts)

    store.write_now(write)
    first = page(store, a_snapshot())
    refused = a_transition(alert, reason=TransitionReason.CANCEL_REFUSED, note="Not cancelled: past 90 %.")
    store.write_now(lambda tx: tx.add_transition(refused))
    store.write_now(lambda tx: tx.add_proposal(a_proposal()))
    store.write_now(lambda tx: tx.set_keep(JOB, keep=True))
    record = store.read_now(lambda reads: reads.find_jobs("ft-1"))[0]
    second = store.read_now(lambda reads: page_view(reads, record, NOW))

    assert first["alerts"][0]["cancel"] == "Auto-cancel: not now, only one sweep."
    assert second["alerts"][0]["cancel"] == "Not cancelled: past 90 %."
    for words in ("divergence (diverged): Not cancelled: past 90 %.", "never by the watcher: vetoed", "proposed"):
        assert words in drawn(second)


def test_an_internal_restart_is_one_story_from_both_ends(store: SqliteStore) -> None:
    first = replace(keep(store, a_snapshot()), successor="ft-2")
    store.write_now(lambda tx: tx.save_job(first))
    second = keep(store, a_snapshot("ft-2"), key=OTHER_JOB)
    views = store.read_now(lambda reads: [page_view(reads, record, NOW) for record in (first, second)])

    assert [(v["restarted_from"], v["restarted_as"]) for v in views] == [(None, "ft-2"), ("ft-1", None)]
    assert "restarted from  ft-1" in drawn(views[1])


@pytest.mark.parametrize(
    ("status", "told"),
    [
        ("running", "spent so far about $2.50 of $10.00, if every step costs the same"),
        ("cancelled", "saved 30 of 40 steps, about $7.50 to be given back, if every step costs the same"),
        ("completed", "price $10.00 as the API gives it"),
        ("error", "refund expected about $10.00, the whole price, if total_price is not lowered after a refund"),
    ],
)
def test_what_it_costs_is_told_as_in_messages(store: SqliteStore, status: str, told: str) -> None:
    job = a_snapshot(
        status=Status(status), raw_status=status, total_price_nano=10**10, total_steps=40, steps_completed=10
    )
    shown = drawn(page(store, job))

    assert "$10.00 as the API gives it" in shown
    assert told in " ".join(shown.split())


# --- hostile words ---


@pytest.fixture
def hostile(store: SqliteStore) -> SqliteStore:
    job = a_snapshot(
        suffix=HOSTILE, model=HOSTILE, output_name=HOSTILE, raw_status=HOSTILE, total_price_nano=10**30 % 2**62
    )
    event = Event(type=HOSTILE, at=NOW, message=HOSTILE, level=HOSTILE, checkpoint_path=HOSTILE)
    keep(store, job, [event, saved(3), TrainRow(1, 0, math.nan)])
    store.write_now(lambda tx: tx.save_alert(an_alert(reason=HOSTILE)))
    return store


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize(
    "words",
    ["jobs ft-1", "status", "cancel ft-1", *(f"{name} ft-1" for name in LISTS), *(f"{n} ft-1 -f csv" for n in LISTS)],
)
def test_words_from_the_api_cannot_move_the_cursor(words: str) -> None:
    shown = run(*words.split())

    assert shown.code == (1 if words.startswith("cancel") else 0)
    assert not set(shown.out + shown.err) & {"\x1b", "\x07", "\u202e", "\u2028"}


@pytest.mark.usefixtures("hostile")
def test_words_from_the_api_are_no_formula() -> None:
    (row, _) = csv.DictReader(io.StringIO(run("events", "ft-1", "--format", "csv").out))

    assert row["message"].startswith("'=cmd|")


@pytest.mark.usefixtures("hostile")
@pytest.mark.parametrize("command", ["jobs", *LISTS])
def test_programs_get_the_words_as_they_are(command: str) -> None:
    found = run(command, "ft-1", "--format", "json").json

    assert command != "events" or found["events"][0]["message"] == HOSTILE


def test_a_suffix_that_several_jobs_share_needs_the_id(store: SqliteStore) -> None:
    keep(store, a_snapshot(suffix="twins"))
    keep(store, a_snapshot("ft-2", suffix="twins"), key=OTHER_JOB)
    shown = run("events", "twins")

    assert shown.code == 2
    assert "give the id: " in shown.err
    assert {"ft-1", "ft-2"} <= set(shown.err.replace(",", "").split())
    assert run("jobs", "twins").out.count("selection") == 2


# --- completion ---


class Context:
    """What Typer hands to a completion."""

    def __init__(self, **params: object) -> None:
        self.params = params


def complete(incomplete: str, **params: object) -> list[str]:
    return complete_job(Context(**params), incomplete)  # type: ignore[arg-type]


def test_ids_of_watched_jobs_complete(store: SqliteStore) -> None:
    keep(store, a_snapshot())
    keep(store, a_snapshot("ft-2"), key=OTHER_JOB)
    keep(store, a_snapshot("ft-2"), key=JobKey("second", "ft-2"))
    keep(store, a_snapshot("ft-3;$(reboot)"), key=JobKey("main", "ft-3;$(reboot)"))

    assert sorted(complete("")) == ["ft-1", "ft-2"]
    assert complete("ft-2") == ["ft-2"]
    assert complete("nothing") == []
    assert sorted(complete("", state_dir=store.path.parent)) == ["ft-1", "ft-2"]


def test_completion_never_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "watcher.yaml"
    broken.write_text("nonsense: [")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "watcher.db").write_bytes(b"no database")
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path / "missing"))

    assert complete("") == []
    assert complete("", state_dir=tmp_path / "damaged") == []
    assert complete("", config=broken) == []
    assert not (tmp_path / "missing").exists()
    assert capfd.readouterr() == ("", "")


def test_the_shell_gets_ids_from_the_program_itself(store: SqliteStore) -> None:
    keep(store, a_snapshot())
    program = "import sys; sys.argv[0] = 'watcher'; from watcher.cli.main import main; main()"
    asked = {"_WATCHER_COMPLETE": "complete_bash", "COMP_WORDS": "watcher cancel ft", "COMP_CWORD": "2"}
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program], env=os.environ | asked, capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["ft-1"]
