"""What a visit to a job costs beside its calls and its rows: CPU of the event loop's thread, the writer's left out.

    python -m bench.load.visits [--jobs 200] [--sweeps 20]

In one process, without HTTP: what making the answers and folding their rows takes is taken off. Three kinds of jobs:
waiting ones, of which nothing is asked; running ones without a new row; running ones with ten. The least of the sweeps.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from bench.load.ours import TickingClock, sweep
from bench.load.settings import INTERVAL, settings_file
from bench.load.world import World
from watcher import bootstrap, logs
from watcher.cli.main import begin
from watcher.domain.observations import Snapshot, Status
from watcher.providers.together import TogetherProvider, mapping
from watcher.service.known import NONE_KNOWN, KnownRows
from watcher.service.records import JobDetail, Listing, Metrics
from watcher.service.visit import Visit
from watcher.settings import load_settings
from watcher.simulator.rows import MetricsQuery
from watcher.web.telemetry import PrometheusTelemetry

STEP, HORIZON = 2000, 1000
_WARM = 3


class Apart:
    """CPU of this thread that is not counted."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        begun = time.thread_time()
        try:
            yield
        finally:
            self.seconds += time.thread_time() - begun

    def of(self, work: Callable[..., None]) -> Callable[..., None]:
        def counted(*given: Any) -> None:  # noqa: ANN401 - whatever it takes
            with self():
                work(*given)

        return counted


class Answers(TogetherProvider):
    """The answers of a world at a moment that is set, as `TogetherProvider` reads them, without a request."""

    def __init__(self, world: World, clock: TickingClock, apart: Apart, *, waiting: bool) -> None:
        super().__init__(account="main", api_key="load-test", clock=clock)
        self._world, self._time, self._apart, self._waiting = world, clock, apart, waiting
        self.at_ns = world.begin_ns

    def _seen(self, job: Snapshot) -> Snapshot:
        return replace(job, status=Status.QUEUED, raw_status="queued") if self._waiting else job

    async def list_jobs(self) -> Listing:
        with self._apart():
            found = mapping.listing(from_json(self._world.listing(self.at_ns))["data"], self._time.now())
            return replace(found, jobs=tuple(map(self._seen, found.jobs)))

    async def get_job(self, job_id: str) -> JobDetail:
        await asyncio.sleep(0)
        with self._apart():
            pattern = self._world.pattern(job_id)
            assert pattern is not None
            found = mapping.detail(from_json(pattern.detail(job_id, self.at_ns)), job_id, self._time.now())
            assert found is not None
            return replace(found, snapshot=self._seen(found.snapshot))

    async def get_metrics(
        self,
        job_id: str,
        *,
        from_step: int = 0,
        last_step: int | None = None,  # noqa: ARG002 - as the port has it
        known: KnownRows = NONE_KNOWN,
    ) -> Metrics:
        await asyncio.sleep(0)
        with self._apart():
            pattern = self._world.pattern(job_id)
            assert pattern is not None
            body = pattern.metrics(MetricsQuery(step_from=from_step or None), self.at_ns)
            return mapping.metrics(from_json(body)["metrics"], job_id, self._time.now(), known)


async def measure(folder: Path, jobs: int, sweeps: int, *, waiting: bool, rows: bool) -> float:
    """µs a job, in the sweep that took least."""
    clock, apart, take_rows = TickingClock(), Apart(), Visit.take_rows
    Visit.take_rows = apart.of(take_rows)  # type: ignore[method-assign]
    settings = load_settings(settings_file(folder, "http://127.0.0.1:9"), {})
    app = bootstrap.build(settings, folder, clock=clock, telemetry=PrometheusTelemetry())
    world = World(jobs, step=STEP, begin_ns=time.time_ns(), horizon=HORIZON)
    answers = Answers(world, clock, apart, waiting=waiting)
    for sweeper in app.sweepers.values():
        async with sweeper.paused():
            sweeper.adopt(sweeper.config, answers)
    least = float("inf")
    try:
        for tick in range(_WARM + sweeps):
            clock.ahead = tick * INTERVAL
            if rows or tick < _WARM:
                answers.at_ns = world.begin_ns + int(clock.ahead * 1e9)
            begun, apart.seconds = time.thread_time(), 0.0
            await sweep(app)
            if tick >= _WARM:
                least = min(least, time.thread_time() - begun - apart.seconds)
    finally:
        Visit.take_rows = take_rows  # type: ignore[method-assign]
        await app.close()
    return least / jobs * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--sweeps", type=int, default=20)
    given = parser.parse_args()
    begin(["run"])
    logs.configure_logs(level="error", style="json")
    kinds = {"waiting": (True, True), "no new row": (False, False), "ten new rows": (False, True)}
    for name, (waiting, rows) in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            took = asyncio.run(measure(Path(folder), given.jobs, given.sweeps, waiting=waiting, rows=rows))
        sys.stdout.write(f"{name:<14}{took:6.1f} µs a job\n")


if __name__ == "__main__":
    main()
