"""What the daemon says of a store that fails, and its end, whatever the store does at that moment."""

import asyncio
import contextlib
import random
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from tests.crashes import ACCOUNT, ENFORCE, Deaths, Life
from tests.fakes import START, FakeClock, FakeReceivers, FakeTarget, FlakyStore
from tests.outside import Script, World, fresh, nan_from
from tests.samples import DIVERGENCE
from tests.stored import an_effect
from watcher.clock import SystemClock
from watcher.daemon import daemon as daemon_module
from watcher.daemon.daemon import Daemon
from watcher.daemon.health import Health
from watcher.daemon.schedule import Schedule
from watcher.daemon.sdnotify import SdNotify
from watcher.domain import codec
from watcher.service.digests import Digests
from watcher.service.errors import ConfigError, StoreError
from watcher.service.retention import Retention, RetentionPolicy


class Watched:
    """A part that says whether it was stopped; a broken one does not start."""

    running = broken = False

    async def start(self) -> None:
        if self.broken:
            raise ConfigError("no")
        self.running = True

    async def stop(self) -> None:
        self.running = False


def a_daemon(life: Life, *parts: Watched) -> Daemon:
    return Daemon(
        sweepers=[life.sweeper],
        router=life.router,
        dispatcher=life.dispatcher,
        digests=Digests(
            store=life.store, clock=SystemClock(), receivers=life.dispatcher.receivers, plan=(), watches=frozenset
        ),
        retention=Retention(life.store, SystemClock(), RetentionPolicy()),
        windows=life.windows,
        faults=life.faults,
        health=Health(SystemClock(), life.store),
        schedule=Schedule(random.Random(1)),  # noqa: S311 - repeatable
        store=life.store,
        clock=SystemClock(),  # the scheduler runs on wall time
        notify=SdNotify({}),
        wake=asyncio.Event(),
        parts=parts,
        close=[life.inner.aclose],
    )


async def test_a_sweep_with_nothing_to_write_does_not_hide_that_the_store_does_not_write(tmp_path: Path) -> None:
    life = Life(fresh(tmp_path / "empty.db", tmp_path / "watcher.db", []), Deaths(), ENFORCE)
    daemon, store = a_daemon(life), FlakyStore(life.inner)
    daemon.health.store, store.broken = store, True
    daemon.health.watch(ACCOUNT, timedelta(seconds=30))
    await daemon.health.beat()
    await daemon._sweep(life.sweeper)()
    full, writes = await daemon.health.ready(), [daemon.health.writes]
    store.broken = False
    await daemon.health.beat()
    well = await daemon.health.ready()
    writes.append(daemon.health.writes)
    daemon.health.not_stored("no room")
    writes.append(daemon.health.writes)
    await daemon.close[0]()

    assert full == ["the store does not write"]
    assert well == []
    assert writes == [False, True, False]


async def drained(world: World, deaths: Deaths, *, failing: bool) -> Watched:
    part, stop = Watched(), asyncio.Event()
    running = asyncio.create_task(a_daemon(Life(world, deaths, ENFORCE), part).run(stop))
    while "after list" not in deaths.points:
        await asyncio.wait({running}, timeout=0.01)
    if failing:
        deaths.errors = {number: StoreError("no room") for number in range(len(deaths.points), 1000)}
    stop.set()
    await asyncio.wait_for(running, 10)
    return part


async def test_a_daemon_that_is_stopped_delivers_what_is_due(tmp_path: Path) -> None:
    world = fresh(tmp_path / "empty.db", tmp_path / "watcher.db", [Script("broken", nan_from(8))])
    world.clock.advance(150)
    part = await drained(world, Deaths(), failing=False)

    assert not part.running
    assert [d.message.rule for d in world.delivered] == ["nan_loss", "nan_loss"]


async def test_a_sweep_that_comes_when_the_drain_has_begun_asks_nothing(tmp_path: Path) -> None:
    deaths = Deaths()
    daemon = a_daemon(Life(fresh(tmp_path / "empty.db", tmp_path / "watcher.db", []), deaths, ENFORCE))
    asked = []
    for daemon._stopping in (False, True):
        deaths.points.clear()
        await daemon._sweep(daemon.sweepers[0])()
        asked.append("before list" in deaths.points)
    await daemon.close[0]()

    assert asked == [True, False]


async def test_a_store_without_room_does_not_keep_the_daemon_from_its_end(tmp_path: Path) -> None:
    world = fresh(tmp_path / "empty.db", tmp_path / "watcher.db", [Script("broken", nan_from(8))])
    world.clock.advance(150)
    part = await drained(world, Deaths(), failing=True)

    assert not part.running


async def test_the_service_manager_is_asked_for_time_while_it_drains_but_not_for_ever(tmp_path: Path) -> None:
    clock, address = FakeClock(), str(tmp_path / "notify")
    daemon = a_daemon(Life(fresh(tmp_path / "empty.db", tmp_path / "watcher.db", []), Deaths(), ENFORCE))
    daemon.clock, daemon.notify = clock, SdNotify({"NOTIFY_SOCKET": address})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        manager.settimeout(0)
        holding, heard = asyncio.create_task(daemon._hold()), list[bytes]()
        for _ in range(100):
            await clock.live(5)
            with contextlib.suppress(BlockingIOError):
                heard.append(manager.recv(4096))
        assert holding.done()
    await daemon.close[0]()

    assert heard == [b"EXTEND_TIMEOUT_USEC=15000000"] * 60


async def test_a_drain_that_is_cut_begins_no_further_send(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life, stop = Life(fresh(tmp_path / "empty.db", tmp_path / "watcher.db", []), Deaths(), ENFORCE), asyncio.Event()
    target = FakeTarget("t", "team", life.world.clock)
    target.held, life.dispatcher.receivers = asyncio.Event(), FakeReceivers(target)
    effects = [an_effect(key, "t", payload=codec.encode(DIVERGENCE), next_at=START) for key in "ab"]
    await life.inner.write(lambda tx: tx.enqueue(effects, START))
    monkeypatch.setattr(daemon_module, "DRAIN", 0.05)
    daemon = a_daemon(life)
    daemon.close = []
    stop.set()
    await daemon.run(stop)
    target.held.set()
    await life.dispatcher.settle()
    states = [row.state.value for row in await life.inner.read(lambda reads: reads.outbox())]
    await life.inner.aclose()

    assert (target.tries, states) == (1, ["done", "due"])


async def test_a_part_that_does_not_start_leaves_nothing_open(tmp_path: Path) -> None:
    life = Life(fresh(tmp_path / "empty.db", tmp_path / "watcher.db", []), Deaths(), ENFORCE)
    good, broken = Watched(), Watched()
    broken.broken = True
    with pytest.raises(ConfigError):
        await a_daemon(life, good, broken).run(asyncio.Event())

    assert not good.running
    with pytest.raises(StoreError, match="closed"):
        await life.inner.read(lambda reads: reads.jobs())
