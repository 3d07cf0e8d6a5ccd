"""The pictures of messages that wait their turn in a lane: begun before it comes, one for all targets of a message.

A picture takes ten to a hundred times as long as a send. So those of a lane's next messages are drawn while it sends,
and a message that has waited long enough already goes out without one that is not ready.
"""

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog

from watcher.domain.messages import Message
from watcher.service.drill import RULE as DRILL
from watcher.service.ports import Pictures
from watcher.service.records import OutboxRow

log = structlog.get_logger(__name__)

AHEAD = 3
"""For so many messages after the present one of a lane: more than are drawn at once, and few to keep."""
PROMPT = timedelta(seconds=0.2)
"""A message with others before or behind it in its lane waits for its picture until it is so old, and not longer."""
LATE = timedelta(minutes=1)
"""One that is older than this waited for its receiver: a moment more makes no difference."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a picture shows: one for all targets of a message, another one when the job is told of again."""

    made_at: datetime
    account: str
    job_id: str
    alert_id: str


def subject_of(row: OutboxRow, message: Message) -> Subject | None:
    """None for a message that is about no job, or about several; a drill shows a job that is none."""
    if not message.job_id and message.rule != DRILL:
        return None
    return Subject(row.created_at, message.account, message.job_id, message.alert_id)


def may_wait(row: OutboxRow, now: datetime) -> float | None:
    """Seconds for which a message of a burst waits for its picture; None: as long as that takes."""
    age = now - row.created_at
    return None if age >= LATE else max(0.0, (PROMPT - age).total_seconds())


class Album:
    """The drawings, done or under way, that lanes want; those that no lane wants any more are dropped."""

    def __init__(self) -> None:
        self._drawings: dict[Subject, asyncio.Task[bytes | None]] = {}
        self._wanted: dict[str, Sequence[Subject]] = {}

    def want(self, pictures: Pictures, lane: str, subjects: Sequence[Subject]) -> None:
        """From now on a lane wants these and no others, in this order."""
        self._wanted[lane] = subjects
        self._drop()
        for one in subjects:
            if one not in self._drawings:
                drawing = pictures.picture(one.account, one.job_id, one.alert_id)
                self._drawings[one] = asyncio.ensure_future(drawing)

    def leave(self, lane: str) -> None:
        """A lane wants nothing any more."""
        if self._wanted.pop(lane, None):
            self._drop()

    async def picture(self, lane: str, subject: Subject, too_long: Coroutine[Any, Any, None] | None) -> bytes | None:
        """One that is wanted, when it is drawn; None when it could not be, or `too_long` ended before."""
        drawing = self._drawings[subject]
        waiting = asyncio.ensure_future(too_long) if too_long else None
        try:
            # A lane that is cancelled does not take the drawing from another one.
            await asyncio.wait([drawing, waiting] if waiting else [drawing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            if waiting is not None:
                waiting.cancel()
        return self.ready(lane, subject)

    def ready(self, lane: str, subject: Subject) -> bytes | None:
        """One that is drawn already; else the lane wants it no more."""
        drawing = self._drawings.get(subject)
        if drawing is not None and drawing.done():
            return drawing.result()
        reason = "not ready, and others wait"
        log.warning("picture.left_out", account=subject.account, job_id=subject.job_id, reason=reason)
        self._wanted[lane] = [other for other in self._wanted.get(lane, ()) if other != subject]
        self._drop()
        return None

    def _drop(self) -> None:
        wanted = {subject for of_lane in self._wanted.values() for subject in of_lane}
        for subject in self._drawings.keys() - wanted:
            self._drawings.pop(subject).cancel()
