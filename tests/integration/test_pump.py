"""When the daemon routes: at once when something was committed, and to the moment when what waits is due."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from tests.crashes import ENFORCE, Deaths, Life
from tests.integration.test_drain import a_daemon
from tests.outside import Script, World, fresh, nan_from
from watcher.clock import SystemClock
from watcher.daemon.daemon import Daemon
from watcher.domain.groups import Timing

WAIT = timedelta(milliseconds=400)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return fresh(tmp_path / "empty.db", tmp_path / "watcher.db", [Script("broken", nan_from(8))])


@pytest.fixture
async def daemon(world: World) -> AsyncIterator[Daemon]:
    """Pumps, but its schedule stands still: only a test wakes it."""
    life = Life(world, Deaths(), ENFORCE)
    route = replace(life.router.routing.routes[0], timing=Timing(group_wait=WAIT))
    life.router.routing = replace(life.router.routing, routes=(route,))
    made = a_daemon(life)
    await life.start()
    made._plan()
    made._tasks = [asyncio.create_task(made._pump())]
    yield made
    made._tasks[0].cancel()
    await asyncio.gather(*made._tasks, return_exceptions=True)
    await made.dispatcher.settle()
    await life.inner.aclose()


def next_run(daemon: Daemon) -> datetime:
    """Of the deliveries."""
    return cast("datetime", daemon.schedule._scheduler.get_job("deliver").next_run_time)


async def until(daemon: Daemon, what: Callable[[], bool]) -> None:
    while not what():
        await asyncio.wait(daemon._tasks, timeout=0.01)


async def test_news_that_wait_for_others_are_routed_when_their_time_has_come(world: World, daemon: Daemon) -> None:
    planned = next_run(daemon)
    world.clock.advance(150)
    await daemon.sweepers[0].run()
    before = SystemClock().now()
    daemon.wake.set()
    await until(daemon, lambda: next_run(daemon) != planned)

    assert before + WAIT <= next_run(daemon) <= SystemClock().now() + WAIT
    assert world.delivered == []

    world.clock.advance(WAIT.total_seconds())
    daemon.wake.set()
    await until(daemon, lambda: bool(world.delivered))
