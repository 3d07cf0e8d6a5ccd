"""A lane of the outbox: it goes on by itself, and after a crash at most one of its messages is in doubt."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import START, FakeTarget
from tests.samples import DIVERGENCE
from tests.timeline import Scene, scene
from watcher.domain import codec
from watcher.domain.messages import Message
from watcher.service.errors import DeliveryError, FailureReason
from watcher.service.ports import Store
from watcher.service.records import Effect, NewEffect


class Onlooker(FakeTarget):
    """A target that looks into the outbox while it is sent to."""

    store: Store

    async def deliver(self, message: Message, picture: bytes | None = None) -> None:
        rows = await self.store.read(lambda reads: reads.outbox())
        self.seen.append(" ".join(row.state.value for row in rows))
        await super().deliver(message, picture)

    def __init__(self, play: Scene) -> None:
        super().__init__(play.team.id, play.team.receiver, play.clock)
        self.store, self.seen = play.store, list[str]()


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


async def enqueue(play: Scene, *keys: str, wait: float = 0) -> None:
    effects = [
        NewEffect(
            key=key,
            effect=Effect.NOTIFY,
            lane=play.team.id,
            receiver=play.team.receiver,
            target=play.team.id,
            payload=codec.encode(replace(DIVERGENCE, key=key)),
            next_at=START + timedelta(seconds=wait),
        )
        for key in keys
    ]
    await play.store.write(lambda tx: tx.enqueue(effects, START))


async def lane_over(play: Scene) -> None:
    """Wait for all that a lane does by itself: nothing more is started."""
    while play.dispatcher._lanes:
        await play.dispatcher.settle()


def keys(target: FakeTarget) -> list[str]:
    return [message.key for _, message in target.messages]


async def test_each_message_is_recorded_before_the_next_is_sent(play: Scene) -> None:
    team = Onlooker(play)
    play.receivers.all = [team]
    await enqueue(play, "a", "b", "c")

    assert await play.dispatcher.run_due() == 1
    await lane_over(play)

    assert keys(team) == ["a", "b", "c"]
    assert team.seen == ["claimed due due", "done claimed due", "done done claimed"]


async def test_a_message_costs_a_transaction(play: Scene) -> None:
    await enqueue(play, *"abcdefgh")
    before = play.store.writes
    await play.dispatcher.run_due()
    await lane_over(play)

    assert keys(play.team) == list("abcdefgh")
    assert play.store.writes - before == 1 + 8


async def test_a_lane_waits_behind_a_message_that_failed(play: Scene) -> None:
    await enqueue(play, "a", "b", "c")
    play.team.failures.append(DeliveryError(FailureReason.SERVER, "503"))
    await play.dispatcher.run_due()
    await lane_over(play)
    assert keys(play.team) == []

    play.clock.advance(60)
    await play.dispatcher.run_due()
    await lane_over(play)

    assert keys(play.team) == ["a", "b", "c"]


async def test_what_is_due_later_is_not_sent_before(play: Scene) -> None:
    await enqueue(play, "a")
    await enqueue(play, "b", wait=5)
    await play.dispatcher.run_due()
    await lane_over(play)
    assert keys(play.team) == ["a"]

    play.clock.advance(5)
    await play.dispatcher.run_due()
    await lane_over(play)

    assert keys(play.team) == ["a", "b"]


async def test_a_paused_lane_ends_what_is_under_way_and_begins_nothing(play: Scene) -> None:
    await enqueue(play, "a", "b", "c")
    play.team.held = asyncio.Event()
    await play.dispatcher.run_due()
    with play.dispatcher.paused():
        play.team.held.set()
        await lane_over(play)
        assert keys(play.team) == ["a"]

    await play.dispatcher.run_due()
    await lane_over(play)

    assert keys(play.team) == ["a", "b", "c"]


async def test_a_process_that_ends_in_the_midst_sends_the_one_in_doubt_again_under_its_key(play: Scene) -> None:
    await enqueue(play, "a", "b", "c")
    sent = asyncio.Event()

    class Dying(FakeTarget):
        async def deliver(self, message: Message, picture: bytes | None = None) -> None:
            await super().deliver(message, picture)
            if message.key == "b":
                sent.set()
                await asyncio.Event().wait()

    team = play.receivers.all[0] = Dying(play.team.id, play.team.receiver, play.clock)
    await play.dispatcher.run_due()
    await sent.wait()
    play.receivers.all[0] = play.team
    await play.restart()
    await play.dispatcher.run_due()
    await lane_over(play)

    assert keys(team) == ["a", "b"]
    assert keys(play.team) == ["b", "c"]
