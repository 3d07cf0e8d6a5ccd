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
    """Since when it waits, if it does, its last place in the queue, and what the account's jobs usually wait."""

    seen: bool = False
    raw_status: str = ""
    since: datetime | None = None
    depth: int | None = None
    usual: float | None = None


@dataclass(frozen=True, slots=True)
class QueueTime:
    """Fires while a job is pending or queued for longer than `limit`, and recovers when it leaves the queue.

    Where the account's last jobs are known, it also fires after `factor` times what they usually waited, but never
    before `minimum`.

    Together gives no promise, and says that it is usually under an hour. The wait counts from creation; for a job that
    went back to the queue, from when that was seen.
    """

    name: str = "queue_time"
    limit: timedelta = timedelta(hours=2)
    factor: float = 4.0
    minimum: timedelta = timedelta(minutes=20)

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
        state.usual = observation.usual_wait_seconds if state.usual is None else state.usual

    def judge(self, state: QueueState, now: datetime) -> Verdict:
        limit = self._limit(state)
        if state.since is None or now - state.since <= limit:
            return CLEAR
        waited = span(now - state.since)
        place = str(state.depth) if state.depth is not None else "unknown"
        usual = "" if state.usual is None else f", and this account's jobs usually wait {_usual(state.usual)}"
        finding = Finding(
            kind="queued",
            severity=Severity.WARNING,
            reason=(
                f"The job has been {quote(state.raw_status)} for {waited}, longer than {span(limit)}{usual}; "
                f"place in the queue: {place}."
            ),
            evidence=pairs(
                ("waiting since", clock(state.since)),
                ("limit", span(limit)),
                ("usual wait", "" if state.usual is None else _usual(state.usual)),
                ("queue place", place),
            ),
        )
        return Breach((finding,))

    def _limit(self, state: QueueState) -> timedelta:
        if state.usual is None:
            return self.limit
        return min(self.limit, max(self.minimum, timedelta(seconds=self.factor * state.usual)))


def _usual(seconds: float) -> str:
    return span(timedelta(seconds=seconds))
