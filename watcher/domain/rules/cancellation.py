"""`cancellation`: somebody else cancelled the job."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain.event_log import OUR_CANCEL, highest
from watcher.domain.moneywords import STEPS_BILLED
from watcher.domain.observations import Event, Observation, Snapshot, Status
from watcher.domain.phrasing import clock, pairs, steps
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_WAITING = Unknown("waiting for the event log to say why it was cancelled")


@dataclass(slots=True)
class CancellationState:
    """The end, and what the log says of who wanted it."""

    status: Status | None = None
    ended_at: datetime | None = None
    ours: bool = False
    billing: bool = False
    asked_at: datetime | None = None
    last_event_at: datetime | None = None
    done: int | None = None
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Cancellation:
    """Fires once when a job is cancelled, neither by this watcher nor because of billing.

    The status says only "cancelled". A `billing_limit` entry may reach the log after the status has changed, so without
    a `cancel_requested` entry the rule waits for one logged after the end was seen, at most `wait`.
    """

    name: str = "cancellation"
    wait: timedelta = timedelta(minutes=10)

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, Event)
    timed: ClassVar[bool] = True

    def start(self) -> CancellationState:
        return CancellationState()

    def observe(self, state: CancellationState, observation: Observation) -> None:
        if isinstance(observation, Snapshot):
            _take_snapshot(state, observation)
        elif isinstance(observation, Event):
            _take_event(state, observation)

    def judge(self, state: CancellationState, now: datetime) -> Verdict:
        if state.status is not Status.CANCELLED or state.ended_at is None or state.ours or state.billing:
            return CLEAR
        read = state.last_event_at is not None and state.last_event_at >= state.ended_at
        if state.asked_at is None and not read and now - state.ended_at < self.wait:
            return _WAITING
        return Breach((_finding(state),))


def _take_snapshot(state: CancellationState, snapshot: Snapshot) -> None:
    state.status = snapshot.status
    state.done = highest(state.done, snapshot.steps_completed)
    state.planned = snapshot.total_steps or state.planned
    if snapshot.status is Status.CANCELLED:
        state.ended_at = state.ended_at or snapshot.at


def _take_event(state: CancellationState, event: Event) -> None:
    if event.type == OUR_CANCEL:
        state.ours = True
        return
    state.done = highest(state.done, event.step)
    state.planned = state.planned or event.total_steps or None
    state.billing |= event.type == "billing_limit"
    state.last_event_at = max(state.last_event_at or event.at, event.at)
    if event.type == "cancel_requested":
        state.asked_at = max(state.asked_at or event.at, event.at)


def _finding(state: CancellationState) -> Finding:
    where = steps(state.done, state.planned)
    return Finding(
        kind="cancelled",
        severity=Severity.WARNING,
        reason=(
            f"The job was cancelled{f' at step {where}' if where else ''}, not by this watcher and without a "
            f"billing_limit event; {STEPS_BILLED}."
        ),
        step=state.done,
        evidence=pairs(
            ("steps done", where),
            ("cancel requested", clock(state.asked_at) if state.asked_at else "not in the event log"),
        ),
        notice=True,
    )
