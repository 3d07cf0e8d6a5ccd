"""Commands run inside the test's process, over a state directory and a simulated API."""

import io
import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.leaks import CANARY, Heard
from tests.plainlogs import plain_logs
from tests.simulated import NsClock, running_simulator
from watcher.cli import main

PLANTED = f"{CANARY}-key"


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(token: str) -> None:
    raise AssertionError(f"{token} is no JSON")


def run(*words: object, stdin: str = "") -> Ended:
    """One command to its end. A key that shows anywhere is an error whatever the test is about."""
    out, err = Heard(f"what `watcher {words[0]}` printed"), Heard(f"what `watcher {words[0]}` told")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["watcher", *map(str, words)])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        code = main._run()
    assert PLANTED not in out.getvalue() + err.getvalue()
    return Ended(code, out.getvalue(), err.getvalue())


@contextmanager
def restored_logs() -> Iterator[None]:
    """Commands set up the logs of their process, which here is that of all tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    plain_logs()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@dataclass(slots=True)
class World:
    """A simulated API whose clock the test moves, and a watcher's state directory beside it."""

    directory: Path
    base_url: str
    clock: NsClock
    log: Path
    _ids: dict[str, str] = field(default_factory=dict)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    def sweep(self) -> None:
        assert run("once").code == 0

    def id_of(self, suffix: str) -> str:
        """The id of a watched job."""
        if suffix not in self._ids:
            self._ids |= {job["suffix"]: job["id"] for job in run("jobs", "--format", "json").json["jobs"]}
        return self._ids[suffix]

    def requests(self, method: str) -> list[dict[str, Any]]:
        found = [json.loads(line) for line in self.log.read_text().splitlines()]
        return [request for request in found if request["method"] == method]


@contextmanager
def world(directory: Path, patch: pytest.MonkeyPatch, curves: Path | None, *, speed: float = 1.0) -> Iterator[World]:
    """The environment that a person's shell would have. Time stands still until the test moves it."""
    clock, log = NsClock(time.time_ns()), directory / "requests.jsonl"
    with running_simulator(curves=curves, speed=speed, clock=clock, log=log) as base_url, restored_logs():
        patch.setenv("TOGETHER_API_KEY", PLANTED)
        patch.setenv("TOGETHER_BASE_URL", base_url)
        patch.setenv("WATCHER_STATE_DIR", str(directory / "state"))
        yield World(directory, base_url, clock, log)
