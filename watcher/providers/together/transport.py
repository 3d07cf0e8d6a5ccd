"""One account's way to the API: a paced exchange with a deadline and a size limit, and the tries of one call.

The retry loop is ours and not stamina's: stamina sleeps on the event loop's clock and measures its budget on the
machine's, neither of which can be replaced, so a wait that the server asked for could be tested only by waiting.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx

from watcher import __version__
from watcher.providers.together import failures
from watcher.providers.together.bodies import Bodies, decoded
from watcher.providers.together.breaker import Breaker
from watcher.providers.together.connection import Client
from watcher.providers.together.pace import Pace
from watcher.service.errors import ConfigError, ProviderError
from watcher.service.ports import Clock, Telemetry

_MAX_REDIRECTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How hard and how long one account is asked.

    `timeout` is the seconds from connecting to the last byte of one exchange, `retry_budget` the seconds in tries
    and waits after which no other try starts, `attempts` all tries of one call together. `backoff` and `max_backoff`
    are the ceilings in seconds of the first and of any random wait. `max_body` is bytes after unpacking, `window` the
    steps asked for at once.
    """

    per_second: float = 10.0
    burst: int = 10
    concurrency: int = 8
    timeout: float = 30.0
    attempts: int = 3
    retry_budget: float = 8.0
    backoff: float = 0.5
    max_backoff: float = 4.0
    max_body: int = 32 * 1024 * 1024
    window: int = 5000


def any_up_to(ceiling: float) -> float:
    """Full jitter: two watchers that failed together don't come back together."""
    return random.uniform(0.0, ceiling)  # noqa: S311 - spreads load, hides nothing


def root_of(base_url: str) -> str:
    """The base URL, encoded, without `/v1` and slashes at its end: one SDK wants it with, the other without.

    Raises:
        ConfigError: it is no http(s) URL, or holds credentials; the message does not show it.
    """
    try:
        url = httpx.URL(base_url.strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in ("http", "https") or not url.host or url.userinfo:
        raise ConfigError("base_url: expected http(s)://host[:port][/path] without credentials")
    path = url.path.rstrip("/").removesuffix("/v1").rstrip("/")
    return str(httpx.URL(f"{url.scheme}://{url.netloc.decode('ascii')}{path}"))


def headers_of(api_key: str) -> dict[str, str]:
    """What every request carries.

    Raises:
        ConfigError: the key can't stand in a header (a secret file often ends in a line feed, which is taken off).
    """
    key = api_key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        raise ConfigError("api_key: expected one word of printable ASCII")
    return {
        "Authorization": f"Bearer {key}",
        "Accept": "application/json",
        "Accept-Encoding": "gzip",
        "User-Agent": f"watcher/{__version__}",
    }


class Caller:
    """Makes calls: `get` tries again within the limits, `effect` never does."""

    def __init__(
        self,
        account: str,
        http: Client,
        clock: Clock,
        telemetry: Telemetry,
        limits: Limits,
        *,
        jitter: Callable[[float], float] = any_up_to,
    ) -> None:
        self._account = account
        self._http = http
        self._clock = clock
        self._telemetry = telemetry
        self._limits = limits
        self._jitter = jitter
        self._bodies = Bodies(limits.max_body)
        self._breaker = Breaker(clock)
        self._pace = Pace(
            clock,
            per_second=limits.per_second,
            burst=limits.burst,
            concurrency=limits.concurrency,
            gate=self._breaker.check,
        )

    async def get(self, call: str, url: str) -> Mapping[str, object]:
        """The JSON object that a GET answers.

        Raises:
            ProviderError: after the last try, or at once when waiting does not help or would take too long.
        """
        tries, spent = 0, 0.0  # seconds in exchanges and in waits between them, not in the queue of a busy account
        while True:
            tries += 1
            async with self._pace:
                started = self._clock.monotonic()
                try:
                    return await self._counted(call, "GET", url)
                except ProviderError as exc:
                    failed = exc
            wait = self._wait(failed, tries)
            spent += self._clock.monotonic() - started + wait
            if not failed.retryable or tries >= self._limits.attempts or spent > self._limits.retry_budget:
                raise failed
            if failed.retry_after is not None:
                self._pace.hold(failed.retry_after)
            await self._clock.sleep(wait)

    async def effect(self, call: str, method: str, url: str) -> Mapping[str, object]:
        """The JSON object that a call answers which changes something: one try.

        Raises:
            ProviderError: `maybe_done` tells that it may have been done all the same.
        """
        async with self._pace:
            return await self._counted(call, method, url)

    async def aclose(self) -> None:
        await self._http.aclose()

    def _wait(self, exc: ProviderError, tries: int) -> float:
        """Seconds before the next try: what the server asked for, else anything up to a ceiling that doubles."""
        if exc.retry_after is not None:
            return exc.retry_after
        return self._jitter(min(self._limits.backoff * 2 ** (tries - 1), self._limits.max_backoff))

    async def _counted(self, call: str, method: str, url: str) -> Mapping[str, object]:
        """One exchange, counted under its outcome."""
        started, outcome = self._clock.monotonic(), "ok"
        try:
            found = await self._exchange(call, method, url)
        except ProviderError as exc:
            outcome = exc.reason.value
            self._breaker.note(exc)
            raise
        except BaseException:
            outcome = "aborted"
            raise
        else:
            self._breaker.note(None)
            return found
        finally:
            self._telemetry.api_request(self._account, call, outcome, self._clock.monotonic() - started)

    async def _exchange(self, call: str, method: str, url: str) -> Mapping[str, object]:
        effect = method != "GET"
        try:
            # httpx bounds each read, so a server that drips bytes would hold the call for ever
            async with asyncio.timeout(self._limits.timeout):
                return await self._answer(call, method, url, effect=effect)
        except failures.FAILURES as exc:
            raise failures.of_exception(call, exc, effect=effect) from exc

    async def _answer(self, call: str, method: str, url: str, *, effect: bool) -> Mapping[str, object]:
        """Sends, follows the few redirects that stay on the host (the key goes nowhere else), and reads a 2xx."""
        hops = 0
        while True:
            answer = await self._http.exchange(method, url)
            try:
                if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
                    body = await self._bodies.read(call, answer, effect=effect)
                    return decoded(call, answer, body, effect=effect)
                hops += 1
                if effect or answer.onward is None or hops > _MAX_REDIRECTS:
                    raise failures.of_status(call, answer.status, answer.headers, self._clock.now(), effect=effect)
                url = answer.onward
            finally:
                answer.release()
