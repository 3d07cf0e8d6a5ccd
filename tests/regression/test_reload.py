"""Failure modes 12 and 13 of other watchers: what a reload can do to a daemon that runs."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Place, a_daemon, a_place, reload, titles
from tests.processes import Running
from tests.receivers import Reply


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as made:
        yield made


@pytest.fixture
def daemon(place: Place) -> Iterator[Running]:
    with a_daemon(place) as process:
        yield process


def test_12_a_reload_drops_no_send_that_is_under_way(place: Place, daemon: Running) -> None:
    """12: a reload drops in-flight sends. It finishes on the old target, and only once."""
    held = threading.Event()
    place.first.replies.append(Reply(hold=held))
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.write()
    reload(daemon)
    daemon.until(place.first.arrived.is_set, "the send")
    place.told_second()
    place.write()
    reload(daemon)
    held.set()
    daemon.until(lambda: place.status()["outbox"]["done"] == 1, "the end of the send")

    assert len(place.first.requests) == 1
    assert place.second.requests == []


def test_13_a_bad_file_keeps_the_old_one_running_and_is_told_until_it_is_mended(place: Place, daemon: Running) -> None:
    """13: a bad config file stops the daemon."""
    place.write('{"accounts": [{"name": "main", "intervall": "1s"}]}')
    daemon.until(lambda: any("reload" in title for title in titles(place.first)), "the alert")
    assert daemon.process.poll() is None
    assert "intervall" in place.first.requests[0].json["message"]

    place.write("{broken")
    reload(daemon)
    place.config.unlink()
    reload(daemon)
    place.write()
    reload(daemon)
    daemon.until(lambda: place.first.requests[1:] and "esolved" in titles(place.first)[1], "the end of it")

    assert len(place.first.requests) == 2
    assert place.status()["firing"] == 0
