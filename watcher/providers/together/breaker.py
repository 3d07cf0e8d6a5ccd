"""A circuit breaker: when nothing gets through any more, who asks next is told so at once."""

from watcher.service.errors import FailureReason, ProviderError
from watcher.service.ports import Clock

FAILURES = 16
"""Exchanges that fail in a row before it opens, none of them answered: two rounds of the default concurrency."""
LASTING = 10.0
"""Seconds that they last at least: a short outage is what tries are for."""
REST = 3.0
"""Seconds for which it stays open, long enough for all who wait to be told. After that one failure opens it again."""
_DOWN = frozenset({FailureReason.SERVER, FailureReason.TIMEOUT, FailureReason.NETWORK})


class Breaker:
    """Of one account's way to the API.

    Without it each of a thousand jobs waited for a time-out of its own when the API hung, eight at once: a sweep took
    an hour, and only then people were told that nothing is seen.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed = 0
        self._since = 0.0
        self._open_until = -1.0
        self._reason = FailureReason.NETWORK

    def check(self) -> None:
        """Raises ProviderError while it is open: nothing was asked."""
        if self._failed >= FAILURES and self._clock.monotonic() < self._open_until:
            raise ProviderError(self._reason, f"not asked: {self._failed} calls in a row failed", retryable=True)

    def note(self, error: ProviderError | None) -> None:
        """An exchange is over: with an answer, if only of an error of the caller's, or with a failure."""
        if error is None or error.reason not in _DOWN:
            self._failed = 0
            return
        now = self._clock.monotonic()
        self._since = self._since if self._failed else now
        self._failed, self._reason = self._failed + 1, error.reason
        if self._failed >= FAILURES and now - self._since >= LASTING:
            self._open_until = now + REST
