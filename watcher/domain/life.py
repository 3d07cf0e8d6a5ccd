"""How long a finding must hold before its alert fires, and be gone before it is over."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

_ROWS_OR_SWEEPS = re.compile(r"(\d+)\s*(rows?|sweeps?)")


@dataclass(slots=True)
class Waiting:
    """What a pending alert has seen so far: rows and sweeps in which the finding held."""

    since: datetime
    rows: int = 0
    sweeps: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """The life of one rule's alerts; the default fires at once and ends at once.

    `rows`, `sweeps` and `time` must all have passed with the finding holding. A firing alert ends when its finding was
    gone for `keep_firing_for`. One that fires again within `grace` of its end goes on as the same episode.
    """

    rows: int = 0
    sweeps: int = 0
    time: timedelta = timedelta(0)
    keep_firing_for: timedelta = timedelta(0)
    grace: timedelta = timedelta(0)

    @property
    def waits(self) -> bool:
        return self.rows > 1 or self.sweeps > 0 or self.time > timedelta(0)

    def ripe(self, waiting: Waiting, now: datetime) -> bool:
        """Whether a pending alert fires now."""
        return waiting.rows >= self.rows and waiting.sweeps >= self.sweeps and now - waiting.since >= self.time


AT_ONCE = Life()


def parse_count(text: str) -> tuple[int, int] | None:
    """(rows, sweeps) of `3 rows` or `2 sweeps`; None when the text is neither."""
    found = _ROWS_OR_SWEEPS.fullmatch(text.strip())
    if found is None:
        return None
    count = int(found[1])
    return (count, 0) if found[2].startswith("row") else (0, count)
