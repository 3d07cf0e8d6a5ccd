"""Group commit: work of many jobs in one transaction, and one job's fault costs only that job."""

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from watcher.service.ports import Clock, Store, Writes

MOST = 80
"""Jobs in one transaction at most."""
LONGEST = 0.2
"""Seconds after which a transaction takes no further job."""

LINGER = 0.05
"""Seconds for which a transaction with room waits for work that is on its way: a commit costs as much as ten jobs."""


@dataclass(slots=True)
class _Waiting:
    work: Callable[[Writes], None]
    done: asyncio.Future[None]


class Coming:
    """`with committer.coming:` a piece of work is on its way, or ends in here without any."""

    def __init__(self, fewer: Callable[[], None]) -> None:
        self._fewer = fewer
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1
        self._fewer()


class Committer:
    """Takes whole pieces of work and commits what is waiting together; a failing group is committed one by one."""

    def __init__(self, store: Store, clock: Clock, committed: Callable[[], None]) -> None:
        self._store, self._clock, self._committed = store, clock, committed
        self._waiting: deque[_Waiting] = deque()
        self._task: asyncio.Task[None] | None = None
        self._complete = asyncio.Event()
        self.coming = Coming(self._look)

    async def commit(self, work: Callable[[Writes], None]) -> None:
        """Returns when the work is durable.

        Raises:
            StoreError: it is not, and nothing of it was written. Any exception of the work itself is raised as it is.
        """
        item = _Waiting(work, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._look()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._drain())
        await item.done

    async def _drain(self) -> None:
        while self._waiting:
            await self._linger()
            group = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            try:
                taken = await self._store.write(lambda tx, group=group: self._run(tx, group))  # type: ignore[misc]
            except Exception:  # noqa: BLE001 - whatever it was, each job is tried on its own and gets its own answer
                await self._one_by_one(group)
                continue
            self._waiting.extendleft(reversed(group[taken:]))
            self._settle(group[:taken])

    def _look(self) -> None:
        """Go on with what is waiting, once nothing is on its way that it has room for."""
        if len(self._waiting) >= min(MOST, self.coming.count):
            self._complete.set()

    async def _linger(self) -> None:
        self._complete.clear()
        self._look()
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                await self._complete.wait()

    def _run(self, tx: Writes, group: list[_Waiting]) -> int:
        start = self._clock.monotonic()
        for count, item in enumerate(group, 1):
            item.work(tx)
            if self._clock.monotonic() - start > LONGEST:
                return count
        return len(group)

    async def _one_by_one(self, group: list[_Waiting]) -> None:
        for item in group:
            try:
                await self._store.write(item.work)
            except Exception as error:  # noqa: BLE001 - handed to the one who asked
                if not item.done.done():
                    item.done.set_exception(error)
            else:
                self._settle([item])

    def _settle(self, items: list[_Waiting]) -> None:
        for item in items:
            if not item.done.done():
                item.done.set_result(None)
        self._committed()
