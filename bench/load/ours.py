"""The watcher's own sweeps in a process of its own, thirty seconds of its clock apart: CPU of this process alone.

Asked with `{"from": TICK, "sweeps": N}`, it answers with what those sweeps took; with `"count": true` it counts the
statements meanwhile, which takes time by itself.
"""

import argparse
import asyncio
import json
import resource
import sqlite3
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import event

from bench.load.processes import Server, answer
from bench.load.settings import INTERVAL, settings_file
from watcher import bootstrap, logs
from watcher.bootstrap import App
from watcher.cli.main import begin
from watcher.clock import SystemClock
from watcher.settings import load_settings
from watcher.web.telemetry import PrometheusTelemetry


class TickingClock(SystemClock):
    """The real clock, moved ahead between sweeps."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=self.ahead)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead  # in one step: rules are timed with it, and that counts


class Counting:
    """While it is on, statements are counted as SQLite runs them, row by row: most go past SQLAlchemy."""

    def __init__(self, app: App) -> None:
        self.on, self.statements = False, 0
        for engine in (app.store._writer, app.store._reader):  # noqa: SLF001
            event.listen(engine, "checkout", self._traced)

    def _traced(self, raw: sqlite3.Connection, *_: object) -> None:
        raw.set_trace_callback(self._count if self.on else None)

    def _count(self, _statement: str) -> None:
        self.statements += 1


async def sweep(app: App) -> None:
    """What the daemon does at an interval: look, decide, tell."""
    for sweeper in app.sweepers.values():
        await sweeper.run()
    await app.faults.flush()
    await app.router.run()
    await app.dispatcher.run_due()


async def measure(server: Server, folder: Path) -> None:
    logs.configure_logs(level="warning", style="json")
    clock = TickingClock()
    telemetry = PrometheusTelemetry()
    app = bootstrap.build(
        load_settings(settings_file(folder, server.url), {}), folder, clock=clock, telemetry=telemetry
    )
    counting = Counting(app)
    try:
        for line in sys.stdin:
            window = json.loads(line)
            counting.on, counting.statements = window.get("count", False), 0
            asked, spent = [], []
            for tick in range(window["from"], window["from"] + window["sweeps"]):
                server.ask("at", seconds=tick * INTERVAL)
                clock.ahead = tick * INTERVAL
                begun = time.process_time()
                await sweep(app)
                spent.append(time.process_time() - begun)
                asked.append(server.ask("asked"))
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer({"cpu": spent, "asked": asked, "statements": counting.statements, "rss_kb": rss})
    finally:
        await app.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    given = parser.parse_args()
    begin(["run"])
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Server(given.url), Path(folder)))


if __name__ == "__main__":
    main()
