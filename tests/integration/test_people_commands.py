"""`silence`, `ack`, `explain` and `routes`: on a store that was filled through its API, and beside a daemon."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.commands import Ended, restored_logs, run
from tests.leaks import CANARY
from tests.rich import deliveries_of
from tests.stored import NOW, SUBJECT, a_job, a_proposal, a_transition, an_alert, at
from watcher import bootstrap
from watcher.clock import SystemClock
from watcher.daemon.control import ControlServer
from watcher.domain.alerts import AlertState, TransitionReason
from watcher.domain.groups import Decision, Group, Member
from watcher.handlers import handlers_of
from watcher.service.ports import Reads, Writes
from watcher.store.sqlite import open_store

ALERT = an_alert(reason="\x1b[31mloss 9 at step 5", step=5)
OVER = an_alert(rule="stall", kind="stalled", state=AlertState.RESOLVED, ends_at=at(5))


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A state directory with a job whose loss diverged, was told, and waits to be told again."""

    def work(tx: Writes) -> None:
        tx.save_job(a_job())
        tx.save_alert(ALERT)
        tx.save_alert(OVER)
        number = tx.add_transition(a_transition(ALERT), {"cancel": "mode is off"})
        tx.consume([number], NOW)
        deliveries_of(tx, ALERT.id)
        tx.add_proposal(a_proposal(alert_id=ALERT.id, reason="hopeless"))

    with open_store(tmp_path / "watcher.db") as store:
        store.write_now(work)
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("LOGNAME", "an-operator")
    with restored_logs():
        yield tmp_path


def read(state: Path, work: Any) -> Any:
    with open_store(state / "watcher.db", query_only=True) as store:
        return store.read_now(work)


def silence(*words: str) -> Ended:
    return run("silence", "add", *words, "--format", "json")


# --- silence ---


def test_a_silence_is_made_listed_and_ended(state: Path) -> None:  # noqa: ARG001
    made = silence("suffix=prod-*|test-*", "rule!=failure", "--for", "2h", "--comment", "move of the cluster").json
    listed = run("silence", "list", "--format", "json").json["silences"]
    ended = run("silence", "expire", made["id"], "--format", "json").json

    assert listed == [made]
    assert made["matchers"] == ["suffix=prod-*|test-*", "rule!=failure"]
    assert (made["author"], made["comment"], made["active"]) == ("an-operator", "move of the cluster", True)
    assert datetime.fromisoformat(made["ends_at"]) - datetime.fromisoformat(made["starts_at"]) == timedelta(hours=2)
    assert ended["active"] is False
    assert run("silence", "list").out == "no silences\n"
    assert [entry["id"] for entry in run("silence", "list", "--past", "--format", "json").json["silences"]] == [
        made["id"]
    ]


def test_a_silence_is_told_to_people_in_words(state: Path) -> None:  # noqa: ARG001
    made = run("silence", "add", "rule=stall", "--for", "30m", "--comment", "\x1b[2J why", "--author", "somebody else")
    listed = run("silence", "list").out

    assert made.out.startswith("silence ")
    assert made.out.endswith(": rule=stall\n")
    assert "somebody else" in listed
    assert "\x1b" not in listed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param(["colour=red", "--for", "2h"], "no label 'colour'; expected one of account", id="label"),
        pytest.param(["rule", "--for", "2h"], "'rule': expected label=glob", id="no sign"),
        pytest.param(["rule=x", "--for", "soon"], "--for soon: expected a duration such as 30s", id="duration"),
        pytest.param(["rule=x", "--for", "0s"], "expected more than 0s", id="nothing"),
        pytest.param(["rule=x", "--for", "5000d"], "at most 366d", id="for ever"),
    ],
)
def test_a_silence_that_can_not_be_meant_is_refused(state: Path, words: list[str], told: str) -> None:
    done = run("silence", "add", *words, "--comment", "why")

    assert done.code == 2
    assert told in done.err
    assert read(state, lambda reads: reads.silences(NOW)) == []


def test_a_silence_needs_a_matcher_and_a_known_id(state: Path) -> None:  # noqa: ARG001
    assert run("silence", "add", "--for", "2h", "--comment", "why").code == 2
    assert "'nope' is not in force" in run("silence", "expire", "nope").err
    assert run("silence", "expire", "nope").code == 2


def test_the_end_of_a_silence_lets_what_it_held_be_looked_at_at_once(state: Path) -> None:
    made = silence("rule=x", "--for", "2h", "--comment", "why").json
    held = Group(key="h", receiver="team", route="", members={"a": Member(alert_id="a", labels={}, muted="silence")})
    with open_store(state / "watcher.db") as store:
        store.write_now(lambda tx: tx.save_group(held))
    run("silence", "expire", made["id"])

    due = read(state, lambda reads: [group.key for group in reads.groups_due(SystemClock().now())])
    assert "h" in due


