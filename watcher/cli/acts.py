"""`veto` and `approve`: what a person says to a cancel, through the running daemon where there is one."""

import asyncio
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher import bootstrap
from watcher.cli import drawing
from watcher.cli.common import ByOption, ConfigOption, ReasonOption, StateOption, login, settings_of, state_of
from watcher.cli.naming import ExactArgument
from watcher.clock import SystemClock
from watcher.daemon.control import SOCKET
from watcher.service.consent import Consent, Person, person_of
from watcher.service.errors import ConfigError, StateInUseError, StoreError
from watcher.service.ports import Writes
from watcher.store.sqlite import open_store

_PATIENCE = 30.0
"""Seconds that a running daemon may take to answer."""
Json = dict[str, Any]
Work = Callable[[Writes, Mapping[str, Any], datetime], Json]
Say = Callable[[Consent, Person], Awaitable[dict[str, Any]]]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(veto)
    app.command()(approve)


def veto(
    job: ExactArgument,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    lift: Annotated[bool, typer.Option("--lift", help="Allow cancels of this job again.")] = False,
    by: ByOption = None,
    reason: ReasonOption = "",
) -> int:
    """Never let the watcher cancel this job, and stop a cancel that is proposed.

    When a veto and a cancel meet, whichever was first wins, and the answer says which: exit code 1 for too late.
    """
    request = {"do": "veto", "job": job, "lift": lift, "by": by or login(), "reason": reason}
    return _said(request, config, state_dir, lambda consent, who: (consent.lift if lift else consent.veto)(job, who))


def approve(
    job: ExactArgument,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    by: ByOption = None,
    reason: ReasonOption = "",
) -> int:
    """Let a proposed cancel happen now, without the rest of its window. Every other guard still has to agree.

    Exit code 1 when no cancel is proposed, or it was requested already.
    """
    request = {"do": "approve", "job": job, "by": by or login(), "reason": reason}
    return _said(request, config, state_dir, lambda consent, who: consent.approve(job, who))


def _said(request: dict[str, Any], config: Path | None, state_dir: Path | None, say: Say) -> int:
    """Through the running daemon; where none runs, straight into the store."""
    settings, directory = settings_of(config, offline=True), state_of(state_dir)
    answer = ask(directory, request)
    if answer is None:
        with bootstrap.state_lock(directory):
            answer = asyncio.run(_say(bootstrap.database_path(settings, directory), say, person_of(request)))
    typer.echo(f"{drawing.sentence(answer['job'])}: {drawing.sentence(answer['text'])}")
    return 0 if answer["done"] else 1


async def _say(path: Path, say: Say, person: Person) -> dict[str, Any]:
    store = open_store(path, create=False)
    try:
        return await say(Consent(store=store, clock=SystemClock()), person)
    finally:
        await store.aclose()


def written(request: dict[str, Any], work: Work, config: Path | None, state_dir: Path | None) -> tuple[Json, bool]:
    """The answer to an order that is one write, by the running daemon or else by us; and whether a daemon runs.

    Raises:
        ConfigError: the request is wrong.
        StoreError: it could not be stored.
        StateInUseError: the running daemon does not answer.
    """
    directory = state_of(state_dir)
    answer = ask(directory, request)
    if answer is not None:
        return {name: value for name, value in answer.items() if name != "ok"}, True
    settings = settings_of(config, offline=True)
    with bootstrap.state_lock(directory):
        return asyncio.run(_write(bootstrap.database_path(settings, directory), work, request)), False


async def _write(path: Path, work: Work, request: Json) -> Json:
    store = open_store(path, create=False)
    try:
        return await store.write(lambda tx: work(tx, request, SystemClock().now()))
    finally:
        await store.aclose()


def ask(directory: Path, request: dict[str, Any], *, patience: float = _PATIENCE) -> dict[str, Any] | None:
    """The running daemon's answer; None when none runs.

    Raises:
        ConfigError: the daemon says that the request is wrong.
        StoreError: the daemon could not do it.
        StateInUseError: it does not answer.
    """
    if not (directory / SOCKET).exists():
        return None
    folder = os.open(directory, os.O_DIRECTORY | os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.settimeout(patience)
            channel.connect(f"/proc/self/fd/{folder}/{SOCKET}")
            channel.sendall(json.dumps(request).encode() + b"\n")
            line = channel.makefile("rb").readline()
    except ConnectionRefusedError:
        return None  # left behind by a daemon that died
    except OSError as error:
        raise StateInUseError(f"the running watcher does not answer: {error}") from error
    finally:
        os.close(folder)
    return _checked(line)


def _checked(line: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(line)
    except ValueError as error:
        raise StateInUseError("the running watcher broke off the answer") from error
    if not isinstance(answer, dict) or not answer.get("ok"):
        answer = answer if isinstance(answer, dict) else {}
        kind = ConfigError if answer.get("input", True) else StoreError
        raise kind(str(answer.get("error", "no answer")))
    return answer
