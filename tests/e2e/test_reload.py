"""Another configuration for a running daemon, with the real program, a simulator and receivers on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Place, a_daemon, a_place, reload, titles
from tests.processes import Running, read_log, watcher
from tests.receivers import Reply


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with a_place(tmp_path) as made:
        yield made


@pytest.fixture
def daemon(place: Place) -> Iterator[Running]:
    with a_daemon(place) as process:
        yield process


def test_a_new_rule_setting_is_judged_on_the_whole_history(place: Place, daemon: Running) -> None:
    assert place.alerts() == {}
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.write()

    daemon.until(lambda: any("budget" in title for title in titles(place.first)), "the alert of the new limit")

    assert daemon.said("config.reloaded")
    assert place.alerts() == {"budget": "firing"}
    assert place.status()["restart_needed"] == []


def test_a_rule_that_is_taken_out_ends_its_alerts_and_nobody_is_told_twice(place: Place, daemon: Running) -> None:
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.write()
    reload(daemon)
    daemon.until(lambda: place.alerts().get("budget") == "firing", "the alert")
    reload(daemon)  # nothing changed: nothing is told again
    del place.settings["rules"]["budget"]
    place.write()
    reload(daemon)
    daemon.until(lambda: place.alerts() == {"budget": "resolved"}, "its end")

    assert len([title for title in titles(place.first) if "budget" in title]) == 1


def test_accounts_come_and_go_and_intervals_change(place: Place, daemon: Running) -> None:
    account = place.settings["accounts"][0]
    log = place.folder / "requests.jsonl"
    place.settings["accounts"] = [
        account | {"interval": "1h"},
        account | {"name": "more", "api_key": "another-key-0b5e"},
    ]
    place.write()
    reload(daemon)
    daemon.until(lambda: daemon.said('"account": "more"'), "the new account")
    place.settings["accounts"] = [account | {"name": "more", "api_key": "another-key-0b5e", "interval": "50ms"}]
    place.write()
    reload(daemon)

    before = len(read_log(log))
    daemon.until(lambda: len(read_log(log)) > before + 5, "sweeps at the new pace")


def test_what_needs_a_restart_is_said_and_the_rest_is_in_force(place: Place, daemon: Running) -> None:
    account = place.settings["accounts"][0]
    place.settings["web"] = {"port": 1}
    place.settings["store"] = {"path": str(place.folder / "other.db")}
    place.settings["accounts"] = [account | {"api_key": "another-key-0b5e"}]
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.write()
    reload(daemon)
    del place.settings["store"]
    place.write()
    reload(daemon)
    daemon.until(lambda: any("budget" in title for title in titles(place.first)), "the new rule")

    assert place.status()["restart_needed"] == ["web.port", "accounts[main].api_key"]
    assert daemon.said("config.restart_needed")
    assert "web.port" in watcher("status", *place.words, env=place.env).stdout
    assert not daemon.said("another-key-0b5e")
    assert not (place.folder / "other.db").exists()


def test_a_message_for_a_receiver_that_was_taken_away_goes_to_its_present_targets(
    place: Place, daemon: Running
) -> None:
    place.first.otherwise = Reply(status=503)
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.write()
    reload(daemon)
    daemon.until(lambda: place.first.requests, "the first try")
    place.told_second()
    place.write()
    reload(daemon)

    daemon.until(lambda: any("budget" in title for title in titles(place.second)), "the message at the new target")
