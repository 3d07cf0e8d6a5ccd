"""The commands about one job, against the simulator and a real store."""

import asyncio
import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.commands import PLANTED, World, run, world
from tests.leaks import Heard
from tests.simulated import a_run, write_curves
from watcher import bootstrap
from watcher.daemon.control import ControlServer
from watcher.handlers import handlers_of
from watcher.service.consent import Person
from watcher.service.errors import StoreError
from watcher.settings import load_settings
from watcher.store.sqlite import open_store

STEPS = 40
NAN_AT = (11, 12)
UNKNOWN = "ft-00000000-0000-0000-0000-000000000000"


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Two jobs in training that were seen, one of them half way, with two losses that are no number."""
    train: list[list[Any]] = [[s, "NaN" if s in NAN_AT else 3.0 / s, 1.0, 1e-5] for s in range(1, STEPS + 1)]
    curves = write_curves(tmp_path / "runs.jsonl", a_run("half", STEPS, train=train), a_run("other", 400))
    with world(tmp_path, monkeypatch, curves) as made:
        made.sweep()
        made.clock.advance(25)
        made.sweep()
        yield made


def finish(made: World) -> None:
    made.clock.advance(100)
    made.sweep()
    made.clock.advance(10)
    made.sweep()


# --- looking ---


def test_a_job_is_shown_whole(seen: World) -> None:
    shown = run("jobs", "half")

    assert shown.code == 0
    for words in (
        seen.id_of("half"),
        "status        running",
        "step          23/40 (57 %)",
        "price         $",
        "as the API gives it",
        f"link          https://api.together.ai/fine-tuning/{seen.id_of('half')}",
        "train loss",
        "eval loss",
        "learning rate",
        "grad norm",
        "2 of 23 rows not finite",
        f"{seen.id_of('half')}:20",
        f"together fine-tuning download {seen.id_of('half')} --checkpoint-step 20\n",
        "checkpoint_save",
        "Checkpoint saved at step 20",
    ):
        assert words in shown.out, words
    curve = next(line for line in shown.out.splitlines() if line.startswith("train loss"))
    assert "××" in curve


def test_a_job_whole_is_json_too(seen: World) -> None:
    (job,) = run("jobs", seen.id_of("half"), "--format", "json").json["jobs"]

    assert job["curves"]["train_loss"]["rows"] == 23
    assert job["curves"]["train_loss"]["not_finite"] == 2
    assert job["curves"]["eval_loss"]["last"] == pytest.approx(0.2)
    assert [c["from_checkpoint"] for c in job["checkpoints"]] == [f"{job['id']}:20", f"{job['id']}:10"]
    assert [e["type"] for e in job["events"]][:2] == ["checkpoint_save", "checkpoint_save"]
    assert (job["proposals"], job["labels"], job["project"]) == ([], {}, None)
    assert job["link"].endswith(job["id"])


@pytest.mark.usefixtures("seen")
def test_labels_are_shown_where_the_accounts_are_at_hand(tmp_path: Path) -> None:
    config = tmp_path / "watcher.yaml"
    config.write_text("accounts: [{name: default, labels: {team: research}}]\n")
    shown = run("jobs", "half", "--config", config)

    assert "default (team=research)" in shown.out


def test_events_in_full_for_people_programs_and_spreadsheets(seen: World) -> None:
    document = run("events", "half", "--format", "json").json
    rows = list(csv.DictReader(io.StringIO(run("events", "half", "--format", "csv").out)))

    assert document["id"] == seen.id_of("half")
    assert [event["type"] for event in document["events"]][:2] == ["job_pending", "job_start"]
    assert [row["type"] for row in rows] == [event["type"] for event in document["events"]]
    assert {row["by"] for row in rows} == {"service"}
    assert rows[-1]["step"] == "20"
    assert "training_start" in run("events", "half").out


@pytest.mark.usefixtures("seen")
def test_metrics_in_full_keep_what_is_no_number() -> None:
    document = run("metrics", "half", "--format", "json").json
    rows = list(csv.DictReader(io.StringIO(run("metrics", "half", "--format", "csv").out)))

    train = [row for row in document["metrics"] if "train/loss" in row]
    assert [row["train/loss"] for row in train if row["train/global_step"] in NAN_AT] == ["NaN", "NaN"]
    assert (document["total_steps"], len(train)) == (STEPS, 23)
    assert [row["loss"] for row in rows if int(row["step"]) in NAN_AT] == ["NaN", "NaN"]
    assert [(row["kind"], row["step"]) for row in rows][4:7] == [("train", "5"), ("eval", "5"), ("train", "6")]
    assert all(row["grad_norm"] == "" for row in rows if row["kind"] == "eval")
    assert "NaN" in run("metrics", "half").out


def test_what_metrics_prints_replays_to_the_same_alerts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that leaves for good and then is no number: what fired live fires in the replay of the dump."""
    falls = [[s, 3.0 - s / 100, 1.0, 1e-5] for s in range(1, 121)]
    bad = [[s, 3.0 + (s - 120) / 4, 9.0, 1e-5] for s in range(121, 180)]
    lost = [[s, "NaN", "NaN", 1e-5] for s in range(180, 200)]
    curves = write_curves(tmp_path / "runs.jsonl", a_run("leaves", 200, train=[*falls, *bad, *lost], eval=[]))
    with world(tmp_path, monkeypatch, curves) as made:
        made.sweep()
        for _ in range(5):
            made.clock.advance(40)
            made.sweep()
        live = run("alerts", "--job", "leaves", "--format", "json").json["alerts"]
        dump = tmp_path / "dump.json"
        dump.write_text(run("metrics", "leaves", "--format", "json").out)
        replayed = run("replay", dump, "--format", "json").json

        by_rows = {"divergence", "nan_loss", "plateau", "overfitting", "gradient"}
        fired = sorted((a["rule"], a["kind"], a["step"]) for a in live if a["rule"] in by_rows)
        assert {rule for rule, _, _ in fired} >= {"divergence", "nan_loss"}
        assert sorted((a["rule"], a["kind"], a["step"]) for a in replayed["alerts"]) == fired
        assert (replayed["id"], replayed["total_steps"]) == (made.id_of("leaves"), 200)


