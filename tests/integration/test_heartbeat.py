"""The heartbeat against a real server on loopback: sent when all is well, and at no other time."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fakes import FakeClock, FlakyStore
from tests.leaks import CANARY
from tests.receivers import HttpReceiver, Reply, free_port, http_receiver
from tests.stored import an_effect
from watcher.daemon.health import Health
from watcher.daemon.heartbeat import Heartbeat
from watcher.providers.heartbeat import HttpHeartbeat
from watcher.service.errors import FailureReason, ProviderError
from watcher.store.sqlite import open_store

SECRET = f"{CANARY}-uuid"
MINUTE = timedelta(minutes=1)


class Pings:
    """Counts; `held` is waited for, `failure` raised."""

    def __init__(self) -> None:
        self.count = 0
        self.begun = asyncio.Event()
        self.closed = False
        self.held: asyncio.Event | None = None
        self.failure: ProviderError | None = None

    async def ping(self) -> None:
        self.count += 1
        self.begun.set()
        if self.held is not None:
            await self.held.wait()
        if self.failure is not None:
            raise self.failure

    async def aclose(self) -> None:
        self.closed = True


class Watched:
    """Two accounts, a store, and a heartbeat in fake time."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.store = FlakyStore(open_store(directory / "watcher.db"))
        self.health = Health(self.clock, self.store)
        self.pings = Pings()
        self.heartbeat = Heartbeat(self.health, self.clock, self.pings, MINUTE)
        for account in ("a", "b"):
            self.health.watch(account, timedelta(seconds=30))

    async def sweep(self, account: str = "a", reason: str | None = None, *, then: float = 0.0) -> int:
        """A sweep is over; how many pings there were in all when everything has come to rest."""
        await self.health.beat()
        self.health.swept(account, reason)
        if reason is None:
            self.heartbeat.swept()
        task = self.heartbeat._task
        if task is not None and self.pings.held is None:
            await task
        if self.pings.held is not None and not self.health.unseen():
            await self.pings.begun.wait()
        self.clock.advance(then)
        return self.pings.count


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Watched]:
    made = Watched(tmp_path)
    yield made
    await made.heartbeat.stop()
    await made.store.aclose()


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


async def test_it_is_sent_when_every_account_was_seen_and_not_before(watched: Watched) -> None:
    assert await watched.sweep("a") == 0
    assert await watched.sweep("b") == 1


async def test_it_is_sent_at_most_once_an_interval(watched: Watched) -> None:
    await watched.sweep("a")

    counts = [await watched.sweep(account, then=10) for _ in range(6) for account in ("a", "b")]

    assert counts[-1] == 2  # two minutes of sweeps, ten seconds apart


async def test_a_sweep_that_ends_a_moment_early_does_not_cost_an_interval(watched: Watched) -> None:
    await watched.sweep("a")
    await watched.sweep("b", then=59.9)

    assert await watched.sweep("b") == 2


async def test_an_account_that_is_not_seen_stops_it(watched: Watched) -> None:
    await watched.sweep("a")
    await watched.sweep("b", then=60)

    await watched.sweep("a", "auth")

    assert await watched.sweep("b") == 1
    assert await watched.sweep("a") == 2


async def test_a_notification_that_waits_too_long_stops_it(watched: Watched) -> None:
    now = watched.clock.now()
    await watched.store.write(lambda tx: tx.enqueue([an_effect("k", next_at=now)], now))
    await watched.sweep("a")
    assert await watched.sweep("b", then=301) == 1  # young: no reason to keep silent

    await watched.sweep("a")
    assert await watched.sweep("b") == 1

    (row,) = await watched.store.write(lambda tx: tx.claim(watched.clock.now()))
    await watched.store.write(lambda tx: tx.finish(row.id, watched.clock.now()))
    assert await watched.sweep("b") == 2


async def test_a_store_that_does_not_write_stops_it(watched: Watched) -> None:
    watched.store.broken = True
    await watched.sweep("a")

    assert await watched.sweep("b") == 0


async def test_a_failure_is_only_logged_and_the_next_one_comes(
    watched: Watched,
) -> None:
    watched.pings.failure = ProviderError(FailureReason.SERVER, "no", status=503)
    with capture_logs() as logged:
        await watched.sweep("a")
        await watched.sweep("b", then=60)

    assert [(entry["event"], entry["reason"]) for entry in logged] == [("heartbeat.failed", "server")]
    assert await watched.sweep("b") == 2


async def test_a_hanging_service_holds_no_sweep_and_is_asked_once(watched: Watched) -> None:
    watched.pings.held = asyncio.Event()
    await watched.sweep("a")

    assert [await watched.sweep("b", then=60) for _ in range(3)] == [1, 1, 1]


async def test_another_address_is_pinged_at_once_and_the_old_one_is_let_go(watched: Watched) -> None:
    await watched.sweep("a")
    await watched.sweep("b")
    other = Pings()

    await watched.heartbeat.change(other, MINUTE)
    await watched.sweep("b")

    assert watched.pings.closed
    assert (watched.pings.count, other.count) == (1, 1)


async def test_without_an_address_nothing_happens(watched: Watched) -> None:
    await watched.heartbeat.change(None, MINUTE)
    await watched.sweep("a")

    assert await watched.sweep("b") == 0


async def test_it_is_one_get_of_exactly_the_address(http: HttpReceiver) -> None:
    client = HttpHeartbeat(f"http://{http.place}/ping/{SECRET}?rid=1", FakeClock())
    await client.ping()
    await client.aclose()

    (request,) = http.requests
    assert (request.method, request.path) == ("GET", f"/ping/{SECRET}?rid=1")
    assert {k.lower(): v for k, v in request.headers.items()}["user-agent"].startswith("watcher/")


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        pytest.param(Reply(status=404), FailureReason.NOT_FOUND, id="unknown address"),
        pytest.param(Reply(status=500), FailureReason.SERVER, id="server error"),
        pytest.param(Reply(status=302, headers={"Location": "/elsewhere"}), FailureReason.PAYLOAD, id="redirect"),
        pytest.param(Reply(drop=True), FailureReason.NETWORK, id="broken connection"),
    ],
)
async def test_a_refusal_is_told_without_the_address(http: HttpReceiver, reply: Reply, reason: FailureReason) -> None:
    http.otherwise = reply
    client = HttpHeartbeat(f"http://{http.place}/ping/{SECRET}", FakeClock())
    with pytest.raises(ProviderError) as caught:
        await client.ping()
    await client.aclose()

    assert caught.value.reason is reason
    assert SECRET not in f"{caught.value!r}{caught.value.__cause__!r}"


async def test_a_dead_address_is_told_without_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    client = HttpHeartbeat(f"http://127.0.0.1:{free_port()}/ping/{SECRET}", FakeClock())
    with pytest.raises(ProviderError) as caught:
        await client.ping()
    await client.aclose()

    assert caught.value.reason is FailureReason.NETWORK
    assert SECRET not in str(caught.value)
