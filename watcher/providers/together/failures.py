"""What a failed exchange means: the reason, whether the same call may succeed later, and when.

Messages name the call and the status, never a URL, a header or a body: all three can hold secrets.
"""

import math
from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import aiohttp
import httpx

from watcher.providers.together import wire
from watcher.service.errors import FailureReason, ProviderError

FAILURES: tuple[type[Exception], ...] = (
    httpx.HTTPError,
    httpx.InvalidURL,
    httpx.StreamError,
    aiohttp.ClientError,  # a call's as they are; of a heartbeat's, httpx's transport translates most
    TimeoutError,
    OSError,
    ValueError,  # what aiohttp raises for a proxy or a host that it can't use
)
_REASONS: dict[int, FailureReason] = {
    HTTPStatus.UNAUTHORIZED: FailureReason.AUTH,
    HTTPStatus.PAYMENT_REQUIRED: FailureReason.BILLING,
    HTTPStatus.FORBIDDEN: FailureReason.FORBIDDEN,
    HTTPStatus.NOT_FOUND: FailureReason.NOT_FOUND,
    HTTPStatus.REQUEST_TIMEOUT: FailureReason.TIMEOUT,
    HTTPStatus.CONFLICT: FailureReason.CONFLICT,
    HTTPStatus.TOO_MANY_REQUESTS: FailureReason.RATE_LIMITED,
}
_RETRYABLE = frozenset({FailureReason.TIMEOUT, FailureReason.CONFLICT, FailureReason.RATE_LIMITED})
_OVERRIDES = {"true": True, "false": False}
_LONGEST_WAIT = 86_400.0
# Failures before the request left: what was asked for is surely not done. The transport calls every lost connection
# a connect timeout, so its own class does not tell; the cause does.
_NEVER_SENT = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientHttpProxyError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


def of_status(call: str, status: int, headers: Mapping[str, str], now: datetime, *, effect: bool) -> ProviderError:
    """The error for a status other than 2xx. `effect` is True for a call that changes something."""
    if status < HTTPStatus.BAD_REQUEST:
        message = f"{call}: the API answered {status}, which leads elsewhere"
        return ProviderError(FailureReason.PAYLOAD, message, retryable=True, status=status)
    server = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    reason = FailureReason.SERVER if server else _REASONS.get(status, FailureReason.CLIENT)
    override = _OVERRIDES.get(headers.get("x-should-retry", "").strip().lower())
    return ProviderError(
        reason,
        f"{call}: the API answered {status}",
        retryable=(server or reason in _RETRYABLE) if override is None else override,
        retry_after=asked_wait(headers, now),
        status=status,
        maybe_done=effect and (server or reason is FailureReason.TIMEOUT),
    )


def of_exception(call: str, exc: Exception, *, effect: bool) -> ProviderError:
    """The error for an exchange that gave no whole answer."""
    cause = exc.__cause__ if isinstance(exc.__cause__, aiohttp.ClientError) else exc
    maybe_done = effect and not isinstance(cause, _NEVER_SENT)
    if isinstance(exc, httpx.DecodingError):
        return ProviderError(
            FailureReason.PAYLOAD, f"{call}: the answer can't be unpacked", retryable=True, maybe_done=maybe_done
        )
    if isinstance(cause, TimeoutError | httpx.TimeoutException):
        return ProviderError(FailureReason.TIMEOUT, f"{call}: no answer in time", retryable=True, maybe_done=maybe_done)
    kind = type(cause).__name__
    return ProviderError(FailureReason.NETWORK, f"{call}: {kind}", retryable=True, maybe_done=maybe_done)


def of_payload(call: str, what: str, *, effect: bool) -> ProviderError:
    """The error for a 2xx whose body is not what was asked for; the effect of such a call has surely been taken."""
    return ProviderError(FailureReason.PAYLOAD, f"{call}: {what}", retryable=True, maybe_done=effect)


def asked_wait(headers: Mapping[str, str], now: datetime) -> float | None:
    """How many seconds the server asks to wait, from the most exact header that can be read."""
    readers: tuple[tuple[str, Callable[[str], float | None]], ...] = (
        ("retry-after-ms", lambda value: _scaled(value, 1e-3)),
        ("retry-after", lambda value: _seconds_or_date(value, now)),
        ("x-ratelimit-reset", lambda value: _scaled(value, 1.0)),
    )
    for name, read in readers:
        value = headers.get(name)
        wait = None if value is None else read(value)
        if wait is not None:
            return wait
    return None


def _scaled(value: str, unit: float) -> float | None:
    """Seconds; None for more than a day, which is a point in time or another unit, not a wait."""
    amount = wire.number(value)
    seconds = math.nan if amount is None else amount * unit
    return seconds if 0 <= seconds <= _LONGEST_WAIT else None


def _seconds_or_date(value: str, now: datetime) -> float | None:
    if wire.number(value) is not None:
        return _scaled(value, 1.0)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    utc = wire.moment(at.isoformat())  # a date without a zone is UTC here too
    wait = None if utc is None else max((utc - now).total_seconds(), 0.0)
    return wait if wait is not None and wait <= _LONGEST_WAIT else None
