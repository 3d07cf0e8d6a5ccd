"""Processes of the bench: a server that is asked about itself, and clients that measure a window at a time."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

_TICK = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has had, in all its threads."""
    stat = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / _TICK


@dataclass(frozen=True, slots=True)
class Server:
    """A server of `bench.load.server`."""

    url: str

    def ask(self, what: str, **query: float) -> Any:  # noqa: ANN401 - JSON
        words = "&".join(f"{name}={value}" for name, value in query.items())
        with urllib.request.urlopen(f"{self.url}/bench/{what}?{words}") as answer:  # noqa: S310 - our own
            return json.load(answer)


@contextmanager
def serving(jobs: int, step: int, *more: str) -> Iterator[Server]:
    """A server in a process of its own."""
    with _child("bench.load.server", "--jobs", str(jobs), "--step", str(step), *more) as (_, out):
        yield Server(out.readline().strip())


@dataclass(slots=True)
class Client:
    """A client in a process of its own, which answers each line with one of JSON."""

    _into: TextIO
    _out: TextIO

    def ask(self, question: Any = None) -> Any:  # noqa: ANN401 - JSON
        self._into.write(json.dumps(question) + "\n")
        self._into.flush()
        line = self._out.readline()
        if not line:
            raise RuntimeError("a client of the bench ended: its words are above")
        return json.loads(line)


@contextmanager
def client(module: str, *arguments: str) -> Iterator[Client]:
    with _child(module, *arguments) as (into, out):
        yield Client(into, out)


@contextmanager
def _child(module: str, *arguments: str) -> Iterator[tuple[TextIO, TextIO]]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:  # noqa: S603
        assert process.stdin, process.stdout
        assert process.stdout
        try:
            yield process.stdin, process.stdout
        finally:
            process.terminate()


def answer(found: Any) -> None:  # noqa: ANN401 - JSON
    """What a client says to one question."""
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
