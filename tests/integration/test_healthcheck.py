"""`watcher healthcheck`: 0 or 1, whatever became of the daemon."""

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.commands import Ended, run
from watcher.cli import serving
from watcher.daemon.control import ControlServer

STUCK, UNSEEN = "the event loop made no progress for 31 s", "account main: no useful sweep within 90 s (auth)"


async def asked(directory: Path, *words: str, alive: list[str], ready: list[str]) -> Ended:
    async def health(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"alive": alive, "ready": ready}

    server = ControlServer(directory, {"health": health})
    await server.start()
    try:
        return await asyncio.to_thread(run, "healthcheck", "--state-dir", directory, *words)
    finally:
        await server.stop()


async def test_who_makes_progress_is_healthy_whatever_it_can_see(tmp_path: Path) -> None:
    ended = await asked(tmp_path, alive=[], ready=[UNSEEN])

    assert (ended.code, ended.out, ended.err) == (0, "ok\n", "")


async def test_ready_is_who_sees_and_delivers_too(tmp_path: Path) -> None:
    ended = await asked(tmp_path, "--ready", alive=[], ready=[UNSEEN])

    assert (ended.code, ended.out, ended.err) == (1, "", f"{UNSEEN}\n")


async def test_who_is_stuck_is_not_healthy(tmp_path: Path) -> None:
    ended = await asked(tmp_path, alive=[STUCK], ready=[STUCK, UNSEEN])

    assert (ended.code, ended.out, ended.err) == (1, "", f"{STUCK}\n")


def test_nobody_is_not_healthy(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "none", Path("/dev/null")):
        ended = run("healthcheck", "--state-dir", directory)

        assert (ended.code, ended.out, ended.err) == (1, "", "no daemon runs with this state directory\n")


def test_who_listens_and_never_answers_is_not_healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process that was stopped."""
    monkeypatch.setattr(serving, "_PATIENCE", 0.05)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as silent:
        silent.bind(str(tmp_path / "control.sock"))
        silent.listen()
        ended = run("healthcheck", "--state-dir", tmp_path)

    assert (ended.code, "does not answer" in ended.err) == (1, True)
