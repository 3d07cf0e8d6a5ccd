"""Server-sent events on a real server: what a commit changed is told, together, and a stream holds up nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.doors import Doors, open_doors
from tests.fakes import FakeClock
from tests.stored import a_job, a_proposal, an_alert, an_effect
from watcher.service.ports import Writes
from watcher.service.records import Topic
from watcher.web.events import MOST_STREAMS, Changes

PATIENCE = 10.0


@pytest.fixture
async def doors(tmp_path: Path) -> AsyncIterator[Doors]:
    async with open_doors(tmp_path) as opened:
        yield opened


@dataclass
class Listener:
    """One stream, read block by block."""

    answer: httpx.Response
    lines: AsyncIterator[str]

    async def next(self) -> str:
        """The next block: what stands before an empty line."""
        block: list[str] = []
        async with asyncio.timeout(PATIENCE):
            async for line in self.lines:
                if not line:
                    return "\n".join(block)
                block.append(line)
        return "\n".join(block)

    async def changed(self) -> dict[str, Any]:
        kind, _, data = (await self.next()).partition("\n")
        assert kind == "event: changed"
        found: dict[str, Any] = json.loads(data.removeprefix("data: "))
        return found


@asynccontextmanager
async def listening(doors: Doors) -> AsyncIterator[Listener]:
    async with doors.client.stream("GET", "/events", timeout=PATIENCE) as answer:
        listener = Listener(answer, aiter(answer.aiter_lines()))
        assert answer.status_code == 200
        assert (await listener.next()).startswith("retry: ")
        yield listener


async def as_time_passes(doors: Doors, listener: Listener) -> str:
    """The next block, while the clock goes on."""
    coming = asyncio.create_task(listener.next())
    while not coming.done():
        doors.clock.advance(0.25)
        await asyncio.sleep(0.001)
    return await coming


async def test_a_commit_is_told_at_once_with_what_it_changed(doors: Doors) -> None:
    async with listening(doors) as listener:
        await doors.app.store.write(lambda tx: tx.save_alert(an_alert("stall")))
        told = await listener.changed()

    assert listener.answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert told == {"at": doors.clock.now().isoformat(), "topics": ["alerts"]}


@pytest.mark.parametrize("method", ["write", "write_now"])
async def test_every_part_of_the_store_has_its_topic(doors: Doors, method: str) -> None:
    def everything(tx: Writes) -> None:
        tx.save_job(a_job())
        tx.save_alert(an_alert("stall"))
        tx.move_proposal("p1", a_proposal().state, a_proposal(reason="new"))
        tx.enqueue([an_effect("k")], doors.clock.now())
        tx.set_meta("beat", "now")

    async with listening(doors) as listener:
        if method == "write":
            await doors.app.store.write(everything)
        else:
            await asyncio.to_thread(doors.app.store.write_now, everything)
        told = await listener.changed()

    assert told["topics"] == ["alerts", "jobs", "proposals", "receivers"]


async def test_what_changes_within_a_second_is_told_together(doors: Doors) -> None:
    async with listening(doors) as listener:
        await doors.app.store.write(lambda tx: tx.save_job(a_job()))
        first = await listener.changed()
        for rule in ("a", "b", "c"):
            await doors.app.store.write(lambda tx, rule=rule: tx.save_alert(an_alert(rule)))  # type: ignore[misc]
        await doors.log_in()
        await doors.act("silence", matchers="rule=x", duration="1h", comment="c")
        second = await as_time_passes(doors, listener)

    assert first["topics"] == ["jobs"]
    assert '"topics": ["alerts", "proposals", "silences"]' in second


async def test_what_changes_nothing_and_what_is_rolled_back_are_not_told(doors: Doors) -> None:
    def fail(tx: Writes) -> None:
        tx.save_job(a_job())
        raise RuntimeError("rolled back")

    async with listening(doors) as listener:
        await doors.app.store.write(lambda tx: tx.set_meta("beat", "now"))
        await doors.app.store.write(lambda tx: tx.claim(doors.clock.now()))
        with pytest.raises(RuntimeError):
            await doors.app.store.write(fail)
        begun = doors.clock.monotonic()
        told = await as_time_passes(doors, listener)

    assert told == ": beat"
    assert doors.clock.monotonic() - begun >= 15


def test_a_commit_stands_though_the_loop_of_its_listeners_is_closed() -> None:
    changes = Changes(FakeClock())

    async def listen() -> ExitStack:
        stack = ExitStack()
        stack.enter_context(changes.listening())
        return stack

    with asyncio.run(listen()):
        changes.committed(frozenset({Topic.JOBS}))


async def test_a_listener_that_goes_away_leaves_nothing_behind(doors: Doors) -> None:
    async with listening(doors):
        assert doors.changes.streams == 1
    async with asyncio.timeout(PATIENCE):
        while doors.changes.streams:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0)


async def test_only_so_many_may_listen_and_the_rest_are_told_when_to_come_back(doors: Doors) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(MOST_STREAMS):
            stack.enter_context(doors.changes.listening())
        answer = await doors.client.get("/events")
    async with listening(doors):
        pass

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "30")


async def test_other_sites_may_not_listen_and_a_look_at_the_head_ends(doors: Doors) -> None:
    other = await doors.client.get("/events", headers={"Sec-Fetch-Site": "cross-site"})
    head = await doors.client.head("/events")

    assert (other.status_code, head.status_code) == (403, 200)
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_streams_end_when_the_server_does_and_do_not_hold_it_up(doors: Doors) -> None:
    async with listening(doors) as listener:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await doors.server.stop()
        took, rest = loop.time() - begun, await listener.next()

    assert rest == ""
    assert took < 1.5, f"{took:.1f} s"
