"""The two child processes: started, listened to, and ended."""

import collections
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from watcher.service.errors import WatcherError

_TAIL = 12
_START, _DRAIN = 20.0, 25.0
"""Seconds that a child may take to start, and to end when it is told to."""


class ChildError(WatcherError):
    """A child process ended too early, or did not start."""


class Child:
    """`watcher <arguments>` as a process of its own.

    It has its own process group: Ctrl-C reaches the demo alone, which then ends its children once and in order.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environ: Mapping[str, str],
        announced: str,
        log: Path | None = None,
    ) -> None:
        """Start it.

        Args:
            name: What to call it in messages.
            arguments: What follows `watcher`.
            environ: Its whole environment.
            announced: A pattern with one group; a line that matches says that it is ready, and where.
            log: Takes its stderr, one JSON object a line.
        """
        self.name = name
        self._announced = re.compile(announced)
        self._tail = collections.deque[str](maxlen=_TAIL)
        self._ready = threading.Event()
        self.place = ""
        """Where it listens, once it said so."""
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-m", "watcher", *arguments],
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
        self._threads = [
            threading.Thread(target=self._read_stdout, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._read_stderr, args=(self._process.stderr, log), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def wait(self, stop: threading.Event) -> str:
        """Where it listens, as soon as it says so; empty when `stop` is set before.

        Raises:
            ChildError: it ended before, or took too long.
        """
        waited = 0.0
        while not self._ready.wait(0.05) and not stop.is_set():
            self.check()
            waited += 0.05
            if waited > _START:
                raise ChildError(f"{self.name} did not start within {_START:.0f} s{self.last_lines()}")
        return self.place

    def check(self) -> None:
        """See whether it still runs.

        Raises:
            ChildError: it does not.
        """
        code = self._process.poll()
        if code is not None:
            self._join()
            raise ChildError(f"{self.name} ended by itself with exit code {code}{self.last_lines()}")

    def end(self) -> int:
        """Ask it to drain and end; kill it when it takes too long. Returns its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_DRAIN)
        except subprocess.TimeoutExpired:
            self.kill()
            code = self._process.wait()
        self._join()
        return code

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def abandon(self) -> None:
        """Leave nothing behind, however it stands."""
        self.kill()
        self._process.wait()
        self._join()

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(1.0)

    def last_lines(self) -> str:
        """What it wrote last, for a message; nothing when it wrote nothing."""
        lines = "\n  ".join(self._tail)
        return f"; its last lines:\n  {lines}" if lines else ""

    def _hear(self, line: str) -> bool:
        """Whether the line is the announcement."""
        found = self._announced.search(line)
        if found is None:
            self._tail.append(line)
            return False
        self.place = found[1]
        self._ready.set()
        return True

    def _read_stdout(self, pipe: IO[str]) -> None:
        with pipe:
            for line in pipe:
                self._hear(line.rstrip("\n"))

    def _read_stderr(self, pipe: IO[str], log: Path | None) -> None:
        with pipe, (log or Path(os.devnull)).open("a", encoding="utf-8", errors="replace") as file:
            for raw in pipe:
                line = raw.rstrip("\n")
                if line and not self._hear(line):
                    file.write(f"{_as_json(line)}\n")
                    file.flush()


def _as_json(line: str) -> str:
    """The line of the log; what is no JSON object (a traceback of the interpreter) is put into one."""
    with contextlib.suppress(ValueError):
        if isinstance(json.loads(line), dict):
            return line
    return json.dumps({"event": line, "level": "info", "logger": "stderr"}, ensure_ascii=False)


def child_environment(**more: str) -> dict[str, str]:
    """Our own without settings and proxies: the demo shows what its file says, and talks to loopback alone."""
    mine = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("WATCHER_", "TOGETHER_")) and not key.lower().endswith("_proxy")
    }
    return mine | {"PYTHONUNBUFFERED": "1"} | more
