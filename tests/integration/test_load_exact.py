"""What a poll costs, in calls, rows and SQL statements: figures that are the same on every machine."""

import gc
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

import pytest
from pydantic_core import from_json
from sqlalchemy import event

from bench.load.settings import settings_file
from bench.load.world import World
from tests.fakes import START, FakeClock
from watcher import bootstrap
from watcher.providers.together import mapping
from watcher.service import commit
from watcher.service.records import JobDetail, JobKey, Listing, Metrics
from watcher.settings import load_settings
from watcher.simulator.rows import MetricsQuery

SECOND = 1_000_000_000
INTERVAL = 30.0


class WorldProvider:
    """The bench's jobs as a provider; what is asked of it is counted."""

    def __init__(self, clock: FakeClock, jobs: int, step: int) -> None:
        self.clock = clock
        self.world = World(jobs, step=step, begin_ns=self._ns(), horizon=600)
        self.asked: Counter[str] = Counter()

    def _ns(self) -> int:
        return (self.clock.now() - datetime.fromtimestamp(0, tz=START.tzinfo)) // timedelta(microseconds=1) * 1000

    async def list_jobs(self) -> Listing:
        self.asked["list"] += 1
        return mapping.listing(from_json(self.world.listing(self._ns()))["data"], self.clock.now())

    async def get_job(self, job_id: str) -> JobDetail:
        self.asked["detail"] += 1
        pattern = self.world.pattern(job_id)
        assert pattern
        found = mapping.detail(from_json(pattern.detail(job_id, self._ns())), job_id, self.clock.now())
        assert found
        return found

    async def get_metrics(self, job_id: str, *, from_step: int = 0, **_: object) -> Metrics:
        pattern = self.world.pattern(job_id)
        assert pattern
        body = from_json(pattern.metrics(MetricsQuery(step_from=from_step), self._ns()))
        found = mapping.metrics(body["metrics"], job_id, self.clock.now())
        self.asked["metrics"] += 1
        self.asked["rows"] += len(found.rows)
        return found

    async def aclose(self) -> None: ...


class Watched:
    """An app over a provider's jobs, swept at its interval; statements and the steps of SQLite are counted."""

    def __init__(self, app: bootstrap.App, provider: WorldProvider) -> None:
        self.app, self.provider = app, provider
        self.counts: Counter[str] = Counter()
        self.sweeper = app.sweepers["main"]
        self.sweeper.adopt(self.sweeper.config, provider)  # type: ignore[arg-type]
        for engine in (app.store._writer, app.store._reader):
            event.listen(engine, "checkout", self._watch)

    def _watch(self, connection: Any, *_: Any) -> None:
        connection.set_progress_handler(self._step, 1)
        connection.set_trace_callback(self._statement)

    def _statement(self, statement: str) -> None:
        """Once for each row of those that go in together."""
        if statement != "COMMIT":
            self.counts["transactions" if statement.startswith("BEGIN") else "statements"] += 1

    def _step(self) -> None:
        self.counts["steps"] += 1

    async def sweep(self, times: int = 1) -> Counter[str]:
        """What so many sweeps cost."""
        self.provider.asked.clear()
        self.counts.clear()
        for _ in range(times):
            self.provider.clock.advance(INTERVAL)
            await self.sweeper.run()
        return self.counts + self.provider.asked


@asynccontextmanager
async def watched(folder: Path, *, jobs: int = 1, step: int = 200) -> AsyncIterator[Watched]:
    clock = FakeClock()
    folder.mkdir(exist_ok=True)
    settings = load_settings(settings_file(folder, "http://127.0.0.1:9"), {})
    app = bootstrap.build(settings, folder, clock=clock)
    try:
        found = Watched(app, WorldProvider(clock, jobs, step))
        await found.sweep()
        yield found
    finally:
        await app.close()


@pytest.mark.anyio
async def test_a_running_job_costs_two_calls_a_minute_and_one_in_ten(tmp_path: Path) -> None:
    async with watched(tmp_path, jobs=3) as jobs:
        asked = await jobs.sweep(20)
    assert {call: asked[call] for call in ("list", "metrics", "detail")} == {"list": 20, "metrics": 60, "detail": 3}


@pytest.mark.anyio
async def test_a_poll_does_not_know_how_long_a_job_has_run(tmp_path: Path) -> None:
    costs = []
    for step in (270, 1_220):  # between two moments at which a curve is halved, and a job therefore saved whole
        async with watched(tmp_path / str(step), step=step) as job:
            await job.sweep()
            found = await job.sweep(10)
            record = await job.app.store.read(lambda reads: reads.jobs()[0])
            assert record.feed
            costs.append(found)
            assert len(record.feed) < 8_000
    early, late = costs
    assert early["rows"] == late["rows"]
    assert early["rows"] <= 10 * (50 + 10 + 1)  # the overlap, what is new, and both ends
    assert early["statements"] == late["statements"]
    assert early["transactions"] == late["transactions"]
    assert late["steps"] <= 1.02 * early["steps"]


@pytest.mark.anyio
async def test_what_is_on_its_way_is_committed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "LINGER", 60)
    async with watched(tmp_path, jobs=20, step=20) as jobs:
        found = await jobs.sweep()
    reading_proposals = 1
    assert found["transactions"] == reading_proposals + 1
    assert found["metrics"] == 20


@pytest.mark.anyio
async def test_a_poll_writes_few_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes into the log, which grows until 15,000 pages are in it. With whole jobs and sorted rows it was 29,973."""
    monkeypatch.setattr(commit, "LINGER", 60)
    log = tmp_path / "watcher.db-wal"
    async with watched(tmp_path, jobs=20, step=270) as jobs:
        await jobs.sweep(2)
        before = log.stat().st_size
        await jobs.sweep(10)
        written = log.stat().st_size - before
    assert 0 < written / (20 * 10) < 8_500


@pytest.mark.anyio
async def test_a_start_asks_as_little_of_many_jobs_as_of_few(tmp_path: Path) -> None:
    asked = []
    for count in (2, 12):
        async with watched(tmp_path / str(count), jobs=count, step=20) as jobs:
            again = Watched(jobs.app, jobs.provider)  # adopted: as a new process would
            await again.sweeper.load(urgent=True)
            asked.append(again.counts["statements"])
            assert again.sweeper.book(JobKey("main", "x").job_id) is None
            assert (await again.sweep())["detail"] == 0  # they are gone on with, not seen for the first time
    assert asked[0] == asked[1]


def size_of(thing: object, shared: dict[int, object]) -> int:
    """Bytes of a thing and of all that it alone refers to, as Python counts them; what is counted is then shared."""
    total, waiting = 0, [thing]
    while waiting:
        one = waiting.pop()
        if id(one) in shared or isinstance(one, type | ModuleType | FunctionType | MethodType | Enum):
            continue
        shared[id(one)] = one  # kept, so that nothing else gets its number
        total += sys.getsizeof(one)
        waiting += gc.get_referents(one)
    return total


@pytest.mark.anyio
async def test_a_job_takes_some_kilobytes_of_memory_however_long_it_has_run(tmp_path: Path) -> None:
    sizes = []
    for step in (270, 1_220):
        async with watched(tmp_path / str(step), jobs=3, step=step) as jobs:
            await jobs.sweep(4)
            first, second, third = jobs.sweeper._books.values()
            shared: dict[int, object] = {}
            size_of((first.selection, first.fold.tick, first.fold.spent), shared)
            size_of(first, shared)  # and with it whatever jobs have in common
            size_of(second, shared)
            sizes.append(size_of(third, shared))
    early, late = sizes

    assert early < 27_000
    assert late < 1.1 * early
