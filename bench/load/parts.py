"""The runs that the table is made of."""

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.cost import fold
from bench.detection import DEFAULT, load
from bench.load import daemon
from bench.load.processes import client, serving
from bench.load.settings import EACH_ALONE, INTERVAL
from bench.load.world import STEP_SECONDS
from watcher.domain.observations import EvalRow, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.rules import RULES

STEPS = (200, 2_000, 20_000)
SLOW = 60.0
"""Seconds between two rows in the example of the API's own documentation."""
MANY = 3_000
MOST = 10_000
WINDOWS = 5
TEN_MINUTES = 20
"""Sweeps in a window: as many as between two reads of a job's log, and two saves of its rules' states."""
_JOBS = 200
"""As many at each step: they share the cost of a sweep and of its transactions."""
_SDK_SWEEPS = 1


def polls(step: int, *, pace: float = STEP_SECONDS) -> dict[str, Any]:
    """Sweeps of jobs that stand at a step: seconds of CPU a job-poll of each client, window by window.

    Ours and bare httpx take turns at each sweep: how fast a machine is that is not ours alone changes by the minute.
    """
    jobs = _JOBS
    found: dict[str, Any] = {"ours": [], "bare": [], "sdk": []}
    with (
        serving(jobs, step, "--pace", str(pace)) as server,
        client("bench.load.ours", server.url) as ours,
        client("bench.load.bare", server.url) as bare,
        client("bench.load.sdk", server.url) as sdk,
    ):
        first = ours.ask({"from": 0, "sweeps": 1})
        bare.ask({"from": 0, "asked": first["asked"][-1:]})
        if step != max(STEPS):
            sdk.ask({"from": 0, "sweeps": _SDK_SWEEPS})
        at, count = 1, 0
        for _ in range(WINDOWS):
            spent = dict.fromkeys(("ours", "bare"), 0.0)
            for tick in range(at, at + TEN_MINUTES):
                server.ask("begin")
                mine = ours.ask({"from": tick, "sweeps": 1})
                count += sum(map(len, mine["asked"]))
                found["bytes"] = found.get("bytes", 0) + server.ask("stats")["bytes"]
                theirs = bare.ask({"from": tick, "asked": mine["asked"]})
                spent["ours"] += sum(mine["cpu"])
                spent["bare"] += sum(theirs["cpu"])
            for name, seconds in spent.items():
                found[name].append(seconds / TEN_MINUTES / jobs)
            at += TEN_MINUTES
            if step != max(STEPS):
                full = sdk.ask({"from": at - 1, "sweeps": _SDK_SWEEPS})
                found["sdk"].append(sum(full["cpu"]) / _SDK_SWEEPS / jobs)
        counted = ours.ask({"from": at, "sweeps": TEN_MINUTES, "count": True})
    made = jobs * WINDOWS * TEN_MINUTES
    found["bytes"] /= made
    found["statements"] = counted["statements"] / jobs / TEN_MINUTES
    found["calls"] = count / made * 60 / INTERVAL
    return found


def rules() -> float:
    """Microseconds that all rules on jobs take for a row of the recorded runs of `make bench`."""
    recordings = [recording for _, recording in load(DEFAULT)]
    rows = sum(len(recording.rows) for recording in recordings)
    watching = [rule() for rule in RULES if rule.subject is SubjectKind.JOB and {TrainRow, EvalRow} & set(rule.sees)]
    return sum(fold(rule, recording)[0] for rule in watching for recording in recordings) / rows * 1e6


def hold(folder: Path, jobs: int) -> dict[str, Any]:
    """The daemon with so many jobs at its interval; 75 seconds to settle, 150 with the most jobs, and 90 that count."""
    settle = 2.5 if jobs < MOST else 5
    with serving(jobs, 100, "--live") as server:
        return daemon.hold(server, folder / f"hold-{jobs}", jobs=jobs, settle=settle * INTERVAL, intervals=3)


def latency(
    folder: Path, jobs: int, *, pictures: bool, route: Mapping[str, Any] = EACH_ALONE, broken: int = 50
) -> dict[str, float]:
    """Jobs that break at moments spread over a minute: how long until somebody was told; p99."""
    spread = (60, 120)
    place = folder / f"latency-{pictures}-{len(route)}"
    more = ("--live", "--broken", str(broken), "--breaks", *map(str, spread))
    with serving(jobs, 100, *more) as server, daemon.running(server, place, pictures=pictures, route=route):
        time.sleep(spread[1] + 1.5 * INTERVAL)
        found = server.ask("latency")
    told = [job for job in found["visible"] if job in found["told"]]
    return {
        "expected": broken,
        "told": len(told),
        "messages": found["messages"],
        "with_picture": found["with_picture"],
        "beyond_interval": _p99([found["told"][job] - found["visible"][job] - INTERVAL for job in told]),
        "after_answer": _p99([found["told"][job] - found["served"][job] for job in told]),
        "median": statistics.median(found["told"][job] - found["served"][job] for job in told),
    }


def _p99(values: list[float]) -> float:
    return sorted(values)[math.ceil(0.99 * len(values)) - 1] if values else math.inf


def cold(folder: Path, jobs: int) -> list[dict[str, float]]:
    """Three starts over a store that knows so many running jobs."""
    place = folder / "cold"
    with serving(4, 100) as server:
        known = [sys.executable, "-m", "bench.load.known", server.url, str(place), str(jobs)]
        subprocess.run(known, check=True)  # noqa: S603
    with serving(jobs, 100) as server:
        return [daemon.first_sweep(server, place) for _ in range(WINDOWS)]
