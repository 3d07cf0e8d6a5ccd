"""Another configuration for a running daemon, with the real program, a simulator and receivers on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Place, a_daemon, a_place, reload, titles
from tests.leaks import CANARY
from tests.processes import Running, read_log, watcher
from tests.receivers import Reply, http_receiver
from tests.simulated import a_run, running_simulator, write_curves
from watcher.simulator.projects import Revocation

ANOTHER = f"{CANARY}-another"


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
    daemon.until(lambda: any("budget" in title for title in titles(place.first)), "the alert")
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
        account | {"name": "more", "api_key": ANOTHER},
    ]
    place.write()
    reload(daemon)
    daemon.until(lambda: daemon.said('"account": "more"'), "the new account")
    place.settings["accounts"] = [account | {"name": "more", "api_key": ANOTHER, "interval": "50ms"}]
    place.write()
    reload(daemon)

    before = len(read_log(log))
    daemon.until(lambda: len(read_log(log)) > before + 5, "sweeps at the new pace")


def test_what_needs_a_restart_is_said_and_the_rest_is_in_force(place: Place, daemon: Running) -> None:
    place.settings["web"] = {"port": 1}
    place.settings["store"] = {"path": str(place.folder / "other.db")}
    place.settings["rules"]["budget"] = {"limit_dollars": 0.01}
    place.write()
    reload(daemon)
    del place.settings["store"]
    place.write()
    reload(daemon)
    daemon.until(lambda: any("budget" in title for title in titles(place.first)), "the new rule")

    assert place.status()["restart_needed"] == ["web.port"]
    assert daemon.said("config.restart_needed")
    assert "web.port" in watcher("status", *place.words, env=place.env).stdout
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


def test_a_revoked_key_is_replaced_while_it_runs_and_none_of_another_project_is_taken(tmp_path: Path) -> None:
    """The keys are in a file of their own, as a secret store writes it: nobody sends a signal."""
    old, new = f"blue/{CANARY}-old", f"blue/{CANARY}-new"
    curves = write_curves(tmp_path / "c.jsonl", a_run("mine", 4000, project="blue"), a_run("theirs", project="red"))
    simulator = running_simulator(
        curves=curves, speed=20, stage_seconds=0.1, revocations=[Revocation.parse(f"{old}:2:1000")]
    )
    with http_receiver() as first, http_receiver() as second, simulator as url:
        place = Place(tmp_path, url, first, second)

        def told() -> int:
            return sum("refuses the key" in title for title in titles(first))

        key = tmp_path / "together.key"
        key.write_text(old)
        place.settings["accounts"][0]["api_key_file"] = str(key)
        place.settings["rules"]["provider_unreachable"] = None
        place.settings["rules"]["deleted"] = None
        place.write()
        with a_daemon(place) as daemon:
            daemon.until(lambda: told() == 1, "the alert of the old key")
            key.write_text(f"red/{CANARY}-other")
            daemon.until(lambda: daemon.said("its new key belongs to project proj_red"), "the refusal of a wrong key")
            key.write_text(new)
            daemon.until(lambda: told() == 2, "sight with the new key")
            assert place.status()["restart_needed"] == []
            assert place.alerts() == {"provider_unreachable": "resolved", "watcher_fault": "resolved"}
            assert not daemon.said(CANARY)
    assert [path for path in place.state.rglob("*") if path.is_file() and CANARY.encode() in path.read_bytes()] == []
