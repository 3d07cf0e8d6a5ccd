"""The program as a process: started, looked at from outside, and ended in every way there is."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tests.leaks import CANARY

PLANTED = f"{CANARY}-key"
PATIENCE = 40.0
"""Seconds after which a test that waits for a process is wrong."""
_REPOSITORY = Path(__file__).parents[1]
T = TypeVar("T")


def surroundings(home: Path, **more: str) -> dict[str, str]:
    """What a process finds in its environment: nothing of whoever runs the tests."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(_REPOSITORY), "NO_COLOR": "1", **more}


def watcher(*words: object, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "watcher", *map(str, words)]
    return subprocess.run(  # noqa: S603 - our own program
        command, env=env, capture_output=True, text=True, check=False, timeout=PATIENCE, cwd=env["HOME"]
    )


@dataclass(slots=True)
class Running:
    """A process that goes on; its output is in files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def kill(self) -> None:
        """As when the power fails: nothing in it gets to run any more."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self) -> None:
        """As the service manager asks."""
        self.process.send_signal(signal.SIGTERM)

    def ended(self) -> int:
        """The exit code, when it has come to its end."""
        return self.process.wait(PATIENCE)

    def until(self, found: Callable[[], T], what: str) -> T:
        """The first true answer; asked again and again, since a process tells nobody that it got somewhere."""
        deadline = time.monotonic() + PATIENCE
        while not (answer := found()):
            late = time.monotonic() > deadline
            assert not late, f"waited {PATIENCE:.0f} s in vain for {what}: {self.stderr.read_text()[-2000:]}"
            assert self.process.poll() is None, f"ended before {what}: {self.stderr.read_text()[-2000:]}"
            time.sleep(0.01)
        return answer

    def said(self, word: str) -> bool:
        """Whether a word stands on stderr."""
        return word in self.stderr.read_text()

    def web(self) -> str:
        """The address of its page, once it listens."""
        lines: list[str] = self.until(
            lambda: re.findall(r"^web: .*(?=\n)", self.stderr.read_text(), re.MULTILINE), "the page"
        )
        return lines[-1].removeprefix("web: ")


@contextlib.contextmanager
def running(folder: Path, *words: object, env: Mapping[str, str], name: str = "run") -> Iterator[Running]:
    """Start a command that stays; it is killed at the end unless it has ended."""
    stdout, stderr = folder / f"{name}.out", folder / f"{name}.err"
    command = [sys.executable, "-m", "watcher", *map(str, words)]
    with (
        stdout.open("wb") as out,
        stderr.open("wb") as err,
        subprocess.Popen(command, env=env, stdout=out, stderr=err, cwd=env["HOME"]) as process,  # noqa: S603 - as above
    ):
        try:
            yield Running(process, stdout, stderr)
        finally:
            process.kill()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The requests that a simulator noted, as far as their lines are whole."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def cancels(path: Path) -> list[dict[str, Any]]:
    """The cancel requests among them."""
    return [line for line in read_log(path) if line["path"].endswith("/cancel")]


def holds(folder: Path, secret: str) -> list[Path]:
    """Files that hold a secret in clear."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path for path in files if secret.encode() in path.read_bytes()]
