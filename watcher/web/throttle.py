"""Slows down who guesses at the token, without keeping out anybody else for longer than the guessing lasts."""

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from enum import StrEnum

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request

from watcher.service.ports import Clock

log = structlog.get_logger(__name__)

BURST = 5
"""Wrong tokens that one address may send at once…"""
EVERY = 10.0
"""…and the seconds after which it may send one more."""
_MOST_ADDRESSES = 4096


class Login(StrEnum):
    """What became of a token that somebody sent."""

    OK = "ok"
    WRONG = "wrong"
    SLOWED = "slowed"


class Throttle:
    """Counts wrong tokens by address. What is refused for its rate is not looked at, and puts off nothing.

    Wrong tokens are logged at the rate of one address, so that guesses from many fill no disk; `counted` is told all.
    """

    def __init__(self, clock: Clock, counted: Callable[[Login], None]) -> None:
        self._clock, self._counted = clock, counted
        self._free_at: OrderedDict[str, float] = OrderedDict()
        self._log_free_at = 0.0
        self.failures = 0

    def passed(self) -> None:
        """Somebody logged in."""
        self._counted(Login.OK)

    def check(self, request: Request) -> None:
        """To be asked before a token is compared.

        Raises:
            HTTPException: too many wrong ones came from this address (429).
        """
        wait = self._free_at.get(_address(request), 0.0) - self._clock.monotonic() - (BURST - 1) * EVERY
        if wait > 0:
            self._counted(Login.SLOWED)
            raise HTTPException(429, "Too many wrong tokens; try again later", {"Retry-After": str(int(wait) + 1)})

    def failed(self, request: Request) -> None:
        """A token was wrong; it is not logged."""
        address, now = _address(request), self._clock.monotonic()
        self.failures += 1
        self._counted(Login.WRONG)
        if self._log_free_at - now <= (BURST - 1) * EVERY:
            self._log_free_at = max(self._log_free_at, now) + EVERY
            log.warning("web.login_failed", address=address, failures=self.failures)
        self._free_at[address] = max(self._free_at.pop(address, 0.0), now) + EVERY
        if len(self._free_at) > _MOST_ADDRESSES:
            self._free_at.popitem(last=False)


def _address(request: Request) -> str:
    """Whose request it is; of IPv6 the network, since one host has a whole one to choose from."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return str(ipaddress.ip_network((address, 64), strict=False)) if address.version == 6 else host  # noqa: PLR2004
