"""Faults on purpose: which requests are answered badly, and how. The same seed gives the same faults."""

import random
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum


class FaultKind(StrEnum):
    """The ways in which a request goes wrong."""

    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    OVERLOADED = "overloaded"
    HTML = "html"
    CUT = "cut"  #: the work is done, the connection ends amid the answer
    TOOK_THEN_ERROR = "took_then_error"  #: the work is done, the answer says 500; only where that does something


_ANY = (FaultKind.RATE_LIMITED, FaultKind.SERVER_ERROR, FaultKind.OVERLOADED, FaultKind.HTML, FaultKind.CUT)

# The SDKs obey the first two; the documentation names the third. Seconds, milliseconds, seconds.
_WAIT_HINTS: tuple[dict[str, str], ...] = (
    {},
    {"retry-after": "1"},
    {"retry-after-ms": "400"},
    {"x-ratelimit-reset": "1"},
)


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and the headers that come with it."""

    kind: FaultKind
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def works_first(self) -> bool:
        """Whether the request has its effect before it fails."""
        return self.kind in (FaultKind.CUT, FaultKind.TOOK_THEN_ERROR)


class Faults:
    """Draws a fault for a share `rate` (0 to 1) of the requests.

    The draw depends on the seed, the request line and how often it came before, not on the order in which requests
    for different paths arrive: a client that asks in parallel meets the same faults again.
    """

    def __init__(self, rate: float, seed: int) -> None:
        if not 0 <= rate <= 1:
            raise ValueError(f"the share of faults is between 0 and 1, not {rate}")
        self._rate = rate
        self._seed = seed
        self._seen: Counter[tuple[str, str]] = Counter()

    def draw(self, method: str, path: str) -> Fault | None:
        """The fault of the next request of this kind, or None."""
        if not self._rate:
            return None
        self._seen[method, path] += 1
        dice = random.Random(f"{self._seed} {method} {path} {self._seen[method, path]}")  # noqa: S311  # no secret
        if dice.random() >= self._rate:
            return None
        kinds = _ANY if method == "GET" else (*_ANY, FaultKind.TOOK_THEN_ERROR)
        kind = dice.choice(kinds)
        return Fault(kind, dice.choice(_WAIT_HINTS) if kind is FaultKind.RATE_LIMITED else {})
