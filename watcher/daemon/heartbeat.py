"""A sign of life to the outside after useful sweeps: whoever misses it is told by somebody else that we are dead."""

import asyncio
from datetime import timedelta
from typing import Protocol

import structlog

from watcher.daemon.health import Health
from watcher.service.errors import ProviderError
from watcher.service.ports import Clock

log = structlog.get_logger(__name__)

_EARLY = 0.9
"""Share of the interval after which a ping may follow: a sweep that ends a moment early must not cost a whole one."""


class Pinger(Protocol):
    """Where the sign goes."""

    async def ping(self) -> None:
        """Returns when it was taken.

        Raises:
            ProviderError: it was not.
        """

    async def aclose(self) -> None: ...


class Heartbeat:
    """A part of the daemon. Pings beside the sweeps, never in them, and only when all is seen, stored and delivered."""

    def __init__(self, health: Health, clock: Clock, pinger: Pinger | None, interval: timedelta) -> None:
        self._health, self._clock = health, clock
        self._pinger, self._interval = pinger, interval
        self._task: asyncio.Task[None] | None = None
        self._next = 0.0

    async def start(self) -> None:
        """Nothing to begin: sweeps drive it."""

    async def stop(self) -> None:
        """A ping under way is given up."""
        await self._still()
        if self._pinger is not None:
            await self._pinger.aclose()

    async def change(self, pinger: Pinger | None, interval: timedelta) -> None:
        """Ping another address, or at another pace, from now on."""
        await self.stop()
        self._pinger, self._interval, self._next = pinger, interval, 0.0

    def swept(self) -> None:
        """A useful sweep is over: ping, unless that was done just now."""
        idle = self._task is None or self._task.done()
        if self._pinger is not None and idle and self._clock.monotonic() >= self._next:
            self._task = asyncio.create_task(self._beat(self._pinger))

    async def _beat(self, pinger: Pinger) -> None:
        if self._health.unseen() or await self._health.ready():
            return
        self._next = self._clock.monotonic() + _EARLY * self._interval.total_seconds()
        try:
            await pinger.ping()
        except ProviderError as error:
            # Only logged: that it stays away is the very message.
            log.warning("heartbeat.failed", reason=error.reason.value, status=error.status)
        else:
            log.debug("heartbeat.sent")

    async def _still(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
