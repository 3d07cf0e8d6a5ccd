"""`watcher drill` with the real program and receivers on loopback: beside a daemon, and alone."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import Place, a_daemon, a_place, titles
from tests.processes import watcher
from tests.receivers import Reply

BESIDE = "beside a daemon"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as made:
        made.settings["receivers"].append({"name": "pager", "urls": [f"json://{made.second.place}/", "console://"]})
        made.write()
        yield made


def drill(place: Place, *more: str) -> tuple[int, dict[str, Any]]:
    done = watcher("drill", "--format", "json", "--timeout", "10s", *more, *place.words, env=place.env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def results(answer: dict[str, Any]) -> dict[tuple[str, str], bool]:
    return {(r["receiver"], r["scheme"]): r["ok"] for r in answer["targets"]}


@pytest.mark.parametrize("way", [BESIDE, "alone"])
def test_every_address_of_every_receiver_gets_a_marked_message_that_fires_nowhere(place: Place, way: str) -> None:
    if way == BESIDE:
        with a_daemon(place):
            code, answer = drill(place)
    else:
        code, answer = drill(place)

    assert code == 0
    assert results(answer) == {("team", "json"): True, ("pager", "json"): True, ("pager", "console"): True}
    for receiver in (place.first, place.second):
        (request,) = receiver.requests
        assert "drill" in request.json["title"]
        assert "This is a drill" in request.json["message"]
        assert [picture["mimetype"] for picture in request.json["attachments"]] == ["image/png"]
    assert place.alerts() == {"drill": "resolved"}
    assert place.status()["firing"] == 0


def test_one_receiver_can_be_drilled_again_and_again(place: Place) -> None:
    with a_daemon(place):
        for _ in range(2):
            code, answer = drill(place, "--receiver", "pager")
            assert code == 0
            assert set(results(answer)) == {("pager", "json"), ("pager", "console")}

    assert place.first.requests == []
    assert len(titles(place.second)) == 2


@pytest.mark.parametrize("way", [BESIDE, "alone"])
def test_an_address_that_does_not_take_it_fails_with_the_reason_and_is_not_tried_later(place: Place, way: str) -> None:
    place.second.otherwise = Reply(status=503)
    if way == BESIDE:
        with a_daemon(place):
            code, answer = drill(place)
    else:
        code, answer = drill(place)

    assert code == 1
    assert results(answer) == {("team", "json"): True, ("pager", "json"): False, ("pager", "console"): True}
    (failed,) = [result for result in answer["targets"] if not result["ok"]]
    assert failed["reason"] == "json: answered 503"
    assert place.status()["outbox"]["due"] + place.status()["outbox"]["waiting"] == 0
    assert place.alerts() == {"drill": "resolved"}


def test_an_address_that_hangs_costs_the_time_allowed_and_no_more(place: Place) -> None:
    held = threading.Event()
    place.second.otherwise = Reply(hold=held)
    with a_daemon(place):
        code, answer = drill(place, "--timeout", "1s")
        held.set()

    assert code == 1
    (failed,) = [result for result in answer["targets"] if not result["ok"]]
    assert failed["reason"] == "not answered in time"
    assert 1 <= failed["seconds"] < 5


def test_the_report_is_readable_and_an_unknown_receiver_is_bad_input(place: Place) -> None:
    shown = watcher("drill", *place.words, env=place.env).stdout
    refused = watcher("drill", "--receiver", "nobody", *place.words, env=place.env)

    assert [line.split()[:3] for line in shown.splitlines()[1:]] == [
        ["team", "json", "ok"],
        ["pager", "json", "ok"],
        ["pager", "console", "ok"],
    ]
    assert refused.returncode == 2
    assert "expected one of: pager, team" in refused.stderr
