"""The watcher's own sweeps in a process of its own, thirty seconds of its clock apart: CPU of this process alone.

Asked with `{"from": TICK, "sweeps": N}`, it answers with what those sweeps took.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

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
        return super().monotonic() + self.ahead


def counted(app: App, counts: Counter[str]) -> None:
    """Count what is asked of the store."""
    for name, engine in (("writer", app.store._writer), ("reader", app.store._reader)):  # noqa: SLF001

        @event.listens_for(engine, "before_cursor_execute")
        def _count(*_: Any, name: str = name) -> None:  # noqa: ANN401
            counts[name] += 1


async def sweep(app: App) -> None:
    """What the daemon does at an interval: look, decide, tell."""
    for sweeper in app.sweepers.values():
        await sweeper.run()
    await app.faults.flush()
    await app.router.run()
    await app.dispatcher.run_due()


async def measure(server: Server, folder: Path) -> None:
    logs.configure_logs(level="warning", style="json")
    clock, counts = TickingClock(), Counter[str]()
    telemetry = PrometheusTelemetry()
    app = bootstrap.build(
        load_settings(settings_file(folder, server.url), {}), folder, clock=clock, telemetry=telemetry
    )
    counted(app, counts)
    try:
        for line in sys.stdin:
            window = json.loads(line)
            counts.clear()
            asked, spent = [], []
            for tick in range(window["from"], window["from"] + window["sweeps"]):
                server.ask("at", seconds=tick * INTERVAL)
                clock.ahead = tick * INTERVAL
                begun = time.process_time()
                await sweep(app)
                spent.append(time.process_time() - begun)
                asked.append(server.ask("asked"))
            rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            answer({"cpu": spent, "asked": asked, "statements": counts, "rss_kb": rss})
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
