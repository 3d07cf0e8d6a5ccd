"""Pictures of messages that wait their turn: drawn ahead, once for all targets, and not waited for in a long burst."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fakes import START, FakeTarget, settle
from tests.samples import DIVERGENCE
from tests.timeline import Scene, scene
from watcher.domain import codec
from watcher.service.album import AHEAD, LATE, PROMPT
from watcher.service.records import Effect, NewEffect


class Painter:
    """`Pictures` whose pictures are done when a test says so: each is the id of its job."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.dropped: list[str] = []
        self.done: dict[str, asyncio.Event] = {}

    async def picture(self, account: str, job_id: str, alert_id: str) -> bytes | None:  # noqa: ARG002
        self.asked.append(job_id)
        try:
            await self.done.setdefault(job_id, asyncio.Event()).wait()
        except asyncio.CancelledError:
            self.dropped.append(job_id)
            raise
        return job_id.encode()

    def finish(self, *jobs: str) -> None:
        for job_id in jobs:
            self.done.setdefault(job_id, asyncio.Event()).set()


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        made.team.takes_pictures = True
        made.dispatcher.pictures = Painter()
        yield made


def painter(play: Scene) -> Painter:
    assert isinstance(play.dispatcher.pictures, Painter)
    return play.dispatcher.pictures


async def enqueue(play: Scene, *jobs: str, target: FakeTarget | None = None, made_at: datetime = START) -> None:
    to = target or play.team
    effects = [
        NewEffect(
            key=f"{job}-{to.id}",
            effect=Effect.NOTIFY,
            lane=to.id,
            receiver=to.receiver,
            target=to.id,
            payload=codec.encode(replace(DIVERGENCE, key=job, job_id=job)),
            next_at=made_at,
        )
        for job in jobs
    ]
    await play.store.write(lambda tx: tx.enqueue(effects, made_at))


async def until(play: Scene, *, sent: int = 0, asked: int = 0) -> None:
    """Wait for so many messages at all targets, and so many pictures that were asked for."""
    while sum(len(t.messages) for t in play.receivers.all) < sent or len(painter(play).asked) < asked:
        assert play.dispatcher._lanes
        await asyncio.wait(play.dispatcher._lanes.values(), timeout=0.01)


async def over(play: Scene) -> None:
    while play.dispatcher._lanes:
        await play.dispatcher.settle()
    await settle()


async def test_those_of_the_next_messages_are_begun_before_their_turn_but_not_of_all(play: Scene) -> None:
    jobs = [f"ft-{n}" for n in range(AHEAD + 3)]
    await enqueue(play, *jobs)
    await play.dispatcher.run_due()
    await until(play, asked=AHEAD + 1)
    await settle()
    first = list(painter(play).asked)
    painter(play).finish("ft-0")
    await until(play, sent=1, asked=AHEAD + 2)
    painter(play).finish(*jobs)
    await over(play)

    assert first == jobs[: AHEAD + 1]
    assert painter(play).asked == jobs
    assert play.team.pictures == [job.encode() for job in jobs]


async def test_one_is_drawn_for_all_targets_of_a_message(play: Scene) -> None:
    other = FakeTarget("t-other", "other", play.clock)
    other.takes_pictures = True
    play.receivers.all.append(other)
    await enqueue(play, "ft-1")
    await enqueue(play, "ft-1", target=other)
    await play.dispatcher.run_due()
    await until(play, asked=1)
    painter(play).finish("ft-1")
    await over(play)

    assert painter(play).asked == ["ft-1"]
    assert play.team.pictures == other.pictures == [b"ft-1"]


async def test_a_job_that_is_told_of_again_is_drawn_again(play: Scene) -> None:
    painter(play).finish("ft-1")
    await enqueue(play, "ft-1")
    other = FakeTarget("t-other", "other", play.clock)
    other.takes_pictures = True
    play.receivers.all.append(other)
    await enqueue(play, "ft-1", target=other, made_at=START - timedelta(seconds=1))
    await play.dispatcher.run_due()
    await over(play)

    assert painter(play).asked == ["ft-1", "ft-1"]


async def test_the_rest_of_a_burst_does_not_wait_once_it_took_long(play: Scene) -> None:
    await enqueue(play, *(f"ft-{n}" for n in range(5)))
    await play.dispatcher.run_due()
    await until(play, asked=AHEAD + 1)
    play.clock.advance(PROMPT.total_seconds() + 0.1)
    painter(play).finish("ft-0", "ft-2")
    await settle()
    with capture_logs() as logged:
        await over(play)

    assert play.team.pictures == [b"ft-0", None, b"ft-2", None, None]
    assert [entry["job_id"] for entry in logged if entry["event"] == "picture.left_out"] == ["ft-1", "ft-3", "ft-4"]
    assert painter(play).dropped == ["ft-1", "ft-3"]
    assert play.dispatcher._album._drawings == {}


async def test_one_that_is_alone_waits_however_late_the_lane_comes_to_it(play: Scene) -> None:
    await enqueue(play, "ft-1", made_at=START - 2 * PROMPT)
    await play.dispatcher.run_due()
    await until(play, asked=1)
    play.clock.advance(10)
    await settle()
    painter(play).finish("ft-1")
    await over(play)

    assert play.team.pictures == [b"ft-1"]


async def test_the_first_of_many_is_not_waited_for_longer_than_the_others(play: Scene) -> None:
    await enqueue(play, "ft-1", "ft-2", "ft-3")
    await play.dispatcher.run_due()
    await until(play, asked=3)
    await settle()
    assert play.team.messages == []

    play.clock.advance(PROMPT.total_seconds())
    await over(play)

    assert play.team.pictures == [None, None, None]


async def test_what_waited_very_long_for_its_receiver_waits_for_pictures(play: Scene) -> None:
    await enqueue(play, "ft-1", "ft-2", made_at=START - LATE)
    await play.dispatcher.run_due()
    await until(play, asked=2)
    painter(play).finish("ft-1")
    await until(play, sent=1)
    await settle()
    painter(play).finish("ft-2")
    await over(play)

    assert play.team.pictures == [b"ft-1", b"ft-2"]


async def test_a_store_that_can_not_be_read_costs_no_message(play: Scene) -> None:
    painter(play).finish("ft-1", "ft-2")
    await enqueue(play, "ft-1", "ft-2")
    play.store.deaf = True
    await play.dispatcher.run_due()
    await over(play)

    assert play.team.pictures == [b"ft-1", b"ft-2"]
