"""How fast one account may be asked: a rate with a burst, and how many at once."""

import asyncio
from collections.abc import Callable
from typing import Self

from watcher.service.ports import Clock


class Pace:
    """Lets requests through at a rate, in order of arrival, and at most `concurrency` at once: `async with pace:`.

    The bucket is kept as the time at which the next request is due: a request that comes later than that has saved
    up tokens, up to the burst.

    Args:
        clock: where waiting is done; its monotonic time measures.
        per_second: requests a second in the long run.
        burst: requests that may follow each other at once after a pause; at least 1.
        concurrency: exchanges at the same time.
        gate: called by each whose place has come; what it raises is raised to them, and they do not wait any longer.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        per_second: float,
        burst: int,
        concurrency: int,
        gate: Callable[[], None] = lambda: None,
    ) -> None:
        self._clock = clock
        self._gap = 1.0 / per_second
        self._saved = (burst - 1) * self._gap
        self._due = clock.monotonic() - self._saved
        self._slots = asyncio.Semaphore(concurrency)
        self._gate = gate

    async def __aenter__(self) -> Self:
        await self._slots.acquire()
        try:
            self._gate()
            await self.turn()
        except BaseException:
            self._slots.release()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._slots.release()

    async def turn(self) -> None:
        """Returns when the next request may leave."""
        now = self._clock.monotonic()
        self._due = max(self._due, now - self._saved)
        wait = self._due - now
        self._due += self._gap
        if wait > 0:
            await self._clock.sleep(wait)

    def hold(self, seconds: float) -> None:
        """Nobody who asks from now on leaves before this many seconds: the server asked the whole account to wait."""
        self._due = max(self._due, self._clock.monotonic() + seconds)