# --- ack ---


def test_an_acknowledgement_shows_wherever_the_alert_does_and_the_first_stays(state: Path) -> None:
    first = run("ack", ALERT.id, "--comment", "on it", "--format", "json").json
    second = run("ack", ALERT.id, "--author", "somebody else", "--format", "json").json
    shown = {entry["id"]: entry for entry in run("alerts", "--format", "json").json["alerts"]}
    of_job = {entry["id"]: entry for entry in run("jobs", "--format", "json").json["jobs"][0]["alerts"]}

    assert first == second
    assert (first["acknowledged_by"], first["comment"], first["subject"]) == ("an-operator", "on it", SUBJECT.job_id)
    assert shown[ALERT.id]["acknowledged_by"] == of_job[ALERT.id]["acknowledged_by"] == "an-operator"
    assert shown[OVER.id]["acknowledged_by"] is None
    assert "firing, an-operator has it" in run("alerts").out
    assert len(read(state, lambda reads: [d for d, _ in reads.decisions(ALERT.id) if d.what == "acknowledged"])) == 1


@pytest.mark.parametrize("moment", [False, True], ids=["for so long", "until a moment"])
def test_an_acknowledgement_may_hold_until_a_time(state: Path, *, moment: bool) -> None:  # noqa: ARG001
    until = (SystemClock().now() + timedelta(hours=2)).isoformat() if moment else "2h"
    known = run("ack", ALERT.id, "--until", until, "--format", "json").json

    held = datetime.fromisoformat(known["acknowledged_until"]) - datetime.fromisoformat(known["acknowledged_at"])
    shown = next(alert for alert in run("alerts", "--format", "json").json["alerts"] if alert["id"] == ALERT.id)
    text = known["acknowledged_until"].replace("T", " ")
    assert abs(held - timedelta(hours=2)) < timedelta(minutes=5)
    assert shown["acknowledged_until"] == known["acknowledged_until"]
    assert f"firing, an-operator has it until {text[:16]}" in run("alerts").out
    assert f"an-operator has it until {text[:19]}" in run("explain", ALERT.id).out


@pytest.mark.parametrize("until", ["soon", "0s", "400d", "2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z", "2026-12-01"])
def test_a_time_that_can_not_be_meant_acknowledges_nothing(state: Path, until: str) -> None:
    done = run("ack", ALERT.id, "--until", until)

    assert (done.code, "ack: " in done.err) == (2, True)
    assert read(state, lambda reads: (reads.acks(), reads.audits())) == ({}, [])


def test_the_id_of_a_message_will_do_for_its_alert(state: Path) -> None:
    story = run("explain", "k-2", "--format", "json").json
    done = run("ack", "k-1")

    assert story["alert"]["id"] == ALERT.id
    assert done.out.startswith(f"{ALERT.id} (divergence on ft-1): an-operator has it")

    both = Decision(alert_id=OVER.id, receiver="team", at=NOW, what="told: first")
    with open_store(state / "watcher.db") as store:
        store.write_now(lambda tx: tx.add_decisions([(both, "k-1")]))
    several = run("explain", "k-1")

    assert several.code == 2
    assert "told of 2 alerts" in several.err
    assert ALERT.id in several.err


def test_an_alert_that_is_over_or_unknown_can_not_be_acknowledged(state: Path) -> None:  # noqa: ARG001
    over, unknown = run("ack", OVER.id), run("ack", "nope")

    assert (over.code, unknown.code) == (2, 2)
    assert "is over" in over.err
    assert "'nope' is not known; expected an id that `watcher alerts` shows" in unknown.err


# --- explain ---


def test_explain_tells_each_delivery_and_what_comes_next(state: Path) -> None:  # noqa: ARG001
    story = run("explain", ALERT.id, "--format", "json").json
    (decision,) = story["decisions"]
    done, waiting, dead = decision["deliveries"]

    assert story["transitions"][0]["reason"] == "first"
    assert (done["delivered_at"], done["error"]) == (at(1).isoformat(), "")
    assert (waiting["next_at"], waiting["attempts"], waiting["error"]) == (at(10).isoformat(), 1, "json: answered 503")
    assert (dead["given_up_at"], dead["error"]) == (at(2).isoformat(), "json: answered 410")
    assert story["next"] == [{"receiver": "team", "at": at(240).isoformat(), "what": "reminder", "why": ""}]
    assert story["policy"] == "mode is off"
    assert story["cancels"][0]["reason"] == "hopeless"


def test_explain_is_readable_and_moves_no_cursor(state: Path) -> None:  # noqa: ARG001
    run("ack", ALERT.id, "--comment", "on it")
    out = run("explain", ALERT.id).out

    assert "\x1b" not in out
    shown = ["what happened:", "team  told: first", "k-1: delivered", "1 failed, json: answered 503", "given up"]
    shown += ["acknowledged (by an-operator: on it)", "nothing more until it ends", "mode is off", "hopeless"]
    for words in shown:
        assert words in out


