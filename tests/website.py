"""What tests of the web server share: a health that says what it is told to, and jobs with a curve."""

import math
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx

from tests.fakes import FakeClock, FakeReceivers
from tests.stored import JOB, NOW, a_job
from watcher.domain.alerts import Alert
from watcher.domain.observations import TrainRow
from watcher.service.bookstate import BookState, packed
from watcher.service.errors import StoreError
from watcher.service.ports import Reads, Store, Writes
from watcher.service.records import JobKey, JobRecord, Pulse
from watcher.store.sqlite import open_store
from watcher.web.app import build_app
from watcher.web.telemetry import PrometheusTelemetry

T = TypeVar("T")
LOSSES = (2.4, 2.1, 1.9, 1.6, 1.5, 1.3, 1.25, 1.2)


@dataclass
class FakeHealth:
    """A `HealthSource` whose reasons are set by the test."""

    stuck: list[str] = field(default_factory=list)
    blind: list[str] = field(default_factory=list)
    pulses: dict[str, Pulse] = field(default_factory=dict)
    writes: bool = True

    def alive(self) -> list[str]:
        return self.stuck

    async def ready(self) -> list[str]:
        return self.blind


class DeafStore:
    """A `Store` on a damaged file; the message is not for readers of the page."""

    async def read(self, work: Callable[[Reads], T]) -> T:
        raise StoreError(f"disk image is malformed: /secret/place ({work.__name__})")

    async def write(self, work: Callable[[Writes], T]) -> T:
        raise StoreError(f"disk image is malformed: /secret/place ({work.__name__})")

    async def aclose(self) -> None: ...


class Site:
    """The application over a store, and a client that talks to it without a network."""

    def __init__(self, store: Store) -> None:
        self.store, self.clock, self.health = store, FakeClock(NOW), FakeHealth()
        self.telemetry = PrometheusTelemetry()
        self.receivers = FakeReceivers()
        self.app = build_app(
            store=store,
            clock=self.clock,
            telemetry=self.telemetry,
            health=self.health,
            receivers=lambda: self.receivers,
        )
        # An error that reaches the server is an error of the test too.
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.app),
            base_url="http://localhost",
        )

    async def save(self, *records: JobRecord) -> None:
        def save(tx: Writes) -> None:
            for record in records:
                tx.save_job(record)

        await self.store.write(save)

    async def alert(self, *alerts: Alert) -> None:
        def save(tx: Writes) -> None:
            for alert in alerts:
                tx.save_alert(alert)

        await self.store.write(save)

    async def get(self, path: str) -> httpx.Response:
        return await self.client.get(path)

    async def json(self, path: str) -> Any:
        answer = await self.client.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@asynccontextmanager
async def open_site(folder: Path) -> AsyncIterator[Site]:
    """A site over a new store in that folder."""
    store = open_store(folder / "watcher.db")
    site = Site(store)
    try:
        yield site
    finally:
        await site.client.aclose()
        await store.aclose()


def a_training_job(key: JobKey = JOB, losses: Iterable[float | None] = LOSSES, **changes: Any) -> JobRecord:
    """A job whose metrics were seen, one row in ten steps."""
    state = BookState(contacted=True)
    for i, loss in enumerate(losses):
        state.curve.add(loss)
        row = TrainRow(step=10 * (i + 1), at_ns=int((NOW.timestamp() + i) * 1e9), loss=loss)
        state.pace.take([row], NOW)
        state.last_loss = loss if loss is not None and math.isfinite(loss) else None
    return a_job(key, feed=packed(state), **changes)
