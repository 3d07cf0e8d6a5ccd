"""Work on many jobs: so many at once, and none waits for a slow one."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

import pytest

from watcher.service.turns import AT_ONCE, Undone, in_turns

MANY = 3 * AT_ONCE


async def test_only_so_many_are_made_and_under_way_at_once() -> None:
    made = ended = most = 0

    async def piece(number: int) -> int:
        nonlocal ended
        await asyncio.sleep(0)
        ended += 1
        return number

    def work() -> Iterator[Coroutine[Any, Any, int]]:
        nonlocal made, most
        for number in range(MANY):
            made += 1
            most = max(most, made - ended)
            yield piece(number)

    came = await in_turns(work())

    assert (came, most) == (list(range(MANY)), AT_ONCE)


async def test_one_that_never_ends_holds_up_nobody() -> None:
    stuck, seen = asyncio.Event(), list[int]()

    async def piece(number: int) -> None:
        if number == 0:
            await stuck.wait()
        seen.append(number)
        if len(seen) == MANY - 1:
            stuck.set()

    await in_turns(piece(number) for number in range(MANY))

    assert (sorted(seen), seen[-1]) == (list(range(MANY)), 0)


def test_what_fails_is_undone_and_still_fails() -> None:
    undone = list[str]()

    with Undone(undone.append, "done"):
        pass
    with pytest.raises(KeyError), Undone(undone.append, "failed"):
        raise KeyError

    assert undone == ["failed"]