def test_checkpoints_come_from_the_api(seen: World) -> None:
    finish(seen)
    document = run("checkpoints", "half", "--format", "json").json

    job_id = seen.id_of("half")
    assert document["source"] == "api"
    assert [c["from_checkpoint"] for c in document["checkpoints"]] == [job_id, *(f"{job_id}:{n}" for n in (30, 20, 10))]
    assert document["checkpoints"][0]["download"] == f"together fine-tuning download {job_id}"


@pytest.mark.parametrize("blind", ["no key", "no API"])
def test_checkpoints_come_from_the_log_where_the_api_cannot_be_asked(
    seen: World, monkeypatch: pytest.MonkeyPatch, blind: str
) -> None:
    finish(seen)
    if blind == "no key":
        monkeypatch.delenv("TOGETHER_API_KEY")
    else:
        monkeypatch.setenv("TOGETHER_BASE_URL", f"{seen.base_url}/nowhere")
    shown = run("checkpoints", "half", "--format", "csv")

    rows = list(csv.DictReader(io.StringIO(shown.out)))
    assert [(row["step"], row["final"]) for row in rows][:2] == [("40", "true"), ("40", "false")]
    assert "that the event log told of" in shown.err


@pytest.mark.parametrize("command", ["jobs", "events", "metrics", "checkpoints", "cancel", "delete"])
def test_an_id_that_nobody_knows_is_bad_input(seen: World, command: str) -> None:
    shown = run(command, UNKNOWN)

    assert (shown.code, shown.out) == (2, "")
    assert "is not known" in shown.err
    assert [r for r in seen.requests("POST") + seen.requests("DELETE") if "cancel" in r["path"]] == []


@pytest.mark.parametrize("command", ["cancel", "delete"])
def test_what_changes_something_takes_no_part_of_an_id_and_no_suffix(seen: World, command: str) -> None:
    for word in (seen.id_of("half")[:12], "half"):
        assert run(command, word, stdin="y\n").code == 2


@pytest.mark.parametrize("command", ["events", "metrics", "checkpoints"])
def test_before_anything_is_known_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path))
    shown = run(command, "half")

    assert (shown.code, shown.out) == (1, "")
    assert "nothing is known yet" in shown.err


# --- cancel ---


def posts(made: World) -> list[Any]:
    return [request["took_effect"] for request in made.requests("POST") if request["path"].endswith("/cancel")]


def test_cancel_says_what_it_means_and_asks(seen: World) -> None:
    refused = run("cancel", seen.id_of("half"), stdin="n\n")
    silent = run("cancel", seen.id_of("half"))

    assert (refused.code, silent.code) == (1, 1)
    for words in ("(half)", "running, step 23 of 40", "stay billed", "can't be resumed", f"{seen.id_of('half')}:20"):
        assert words in refused.err
    assert "spent so far: about $2.30 of $4.00, if every step costs the same" in refused.err
    assert "had it failed by itself, nothing would be billed" in refused.err
    assert posts(seen) == []


def test_cancel_posts_once_and_tells_the_truth_to_the_end(seen: World) -> None:
    job_id = seen.id_of("half")
    asked = run("cancel", job_id, stdin="y\n")
    again = run("cancel", job_id, "--yes")
    seen.clock.advance(5)
    seen.sweep()
    late = run("cancel", job_id, "--yes")

    assert (asked.code, again.code, late.code) == (0, 0, 0)
    assert "Cancel requested" in asked.out
    assert "status: cancel_requested" in asked.out
    assert "Already requested" in again.out
    assert "it is cancelled already" in late.out
    assert posts(seen) == [True]
    (job,) = run("jobs", job_id, "--format", "json").json["jobs"]
    assert [(p["mode"], p["state"]) for p in job["proposals"]] == [("manual", "confirmed")]
    assert "cancellation" not in {alert["rule"] for alert in job["alerts"]}
    assert "watcher" in {event["by"] for event in job["events"]}


