"""The watch on the watcher: one GET of an address that somebody else expects to be asked for, as Healthchecks does."""

import asyncio
from datetime import timedelta

from watcher import __version__
from watcher.providers.together import failures
from watcher.providers.together.connection import http_client
from watcher.service.ports import Clock

TIMEOUT = timedelta(seconds=10)


class HttpHeartbeat:
    """Pings one address, which is a secret: whoever knows it can say that we are well. No error shows it."""

    def __init__(self, url: str, clock: Clock, *, timeout: timedelta = TIMEOUT) -> None:
        """Opens nothing yet.

        Raises:
            ConfigError: the surroundings (certificates, proxies) can't be used.
        """
        self._url, self._clock, self._timeout = url, clock, timeout.total_seconds()
        named = {"User-Agent": f"watcher/{__version__}"}
        self._http = http_client(named, deadline=self._timeout, concurrency=1)

    async def ping(self) -> None:
        """Returns when the service took it.

        Raises:
            ProviderError: it did not.
        """
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._http.get(self._url)
        except failures.FAILURES as exc:
            raise failures.of_exception("heartbeat", exc, effect=False) from None  # its cause may name the address
        if not answer.is_success:
            raise failures.of_status("heartbeat", answer.status_code, answer.headers, self._clock.now(), effect=False)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
