"""`queue_time`: the job has been waiting for hardware for too long."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain.observations import Gone, Observation, Snapshot
from watcher.domain.phrasing import clock, pairs, quote, span
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict


@dataclass(slots=True)
class QueueState:
    """Since when it waits, if it does, and its last place in the queue."""

    seen: bool = False
    raw_status: str = ""
    since: datetime | None = None
    depth: int | None = None


@dataclass(frozen=True, slots=True)
class QueueTime:
    """Fires while a job is pending or queued for longer than `limit`, and recovers when it leaves the queue.

    Together gives no promise, and says that it is usually under an hour. The wait counts from creation; for a job that
    went back to the queue, from when that was seen.
    """

    name: str = "queue_time"
    limit: timedelta = timedelta(hours=2)

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, Gone)
    timed: ClassVar[bool] = True

    def start(self) -> QueueState:
        return QueueState()

    def observe(self, state: QueueState, observation: Observation) -> None:
        if isinstance(observation, Gone):
            state.since = None  # a deleted job waits no more
        if not isinstance(observation, Snapshot):
            return
        if not observation.status.waiting:
            state.since = None
        elif state.since is None:
            state.since = observation.at if state.seen else observation.created_at or observation.at
        state.seen, state.raw_status, state.depth = True, observation.raw_status, observation.queue_depth

    def judge(self, state: QueueState, now: datetime) -> Verdict:
        if state.since is None or now - state.since <= self.limit:
            return CLEAR
        waited = span(now - state.since)
        place = str(state.depth) if state.depth is not None else "unknown"
        finding = Finding(
            kind="queued",
            severity=Severity.WARNING,
            reason=(
                f"The job has been {quote(state.raw_status)} for {waited}, longer than {span(self.limit)}; "
                f"place in the queue: {place}."
            ),
            evidence=pairs(("waiting since", clock(state.since)), ("limit", span(self.limit)), ("queue place", place)),
        )
        return Breach((finding,))
