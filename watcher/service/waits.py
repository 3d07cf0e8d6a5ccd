"""How long an account's jobs usually wait before they run."""

from collections import deque
from statistics import median

from watcher.service.records import JobRecord, KnownJob

_LAST = 20
_LEAST = 5
"""Fewer jobs than this are no history."""


class Waits:
    """The last waits, in seconds from creation to the first sweep that saw the job running."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_LAST)

    def note(self, record: JobRecord | KnownJob) -> None:
        """A job has begun to run. One that was running already when it was first seen tells nothing."""
        created, began = record.created_at, record.first_running_at
        if created is not None and began is not None and record.first_seen_at < began:
            self._seconds.append(max(0.0, (began - created).total_seconds()))

    @property
    def usual(self) -> float | None:
        """The middle of the last waits in seconds; None while there are too few."""
        return median(self._seconds) if len(self._seconds) >= _LEAST else None
