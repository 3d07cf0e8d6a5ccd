"""The daemon as a process: killed, stopped, started twice; judged by what receivers, the API and the files show."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.leaks import CANARY
from tests.processes import PLANTED, Running, cancels, holds, running, surroundings, watcher
from tests.receivers import HttpReceiver, Reply, http_receiver
from tests.simulated import KEY, SECOND, NsClock, a_run, running_simulator, write_curves
from watcher.simulator.job import job_id_of

STEPS = 400


def nan_run(run_id: str = "broken", *, first_bad: int = 40) -> dict[str, Any]:
    rows = [[step, "NaN" if step >= first_bad else 3.0 / step, 1.0, 1e-5] for step in range(1, STEPS + 1)]
    return a_run(run_id, STEPS, train=rows, eval=[])


@contextmanager
def simulated_for_now(curves: Path, log: Path) -> Iterator[tuple[NsClock, str]]:
    """Jobs that are in the midst of their training, and come no further unless the clock is told to."""
    clock = NsClock(time.time_ns() - 5 * SECOND)
    with running_simulator(curves=curves, speed=40, clock=clock, log=log) as url:
        httpx.get(f"{url}/fine-tunes", headers={"Authorization": f"Bearer {KEY}"})
        clock.advance(5)
        yield clock, url


class Place:
    """Where one watcher lives: its folder, environment, receiver and configuration."""

    def __init__(self, folder: Path, receiver: HttpReceiver, url: str) -> None:
        self.folder, self.receiver = folder, receiver
        self.state = folder / "state"
        self.config = folder / "watcher.yaml"
        self.env = surroundings(folder, TOGETHER_API_KEY=PLANTED)
        self.settings: dict[str, Any] = {
            "accounts": [{"name": "main", "base_url": url, "interval": "100ms", "requests_per_second": 200}],
            "receivers": [{"name": "team", "urls": [f"json://{receiver.place}/{CANARY}-hook"]}],
            "route": {"group_wait": "0s", "group_interval": "100ms"},  # a minute between messages is long here
            "cancel": {"mode": "enforce"},
            "web": {"port": 0},
        }

    def words(self, command: str, *more: str) -> tuple[str, ...]:
        self.config.write_text(json.dumps(self.settings))
        return (command, *more, "--config", str(self.config), "--state-dir", str(self.state))

    def run(self, name: str = "run") -> AbstractContextManager[Running]:
        return running(self.folder, *self.words("run"), env=self.env, name=name)

    def told(self, word: str) -> list[str]:
        """Messages whose title holds a word, or that are about an alert of a rule."""
        sent = [(r.json["title"], r.json["message"]) for r in list(self.receiver.requests)]
        return [message for title, message in sent if word in title or f"({word})" in message]


def key_of(message: str) -> str:
    last = message.splitlines()[-1]
    assert last.startswith("id: ")
    return last


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    with http_receiver() as http:
        yield http


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "requests.jsonl"


@pytest.fixture
def place(tmp_path: Path, receiver: HttpReceiver, log: Path) -> Iterator[Place]:
    curves = write_curves(tmp_path / "curves.jsonl", nan_run())
    with running_simulator(curves=curves, speed=40, stage_seconds=0.1, cancel_seconds=0.5, log=log) as url:
        yield Place(tmp_path, receiver, url)


def test_killed_between_send_and_record_it_sends_again_under_the_same_key(place: Place) -> None:
    held = threading.Event()
    place.receiver.replies.append(Reply(hold=held))
    with place.run("first") as daemon:
        daemon.until(lambda: place.told("loss is not a number"), "the first message")
        daemon.kill()
    held.set()
    with place.run("second") as daemon:
        daemon.until(lambda: len(place.told("loss is not a number")) > 1, "the message again")
        first, second, *_ = place.told("loss is not a number")

    assert first == second
    assert key_of(first) == key_of(second)


def test_killed_right_after_a_cancel_was_answered_it_never_cancels_again_and_tells_the_end(
    place: Place, log: Path
) -> None:
    with place.run("first") as daemon:
        daemon.until(lambda: cancels(log), "the cancel")
        daemon.kill()
    with place.run("second") as daemon:
        daemon.until(lambda: place.told("ancelled"), "what became of the cancel")
        daemon.terminate()
        assert daemon.ended() == 0

    assert [(line["status"], line["took_effect"]) for line in cancels(log)] == [(200, True)]
    assert len({key_of(message) for message in place.told("ancelled")}) == 1


def test_sigterm_waits_for_a_send_and_a_second_one_does_not(place: Place) -> None:
    place.settings["cancel"] = {"mode": "off"}
    held = threading.Event()
    place.receiver.replies.append(Reply(hold=held))
    with place.run("drained") as daemon:
        daemon.until(lambda: place.told("loss is not a number"), "the message")
        daemon.terminate()
        daemon.until(lambda: daemon.said("daemon.draining"), "the drain")
        held.set()
        assert daemon.ended() == 0
    with place.run("again") as daemon:
        daemon.until(lambda: daemon.said("account.introduced"), "the first look")
        daemon.terminate()
        assert daemon.ended() == 0

    assert len(place.told("loss is not a number")) == 1

    held.clear()
    place.receiver.replies.append(Reply(hold=held))
    place.state = place.folder / "other"
    with place.run("forced") as daemon:
        daemon.until(lambda: len(place.told("loss is not a number")) == 2, "the message of another watcher")
        daemon.terminate()
        daemon.until(lambda: daemon.said("daemon.draining"), "the drain")
        daemon.terminate()
        assert daemon.ended() == 130
    held.set()


def test_what_stands_beside_a_running_daemon(tmp_path: Path, receiver: HttpReceiver, log: Path) -> None:
    curves, job = write_curves(tmp_path / "curves.jsonl", nan_run()), job_id_of("broken")
    with simulated_for_now(curves, log) as (clock, url):
        place = Place(tmp_path, receiver, url)
        place.settings["cancel"] = {"mode": "enforce", "min_progress": 0.5}
        _beside_a_running_daemon(place, job, clock)

    assert cancels(log) == []
    assert holds(place.folder, PLANTED) == []
    assert place.state.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in place.state.iterdir()} == {0o600}


def _beside_a_running_daemon(place: Place, job: str, clock: NsClock) -> None:
    with place.run() as daemon:
        daemon.until(lambda: place.told("loss is not a number"), "an alert")
        second = watcher(*place.words("run"), env=place.env)
        once = watcher(*place.words("once"), env=place.env)
        vetoed = watcher(*place.words("veto", job), env=place.env)
        unknown = watcher(*place.words("veto", "ft-none"), env=place.env)
        # A little at a time, as training goes: a cancel needs two sweeps with fresh rows.
        daemon.until(lambda: _a_little_later(clock) and place.told("completed"), "the end of the job")
        daemon.terminate()
        assert daemon.ended() == 0
    lifted = watcher(*place.words("veto", job, "--lift"), env=place.env)
    shown = watcher(*place.words("jobs", "--format", "json"), env=place.env)

    assert (second.returncode, once.returncode, unknown.returncode) == (4, 4, 2)
    assert "in use" in second.stderr
    assert (vetoed.returncode, lifted.returncode) == (0, 0)
    assert "No cancel was open" in vetoed.stdout
    assert "may cancel this job again" in lifted.stdout
    assert [row["never_cancel"] for row in json.loads(shown.stdout)["jobs"]] == [False]
    assert all(PLANTED not in done.stdout + done.stderr for done in (second, once, vetoed, unknown, lifted, shown))


def _a_little_later(clock: NsClock) -> bool:
    clock.advance(0.1)
    return True


def test_once_reports_what_it_sees_and_what_it_does_not(tmp_path: Path, receiver: HttpReceiver, log: Path) -> None:
    curves = write_curves(tmp_path / "curves.jsonl", nan_run())
    with http_receiver() as refusing, simulated_for_now(curves, log) as (_, url):
        refusing.otherwise = Reply(status=401, body=b'{"error": {"message": "Invalid API key provided"}}')
        place = Place(tmp_path, receiver, url)
        good = watcher(*place.words("once", "--format", "json"), env=place.env)
        other = {"name": "locked", "base_url": f"http://{refusing.place}", "api_key": f"{CANARY}-wrong"}
        place.settings["accounts"].append(other)
        bad = watcher(*place.words("once", "--format", "json"), env=place.env)

    assert good.returncode == 0, good.stderr
    seen = json.loads(good.stdout)
    assert set(seen) == {"accounts", "jobs", "delivered", "due"}
    assert seen["accounts"] == [{"name": "main", "ok": True, "error": None}]
    (job,) = seen["jobs"]
    assert (job["id"], job["account"], job["status"], job["health"]) == (
        job_id_of("broken"),
        "main",
        "running",
        "broken",
    )
    assert job["step"] > 40
    assert job["total_steps"] == STEPS
    assert [(alert["rule"], alert["kind"], alert["state"]) for alert in job["alerts"]] == [
        ("nan_loss", "train", "firing")
    ]
    assert (seen["delivered"], seen["due"]) == (1, 0)
    assert len(place.told("loss is not a number")) == 1

    assert bad.returncode == 3
    both = json.loads(bad.stdout)
    assert [(account["name"], account["ok"]) for account in both["accounts"]] == [("main", True), ("locked", False)]
    assert [row["id"] for row in both["jobs"]] == [job["id"]]
    assert both["delivered"] == 0
    assert f"{CANARY}-wrong" not in bad.stdout + bad.stderr


def test_check_takes_a_good_file_and_names_what_is_wrong_in_a_bad_one(tmp_path: Path, receiver: HttpReceiver) -> None:
    place = Place(tmp_path, receiver, "http://127.0.0.1:1")
    good = watcher(*place.words("check")[:3], env=place.env)
    place.settings["cancel"]["mode"] = "sometimes"
    bad = watcher(*place.words("check")[:3], env=place.env)

    assert good.returncode == 0, good.stderr
    assert PLANTED not in good.stdout + good.stderr
    assert bad.returncode == 2
    for word in (str(place.config), "cancel.mode", "sometimes", "enforce"):
        assert word in bad.stderr
    assert not place.state.exists()


def test_a_key_and_an_address_in_the_environment_are_enough(tmp_path: Path) -> None:
    curves = write_curves(tmp_path / "curves.jsonl", nan_run())
    with simulated_for_now(curves, tmp_path / "requests.jsonl") as (_, url):
        env = surroundings(tmp_path, TOGETHER_API_KEY=PLANTED, TOGETHER_BASE_URL=url.removesuffix("/v1"))
        with running(tmp_path, "run", "--port", "0", env=env) as daemon:
            daemon.until(lambda: "id: " in daemon.stdout.read_text(), "an alert on the console")
            _probe(daemon)
            daemon.terminate()
            assert daemon.ended() == 0

    assert "loss is not a number" in daemon.stdout.read_text()
    assert (tmp_path / ".local/state/watcher/watcher.db").exists()
    assert holds(tmp_path, PLANTED) == []


def _probe(daemon: Running) -> None:
    ready = httpx.get(f"{daemon.web()}/readyz")
    assert ready.status_code == 200, ready.text
