"""Outbox, heartbeat and once with the real program: what is parked is sent again, and who is alive says so."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Place, a_daemon, a_place, titles
from tests.leaks import CANARY
from tests.processes import surroundings, watcher
from tests.receivers import Reply
from tests.simulated import a_run, write_curves


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as made:
        yield made


def once(place: Place) -> bool:
    return watcher("once", *place.words, env=place.env).returncode == 0


def test_a_dead_letter_is_sent_by_the_running_daemon_and_its_fault_ends(place: Place) -> None:
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.first.otherwise = Reply(status=404)
    place.write()
    with a_daemon(place):
        pass
    with a_daemon(place) as daemon:  # the fault is known from the process before
        daemon.until(lambda: place.alerts().get("watcher_fault") == "firing", "the fault")
        place.first.otherwise = Reply()
        retried = watcher("outbox", "retry", "--all", "--format", "json", *place.words, env=place.env)
        daemon.until(lambda: place.alerts()["watcher_fault"] == "resolved", "its end")
        daemon.until(lambda: place.status()["outbox"]["dead"] == 0, "an empty outbox")

    answer = json.loads(retried.stdout)
    assert answer["daemon"] is True
    assert len(answer["retried"]) >= 1
    assert any("budget" in title for title in titles(place.first))


def test_without_a_daemon_once_sends_it_and_ends_the_fault(place: Place) -> None:
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.first.otherwise = Reply(status=404)
    place.write()
    tries = [once(place) for _ in range(3)]  # the job has its price when it has begun to train
    before = place.alerts()
    assert all(tries)
    place.first.otherwise = Reply()
    watcher("outbox", "retry", "--all", *place.words, env=place.env)
    watcher("once", *place.words, env=place.env)

    assert before == {"budget": "firing", "watcher_fault": "firing"}
    assert place.alerts() == {"budget": "firing", "watcher_fault": "resolved"}
    assert place.status()["outbox"]["dead"] == 0


def test_the_daemon_pings_while_all_is_well_and_the_address_is_in_no_log(place: Place) -> None:
    place.settings["heartbeat"] = {"url": f"http://{place.second.place}/ping/{CANARY}", "interval": "200ms"}
    place.write()
    with a_daemon(place) as daemon:
        daemon.until(lambda: len(place.second.requests) > 1, "two pings")
        place.second.otherwise = Reply(status=500)
        daemon.until(lambda: daemon.said("heartbeat.failed"), "the log of a failed one")
        assert not daemon.said(CANARY)

    assert {(request.method, request.path) for request in place.second.requests} == {("GET", f"/ping/{CANARY}")}


def test_once_pings_when_it_saw_and_delivered_everything_and_else_not(place: Place) -> None:
    place.settings["heartbeat"] = {"url": f"http://{place.second.place}/ping"}
    place.write()
    watcher("once", *place.words, env=place.env)
    pings = len(place.second.requests)
    place.settings["accounts"][0]["base_url"] = "http://127.0.0.1:9"
    place.write()
    unseen = watcher("once", *place.words, env=place.env)

    assert pings == 1
    assert unseen.returncode == 3
    assert len(place.second.requests) == 1


@pytest.mark.parametrize("words", [["--help"], ["replay", "runs.jsonl"]], ids=["help", "a table"])
def test_a_reader_who_goes_away_ends_a_command_as_quietly_as_other_tools(tmp_path: Path, words: list[str]) -> None:
    write_curves(tmp_path / "runs.jsonl", a_run("one"))
    reading, writing = os.pipe()
    os.close(reading)
    command, env = [sys.executable, "-m", "watcher", *words], surroundings(tmp_path)
    with os.fdopen(writing, "w") as nobody, (tmp_path / "err").open("w") as err:
        done = subprocess.run(command, env=env, cwd=tmp_path, stdout=nobody, stderr=err, check=False)  # noqa: S603 - ours

    assert (done.returncode, (tmp_path / "err").read_text()) == (128 + signal.SIGPIPE, "")
