"""Slows down who guesses at the token, without keeping out anybody else for longer than the guessing lasts."""

import ipaddress
from collections import OrderedDict

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


class Throttle:
    """Counts wrong tokens by address. What is refused for its rate is not looked at, and puts off nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._free_at: OrderedDict[str, float] = OrderedDict()
        self.failures = 0

    def check(self, request: Request) -> None:
        """To be asked before a token is compared.

        Raises:
            HTTPException: too many wrong ones came from this address (429).
        """
        wait = self._free_at.get(_address(request), 0.0) - self._clock.monotonic() - (BURST - 1) * EVERY
        if wait > 0:
            raise HTTPException(429, "Too many wrong tokens; try again later", {"Retry-After": str(int(wait) + 1)})

    def failed(self, request: Request) -> None:
        """A token was wrong; it is not logged."""
        address, now = _address(request), self._clock.monotonic()
        self.failures += 1
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
