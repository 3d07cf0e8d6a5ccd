"""What a service answered during one send, read where Apprise's plug-ins do their input and output.

A plug-in returns only a bool, and that bool alone decides success. Status codes and errors seen here classify failures.
"""

import math
import smtplib
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from functools import cache, wraps
from typing import Any

from watcher.service.errors import DeliveryError, FailureReason

LONGEST_WAIT = 86_400.0
"""A service that asks for more than a day is not believed."""

_HTTP_REASONS = {
    401: FailureReason.AUTH,
    402: FailureReason.BILLING,
    403: FailureReason.FORBIDDEN,
    404: FailureReason.NOT_FOUND,
    408: FailureReason.TIMEOUT,
    409: FailureReason.CONFLICT,
    410: FailureReason.NOT_FOUND,
    429: FailureReason.RATE_LIMITED,
}
_SMTP_REASONS = {
    421: FailureReason.RATE_LIMITED,
    530: FailureReason.AUTH,
    534: FailureReason.AUTH,
    535: FailureReason.AUTH,
    538: FailureReason.AUTH,
    550: FailureReason.NOT_FOUND,
    551: FailureReason.NOT_FOUND,
    553: FailureReason.NOT_FOUND,
}
_MAY_PASS = frozenset({302, 303, 307, 408, 409, 421, 423, 425, 429})
"""Statuses below 500 after which a later try may do. Any other refusal, tried again, would only block its lane."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One answer or one error of the connection; `reason` is None when the service was content."""

    reason: FailureReason | None
    status: int | None = None
    permanent: bool = False
    retry_after: float | None = None


class _Recorder(threading.local):
    answers: list[Answer] | None = None


_recorder = _Recorder()


@contextmanager
def recorded() -> Iterator[list[Answer]]:
    """Collects the answers to all requests that this thread makes inside."""
    answers: list[Answer] = []
    _recorder.answers = answers
    try:
        yield answers
    finally:
        _recorder.answers = None


@cache
def install() -> None:
    """Lets `recorded` see HTTP and SMTP answers; outside of it, and in other threads, nothing changes.

    The plug-ins call module functions of requests and smtplib, so the classes below those are the one place to look.
    """
    import requests  # noqa: PLC0415 - comes with Apprise, and is as slow to load

    _watch(requests.Session, "send", _read_http, _read_http_error)
    _watch(smtplib.SMTP, "connect", _read_smtp, _read_smtp_error)
    _watch(smtplib.SMTP, "getreply", _read_smtp, _read_smtp_error)


def _watch(
    owner: type, name: str, read: Callable[[Any], Answer], read_error: Callable[[BaseException], Answer]
) -> None:
    original = getattr(owner, name)

    @wraps(original)
    def watched(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - whatever the original takes and gives
        answers = _recorder.answers
        if answers is None:
            return original(*args, **kwargs)
        try:
            result = original(*args, **kwargs)
        except Exception as exc:
            answers.append(read_error(exc))
            raise
        answers.append(read(result))
        return result

    setattr(owner, name, watched)


def _read_http(response: Any) -> Answer:  # noqa: ANN401 - a requests.Response
    return http_answer(response.status_code, response.headers.get("Retry-After"), response.headers.get("Date"))


def http_answer(status: int, retry_after: str | None = None, date: str | None = None) -> Answer:
    """What an HTTP status says of a send. A redirect was not followed: a POST turned into a GET loses the message."""
    if status < 300:  # noqa: PLR2004 - 2xx
        return Answer(reason=None, status=status)
    server = status >= 500  # noqa: PLR2004 - 5xx
    reason = FailureReason.SERVER if server else _HTTP_REASONS.get(status, FailureReason.CLIENT)
    permanent = not server and status not in _MAY_PASS
    return Answer(
        reason=reason,
        status=status,
        permanent=permanent,
        retry_after=None if permanent else wait_seconds(retry_after, date),
    )


def wait_seconds(retry_after: str | None, date: str | None) -> float | None:
    """Retry-After in seconds. A date in it is taken against the answer's own Date, so our clock doesn't matter."""
    if not retry_after:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        until, since = _parse_date(retry_after), _parse_date(date)
        if until is None or since is None:
            return None
        seconds = (until - since).total_seconds()
    return min(max(seconds, 0.0), LONGEST_WAIT) if math.isfinite(seconds) else None


def _parse_date(text: str | None) -> datetime | None:
    try:
        date = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return date if date.tzinfo else None


def _read_http_error(exc: BaseException) -> Answer:
    import requests  # noqa: PLC0415 - see install

    if isinstance(exc, requests.Timeout):
        return Answer(reason=FailureReason.TIMEOUT)
    # requests raises ValueErrors for an address or a header that can never be sent.
    wrong = isinstance(exc, ValueError)
    return Answer(reason=FailureReason.CLIENT if wrong else FailureReason.NETWORK, permanent=wrong)


def _read_smtp(reply: tuple[int, bytes]) -> Answer:
    return smtp_answer(reply[0])


def smtp_answer(code: int) -> Answer:
    """What an SMTP reply says of a send: 4xx may pass, 5xx will not."""
    if code < 400:  # noqa: PLR2004 - 2xx and 3xx
        return Answer(reason=None, status=code)
    permanent = code >= 500  # noqa: PLR2004 - 5xx
    reason = _SMTP_REASONS.get(code, FailureReason.CLIENT if permanent else FailureReason.SERVER)
    return Answer(reason=reason, status=code, permanent=permanent)


def _read_smtp_error(exc: BaseException) -> Answer:
    # smtplib reports a read timeout as a broken connection that was raised while handling the timeout.
    late = isinstance(exc, TimeoutError) or isinstance(exc.__context__, TimeoutError)
    return Answer(reason=FailureReason.TIMEOUT if late else FailureReason.NETWORK)


def failure(scheme: str, answers: Sequence[Answer]) -> DeliveryError:
    """Why a send failed. It is permanent only when every refusal was: one recipient that may still take it decides."""
    refusals = [answer for answer in answers if answer.reason]
    if not refusals:
        reason = FailureReason.PAYLOAD if answers else FailureReason.NETWORK
        text = "did not confirm the message" if answers else "could not be reached"
        return DeliveryError(reason, f"{scheme}: {text}")
    told = next((answer for answer in reversed(refusals) if not answer.permanent), refusals[-1])
    waits = [answer.retry_after for answer in refusals if answer.retry_after is not None]
    reason = told.reason or FailureReason.PAYLOAD
    return DeliveryError(
        reason,
        f"{scheme}: answered {told.status}" if told.status else f"{scheme}: {reason}",
        permanent=told.permanent,
        retry_after=max(waits, default=None),
    )
