"""`watcher run` as a process of its own, seen from outside: its CPU, memory, what it writes, and whether it is late."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.load.processes import Server, cpu_of
from bench.load.settings import EACH_ALONE, INTERVAL, settings_file


@dataclass(frozen=True, slots=True)
class Reading:
    """What the kernel says of a process so far."""

    cpu: float
    rss_kb: int
    written: int
    """Bytes handed to files; sockets are not counted."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """The running daemon, and when it was started (Unix seconds)."""

    pid: int
    started: float

    def read(self) -> Reading:
        place = Path("/proc") / str(self.pid)
        rss = next(line for line in (place / "status").read_text().splitlines() if line.startswith("VmRSS"))
        written = next(line for line in (place / "io").read_text().splitlines() if line.startswith("wchar"))
        return Reading(cpu_of(self.pid), int(rss.split()[1]), int(written.split()[1]))


@contextmanager
def running(
    server: Server, folder: Path, *, pictures: bool = True, route: Mapping[str, Any] = EACH_ALONE
) -> Iterator[Daemon]:
    """The daemon on one core, over the state in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    config = settings_file(folder, server.url, pictures=pictures, route=route)
    command = [
        sys.executable,
        "-m",
        "watcher",
        "run",
        "--config",
        str(config),
        "--state-dir",
        str(folder),
        "--port",
        "0",
    ]
    started = time.time()
    with (
        (folder / "daemon.log").open("ab") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,  # noqa: S603
    ):
        os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
        try:
            yield Daemon(process.pid, started)
        finally:
            process.kill()  # its state is thrown away, or must survive that


def hold(server: Server, folder: Path, *, jobs: int, settle: float, intervals: int) -> dict[str, Any]:
    """Let it run at its interval and tell how that went; `settle` are the seconds that nothing is counted."""
    with running(server, folder) as daemon:
        time.sleep(settle)
        before, calls, since = daemon.read(), server.ask("stats")["calls"], time.time()
        time.sleep(intervals * INTERVAL)
        after, stats = daemon.read(), server.ask("stats")
        begun = [at for at in stats["lists"] if at >= since]  # the first look at a job's past is not what is kept up
    grid = [(at - begun[0]) % INTERVAL for at in begun[1:]]
    polls = stats["calls"]["metrics"] - calls.get("metrics", 0)
    return {
        "jobs": jobs,
        "busy": (after.cpu - before.cpu) / (intervals * INTERVAL),
        "late": max(min(off, INTERVAL - off) for off in grid) if grid else 0.0,
        "missed": sum(round((b - a) / INTERVAL) - 1 for a, b in pairwise(begun)),
        "polls_a_job_and_minute": polls / jobs / (intervals * INTERVAL / 60),
        "rss_kb": after.rss_kb,
        "written_an_hour": (after.written - before.written) * 3600 / (intervals * INTERVAL),
    }


def first_sweep(server: Server, folder: Path, *, patience: float = 120.0) -> dict[str, float]:
    """Seconds, and seconds of CPU, from the start of the process until it asks for the list."""
    server.ask("begin")
    with running(server, folder) as daemon:
        server.ask("watch", pid=daemon.pid)
        while time.time() - daemon.started < patience:
            stats = server.ask("stats")
            if stats["lists"]:
                return {"seconds": stats["lists"][0] - daemon.started, "cpu": stats["cpu"]}
            time.sleep(0.05)
    raise RuntimeError("no sweep began")
