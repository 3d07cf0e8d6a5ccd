"""Digests over the real store: each once, whatever comes between."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.timeline import JOB, Scene, scene
from watcher.domain.alerts import TransitionReason
from watcher.domain.digest import Digest, DigestKind
from watcher.domain.messages import Message
from watcher.domain.observations import Status
from watcher.service.digests import Digests
from watcher.service.errors import StoreError

DAILY = Digest(name="morning", receiver="team")
PROGRESS = Digest(name="often", receiver="team", kind=DigestKind.PROGRESS)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


def digests(stage: Scene, *plan: Digest) -> Digests:
    return Digests(store=stage.store, clock=stage.clock, receivers=stage.receivers, plan=plan, watches=lambda: {"main"})


async def after(stage: Scene, wait: timedelta, plan: Digest) -> int:
    """Effects that a run makes so much later; nothing is kept in memory between two runs, as after a restart."""
    stage.clock.advance(wait.total_seconds())
    return await digests(stage, plan).run()


async def told(stage: Scene) -> list[Message]:
    await stage.deliver()
    return [message for message in stage.messages if message.reason is TransitionReason.DIGEST]


async def test_a_daily_one_comes_once_a_day_and_not_at_the_first_start(stage: Scene) -> None:
    made = [await after(stage, wait, DAILY) for wait in (timedelta(0), DAY, HOUR / 60, DAY)]

    assert made == [0, 1, 0, 1]
    assert len(await told(stage)) == 2


async def test_what_was_missed_for_days_comes_once(stage: Scene) -> None:
    assert [await after(stage, wait, DAILY) for wait in (timedelta(0), 5 * DAY, HOUR / 60)] == [0, 1, 0]


async def test_progress_is_told_only_while_jobs_run(stage: Scene) -> None:
    await after(stage, timedelta(0), PROGRESS)
    idle = await after(stage, HOUR, PROGRESS)
    job = stage.job(JOB, step=20)
    await stage.sweep()
    running = await after(stage, HOUR, PROGRESS)
    job.status = Status.COMPLETED
    await stage.sweep()
    over = await after(stage, HOUR, PROGRESS)

    assert (idle, running, over) == (0, 1, 0)
    [message] = await told(stage)
    assert message.items[0].title.startswith(f"{JOB}: 10%")
    assert any(block in message.items[0].what for block in "▁▂▃▄▅▆▇█")


async def test_a_daily_one_names_what_ended(stage: Scene) -> None:
    await after(stage, timedelta(0), DAILY)
    job = stage.job(JOB, step=20)
    await stage.sweep()
    job.status = Status.COMPLETED
    stage.clock.advance(30)
    await stage.sweep()
    await after(stage, DAY, DAILY)

    [message] = await told(stage)
    assert [item.title for item in message.items] == [f"{JOB}: completed"]


@pytest.mark.parametrize("back", [HOUR, 30 * DAY], ids=["a little", "a lot"])
async def test_a_clock_that_is_set_back_repeats_none_and_silences_none_for_long(stage: Scene, back: timedelta) -> None:
    await after(stage, timedelta(0), DAILY)
    sent = await after(stage, DAY, DAILY)
    again = await after(stage, -back, DAILY)
    later = [await after(stage, HOUR, DAILY) for _ in range(50)]

    assert (sent, again) == (1, 0)
    assert 1 <= sum(later) <= 3


async def test_one_that_could_not_be_stored_is_due_again(stage: Scene) -> None:
    await after(stage, timedelta(0), DAILY)
    stage.clock.advance(DAY.total_seconds())
    stage.store.broken = True
    with pytest.raises(StoreError):
        await digests(stage, DAILY).run()
    stage.store.broken = False

    assert await digests(stage, DAILY).run() == 1
