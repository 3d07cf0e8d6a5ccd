"""Working stand-ins for the ports."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta

START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `Clock` that moves only when told to; who sleeps wakes in the order of the times asked for."""

    def __init__(self, start: datetime = START) -> None:
        self._wall = start
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Returns when the clock was advanced this far; a sleep of nothing only lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        awake = asyncio.Event()
        self._count += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._count, awake))
        await awake.wait()

    def advance(self, seconds: float) -> None:
        """Both clocks move on; who slept until then or less is awake, and runs when the loop next does."""
        self._move(self._monotonic + seconds)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            heapq.heappop(self._sleepers)[2].set()

    async def live(self, seconds: float) -> None:
        """As `advance`, but step by step: each sleeper wakes at its own time and runs until it sleeps again."""
        end = self._monotonic + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.advance(self._sleepers[0][0] - self._monotonic)
            await settle()
        self.advance(end - self._monotonic)

    def step_wall(self, seconds: float) -> None:
        """Somebody set the wall clock; the monotonic one does not notice."""
        self._wall += timedelta(seconds=seconds)

    @property
    def sleepers(self) -> int:
        """How many are asleep."""
        return len(self._sleepers)

    def _move(self, to: float) -> None:
        self._wall += timedelta(seconds=to - self._monotonic)
        self._monotonic = to


async def settle(rounds: int = 20) -> None:
    """Let every task run until it waits for something that is not the loop itself."""
    for _ in range(rounds):
        await asyncio.sleep(0)