def test_cancel_refuses_what_has_ended(seen: World) -> None:
    finish(seen)
    shown = run("cancel", seen.id_of("half"), "--yes")

    assert (shown.code, posts(seen)) == (1, [])
    assert "it is completed" in shown.out
    assert "billed" not in shown.err


def test_cancel_sees_that_a_job_ended_since_the_last_sweep(seen: World) -> None:
    seen.clock.advance(100)
    shown = run("cancel", seen.id_of("half"), "--yes")

    assert (shown.code, posts(seen)) == (1, [])
    assert "it is completed" in shown.out


def test_cancel_goes_through_the_daemon_that_runs(seen: World) -> None:
    job_id = seen.id_of("half")
    shown = asyncio.run(beside_a_daemon(seen, "cancel", job_id, "--yes"))

    assert shown.code == 0
    assert "Cancel requested" in shown.out
    assert posts(seen) == [True]


def test_what_the_daemon_cannot_do_is_a_failure_and_not_bad_input(seen: World) -> None:
    job_id = seen.id_of("half")
    shown = asyncio.run(beside_a_daemon(seen, "cancel", job_id, "--yes", broken=True))

    assert (shown.code, shown.err.splitlines()[-1]) == (1, "watcher: the disk is full")
    assert posts(seen) == []


async def beside_a_daemon(made: World, *words: str, broken: bool = False) -> Any:
    """The command in another thread; it could not take the state directory itself."""
    environ = {"TOGETHER_API_KEY": PLANTED, "TOGETHER_BASE_URL": made.base_url}
    with bootstrap.state_lock(made.state):
        app = bootstrap.build(load_settings(None, environ), made.state, console=Heard())
        if broken:
            app.manual = _Broken()  # type: ignore[assignment]
        control = ControlServer(made.state, handlers_of(app))
        await control.start()
        try:
            for sweeper in app.sweepers.values():
                await sweeper.load()
            return await asyncio.to_thread(run, *words)
        finally:
            await control.stop()
            await app.close()


class _Broken:
    async def cancel(self, _job_id: str, _person: Person) -> dict[str, Any]:
        raise StoreError("the disk is full")


# --- delete ---


def test_delete_says_what_is_destroyed_and_wants_the_id_again(seen: World) -> None:
    job_id = seen.id_of("half")
    for typed in ("", "y\n", "half\n", f"{job_id[:-1]}\n"):
        refused = run("delete", job_id, stdin=typed)

        assert refused.code == 2
        assert "expected the id once more" in refused.err
    shown = run("delete", job_id)
    for words in ("for good", "checkpoints: 20, 10", "its training is lost too", "not paid back"):
        assert words in shown.err
    assert run("delete", job_id, "--confirm", "half").code == 2
    assert seen.requests("DELETE") == []


def test_delete_destroys_and_the_next_sweep_tells_it(seen: World) -> None:
    job_id = seen.id_of("half")
    shown = run("delete", job_id, "--by", "Ada", "--reason", "old data", stdin=f"{job_id}\n")
    (known,) = run("jobs", job_id, "--format", "json").json["jobs"]
    seen.sweep()

    assert (shown.code, shown.out) == (0, f"{job_id}: deleted (Fine-tune job deleted)\n")
    assert known["status"] == "running"
    assert [request["query"] for request in seen.requests("DELETE")] == [""]
    alerts = run("alerts", "--job", job_id, "--format", "json").json["alerts"]
    assert "deleted" in [alert["rule"] for alert in alerts]
    with open_store(seen.state / "watcher.db", query_only=True) as store:
        (entry,) = store.read_now(lambda reads: reads.audits())
    assert (entry.who, entry.what, entry.why, entry.key.job_id) == ("Ada", "delete", "old data", job_id)


def test_force_is_passed_on_and_the_id_may_come_from_a_script(seen: World) -> None:
    job_id = seen.id_of("half")
    shown = run("delete", job_id, "--confirm", job_id, "--force")

    assert shown.code == 0
    assert [request["query"] for request in seen.requests("DELETE")] == ["force=true"]


def test_delete_refuses_what_the_account_does_not_have_any_more(seen: World) -> None:
    job_id = seen.id_of("half")
    run("delete", job_id, "--confirm", job_id)
    shown = run("delete", job_id, "--confirm", job_id)

    assert shown.code == 2
    assert "has no job" in shown.err
    assert len(seen.requests("DELETE")) == 1


def test_delete_needs_the_key_of_the_jobs_account(seen: World, tmp_path: Path) -> None:
    config = tmp_path / "watcher.yaml"
    config.write_text("accounts: [{name: elsewhere}]\n")
    shown = run("delete", seen.id_of("half"), "--confirm", seen.id_of("half"), "--config", config)

    assert shown.code == 2
    assert "account 'default' of this job is not configured" in shown.err


def test_no_answer_to_a_delete_is_no_success(seen: World, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = seen.id_of("half")
    monkeypatch.setenv("TOGETHER_BASE_URL", f"{seen.base_url}/nowhere")
    shown = run("delete", job_id, "--confirm", job_id)

    assert shown.code == 2
    assert seen.requests("DELETE") == []
