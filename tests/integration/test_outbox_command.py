"""`outbox list` and `outbox retry` on a store that was filled through its API; delivery against a loopback receiver."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.samples import DIVERGENCE
from tests.stored import NOW, an_effect, at
from tests.timeline import Scene, scene
from watcher.cli import main
from watcher.domain import codec
from watcher.domain.alerts import AlertState
from watcher.service.errors import DeliveryError, FailureReason
from watcher.service.parked import requeue
from watcher.service.ports import Writes
from watcher.service.records import Effect, OutboxState
from watcher.store.sqlite import open_store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command line in this process: exit code, stdout and stderr."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def _run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["watcher", *arguments, "--state-dir", str(tmp_path)])
        code = main._run()
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return _run


def fill(tmp_path: Path, *dead: str, due: tuple[str, ...] = (), cancel: str = "") -> None:
    """A store with dead letters, due ones, one that is done, and maybe a cancel that was given up."""

    def work(tx: Writes) -> None:
        payload = codec.encode(DIVERGENCE)
        keys = [*dead, *due, "done"]
        effects = [an_effect(key, lane=f"lane-{key}", payload=payload) for key in keys]
        if cancel:
            effects.append(an_effect(cancel, lane="cancel:main:ft-1", effect=Effect.CANCEL, payload={"proposal": "p"}))
        tx.enqueue(effects, NOW)
        for row in tx.claim(NOW):
            if row.key in (*dead, cancel):
                tx.park(row.id, at(5), "json: answered 410")
            elif row.key == "done":
                tx.finish(row.id, at(1))
            else:
                tx.retry(row.id, at(10), "json: answered 503")

    with open_store(tmp_path / "watcher.db") as store:
        store.write_now(work)


def states(tmp_path: Path) -> dict[str, OutboxState]:
    with open_store(tmp_path / "watcher.db", query_only=True) as store:
        return {row.key: row.state for row in store.read_now(lambda reads: reads.outbox())}


def test_the_list_shows_what_waits_and_what_was_given_up_but_not_what_is_done(tmp_path: Path, run: Run) -> None:
    fill(tmp_path, "k-dead", due=("k-due",))

    code, out, _ = run("outbox", "list", "--format", "json")

    rows = {row["key"]: row for row in json.loads(out)["outbox"]}
    assert code == 0
    assert set(rows) == {"k-dead", "k-due"}
    assert rows["k-dead"]["state"] == "dead"
    assert rows["k-dead"]["error"] == "json: answered 410"
    assert rows["k-dead"]["next_at"] is None
    assert rows["k-due"] | {"attempts": 1, "receiver": "team", "effect": "notify"} == rows["k-due"]
    assert rows["k-due"]["next_at"] == at(10).isoformat()


def test_the_list_can_be_of_dead_letters_alone_and_is_readable(tmp_path: Path, run: Run) -> None:
    fill(tmp_path, "k-dead", due=("k-due",))

    _, out, _ = run("outbox", "list", "--dead")

    assert "k-dead" in out
    assert "given up" in out
    assert "support_bot_v3" in out
    assert "k-due" not in out


def test_an_empty_outbox_says_so(tmp_path: Path, run: Run) -> None:
    fill(tmp_path)

    assert run("outbox", "list")[1] == "nothing waits, and nothing was given up\n"
    assert run("outbox", "list", "--dead")[1] == "no dead letters\n"


def test_one_dead_letter_is_due_again_by_its_key(tmp_path: Path, run: Run) -> None:
    fill(tmp_path, "k-1", "k-2")

    code, out, _ = run("outbox", "retry", "k-1", "--format", "json")

    assert code == 0
    assert json.loads(out) == {"retried": ["k-1"], "daemon": False}
    assert states(tmp_path) == {"k-1": OutboxState.DUE, "k-2": OutboxState.DEAD, "done": OutboxState.DONE}
    with open_store(tmp_path / "watcher.db", query_only=True) as store:
        (entry,) = store.read_now(lambda reads: reads.audits())
    assert (entry.via, entry.what, entry.outcome) == ("command", "retry", "k-1 is due again")


def test_all_means_all_notifications_and_no_cancel(tmp_path: Path, run: Run) -> None:
    fill(tmp_path, "k-1", "k-2", cancel="c-1")

    code, out, _ = run("outbox", "retry", "--all")

    assert code == 0
    assert "2 due again: the next `watcher run` or `watcher once` sends them" in out
    assert states(tmp_path)["c-1"] is OutboxState.DEAD


@pytest.mark.parametrize("arguments", [("k-unknown",), (), ("k-1", "--all")], ids=["unknown", "neither", "both"])
def test_what_can_not_be_meant_is_bad_input(tmp_path: Path, run: Run, arguments: tuple[str, ...]) -> None:
    fill(tmp_path, "k-1")

    code, _, err = run("outbox", "retry", *arguments)

    assert code == 2
    assert "expected" in err
    assert states(tmp_path)["k-1"] is OutboxState.DEAD


async def test_a_delivery_after_a_retry_ends_the_fault_even_after_a_restart(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        play.team.down = DeliveryError(FailureReason.NOT_FOUND, "gone", permanent=True)
        play.job()
        play.at("1m", loss=9)
        await play.run("5m")
        (fault,) = await _faults(play)
        assert fault.state is AlertState.FIRING
        assert fault.kind == "dead_letter:t-team"

        await play.restart()
        await play.faults.begin()
        play.team.down = None
        keys = await play.store.write(lambda tx: requeue(tx, None, play.clock.now()))
        await play.deliver()
        await play.deliver()

        (fault,) = await _faults(play)
        assert len(keys) == len(play.messages) - 1 == 2
        assert fault.state is AlertState.RESOLVED


async def _faults(play: Scene) -> list[Any]:
    return [alert for alert in await play.alerts("") if alert.rule == "watcher_fault"]