def test_explain_of_what_waits_to_be_routed_and_of_what_was_never_told(state: Path) -> None:
    with open_store(state / "watcher.db") as store:
        store.write_now(lambda tx: tx.add_transition(a_transition(OVER, reason=TransitionReason.RESOLVED)))
    story = run("explain", OVER.id, "--format", "json").json

    assert story["decisions"] == []
    assert story["next"] == [{"receiver": "", "at": None, "what": "resolved: not routed yet", "why": ""}]
    assert "who was told:\n  nobody\n" in run("explain", OVER.id).out
    assert run("explain", "nope").code == 2


# --- routes ---

ROUTES = """
receivers:
  - {name: team, urls: ["console://"]}
  - {name: boss, urls: ["console://"]}
mute_times:
  - {name: always, from: "00:00", to: "00:00"}
route:
  group_by: [account, job]
  escalate: {to: boss, after: 20m}
  routes:
    - {match: {suffix: "prod-*"}, receivers: [boss, team], mute_times: [always], continue: true}
    - {match: {severity: info}, receivers: [boss], repeat_interval: null, send_resolved: false, group_by: [suffix]}
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOGETHER_API_KEY", CANARY)
    path = tmp_path / "watcher.yaml"
    path.write_text(ROUTES)
    return path


def test_routes_test_says_who_would_be_told_how(config: Path) -> None:
    found = run("routes", "test", "--labels", "suffix=prod-7", "severity=info", "-c", config, "-f", "json").json

    assert found["receivers"] == ["boss", "team"]
    assert [route["route"] for route in found["routes"]] == [0, 1]
    assert found["routes"][0]["group"] == {"account": "", "job": ""}
    assert found["routes"][0]["mute_times"] == [{"name": "always", "now": True}]
    assert found["routes"][0]["escalate"] == {"to": "boss", "after": "20m"}
    assert found["routes"][1]["group"] == {"suffix": "prod-7"}
    assert found["routes"][1]["repeat_interval"] is None


def test_what_no_route_takes_goes_the_default_way(config: Path) -> None:
    done = run("routes", "test", "rule=divergence", "--config", config)

    assert done.out.startswith("told: team\n")
    assert "default" in done.out
    assert "to boss when nobody has it after 20m" in done.out


def test_routes_show_lists_all(config: Path) -> None:
    found = run("routes", "show", "--config", config, "--format", "json").json["routes"]
    text = run("routes", "show", "--config", config).out

    assert [route["match"] for route in found] == [["suffix=prod-*"], ["severity=info"], []]
    assert "always (now)" in text
    assert "never again; not its end" in text


@pytest.mark.parametrize(
    ("word", "told"),
    [("rule", "'rule': expected label=value"), ("colour=red", "no label 'colour'; expected one of account")],
)
def test_a_label_that_is_none_is_told(config: Path, word: str, told: str) -> None:
    done = run("routes", "test", word, "--config", config)

    assert done.code == 2
    assert told in done.err


# --- beside a running daemon ---


@dataclass
class Running:
    """A control socket as the daemon has it, on a loop of its own, with the state lock held."""

    state: Path
    woken: list[bool] = field(default_factory=list)
    ready: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    def live(self) -> None:
        asyncio.run(self._live())

    async def _live(self) -> None:
        store, wake = open_store(self.state / "watcher.db"), asyncio.Event()
        app = SimpleNamespace(store=store, clock=SystemClock(), wake=wake, sweepers={}, manual=None)
        server = ControlServer(self.state, handlers_of(cast("bootstrap.App", app)))
        with bootstrap.state_lock(self.state):
            await server.start()
            self.ready.set()
            await asyncio.to_thread(self.over.wait)
            self.woken.append(wake.is_set())
            await server.stop()
            await store.aclose()


def test_beside_a_daemon_they_go_through_it_and_wake_its_router(state: Path) -> None:
    running = Running(state)
    thread = threading.Thread(target=running.live)
    thread.start()
    try:
        assert running.ready.wait(20)
        made = silence("rule=stall", "--for", "2h", "--comment", "why")
        refused = run("silence", "expire", "nope")
        acked = run("ack", ALERT.id)
        ended = run("silence", "expire", made.json["id"])
    finally:
        running.over.set()
        thread.join(20)

    def kept(reads: Reads) -> str:
        found = reads.ack(ALERT.id)
        return found.author if found else ""

    assert (made.code, refused.code, acked.code, ended.code) == (0, 2, 0, 0)
    assert set(made.json) == {"id", "active", "matchers", "author", "comment", "starts_at", "ends_at"}
    assert "'nope' is not in force" in refused.err
    assert read(state, kept) == "an-operator"
    assert running.woken == [True]
