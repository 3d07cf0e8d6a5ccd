import asyncio
from datetime import UTC, timedelta

from tests.fakes import START, FakeClock, settle
from watcher.clock import SystemClock
from watcher.service.ports import Clock


def test_the_real_clock_is_aware_and_its_monotonic_time_never_goes_back() -> None:
    clock: Clock = SystemClock()
    first, second = clock.monotonic(), clock.monotonic()

    assert clock.now().tzinfo is UTC
    assert second >= first


async def test_the_real_clock_sleeps_and_takes_a_negative_wait_as_none() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(-1)
    await clock.sleep(0.01)

    assert clock.monotonic() - before >= 0.009


async def test_the_fake_clock_wakes_sleepers_at_their_own_time_and_in_order() -> None:
    clock: FakeClock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def every(name: str, seconds: float) -> None:
        while True:
            await clock.sleep(seconds)
            woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(every("slow", 3)), group.create_task(every("fast", 2))]
        await clock.live(5)
        for task in tasks:
            task.cancel()

    assert woken == [("fast", 2), ("slow", 3), ("fast", 4)]
    assert clock.now() == START + timedelta(seconds=5)


async def test_a_step_of_the_wall_clock_wakes_nobody() -> None:
    clock = FakeClock()
    task = asyncio.create_task(clock.sleep(10))
    await settle()
    clock.step_wall(-3600)
    clock.advance(9)
    await settle()

    assert not task.done()
    assert clock.sleepers == 1
    assert clock.now() == START + timedelta(seconds=9 - 3600)
    clock.advance(1)
    await task
