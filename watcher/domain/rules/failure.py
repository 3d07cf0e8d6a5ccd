"""`failure`: the job ended in error, or was stopped because the account ran out of money; why, and who pays."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain.event_log import Said, highest, is_error, is_warning, job_id_in, later
from watcher.domain.moneywords import FULL_REFUND, STEPS_BILLED
from watcher.domain.observations import Event, Observation, Snapshot, Status
from watcher.domain.phrasing import QUOTE, pairs, quote, steps
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_WAITING = Unknown("waiting for the event log to say why it failed")
_WHAT = {
    "error": "failed on the provider's side (status error)",
    "user_error": "failed on its input (status user_error)",
    "billing": "was cancelled because the balance or a limit was reached (billing_limit event)",
}


@dataclass(slots=True)
class FailureState:
    """The end as far as it is known, and the last words of the log by their weight."""

    status: Status | None = None
    ended_at: datetime | None = None
    done: int | None = None
    planned: int | None = None
    billing: Said | None = None
    error: Said | None = None
    warning: Said | None = None
    restart: Said | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Fires once when a job ends in error, user_error, or cancelled for billing.

    The job itself carries no cause: the last error message of the log is it, else the last warning. `wait` is how long
    it waits, after the end was seen, for such an entry to be logged.
    """

    name: str = "failure"
    wait: timedelta = timedelta(minutes=2)

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, Event)
    timed: ClassVar[bool] = True

    def start(self) -> FailureState:
        return FailureState()

    def observe(self, state: FailureState, observation: Observation) -> None:
        if isinstance(observation, Snapshot):
            _take_snapshot(state, observation)
        elif isinstance(observation, Event):
            _take_event(state, observation)

    def judge(self, state: FailureState, now: datetime) -> Verdict:
        kind = _kind(state)
        if kind is None:
            return CLEAR
        told = state.billing if kind == "billing" else state.error
        if told is None and state.ended_at is not None and now - state.ended_at < self.wait:
            return _WAITING
        return Breach((_finding(state, kind),))


def _take_snapshot(state: FailureState, snapshot: Snapshot) -> None:
    state.status = snapshot.status
    state.done = highest(state.done, snapshot.steps_completed)
    state.planned = snapshot.total_steps or state.planned
    if snapshot.status.terminal:
        state.ended_at = state.ended_at or snapshot.at


def _take_event(state: FailureState, event: Event) -> None:
    state.done = highest(state.done, event.step)
    state.planned = state.planned or event.total_steps or None
    if event.type == "billing_limit":
        state.billing = later(state.billing, event)
    elif event.type == "job_restarted":
        state.restart = later(state.restart, event)
    elif is_error(event):
        state.error = later(state.error, event)
    elif is_warning(event):
        state.warning = later(state.warning, event)


def _kind(state: FailureState) -> str | None:
    if state.status in (Status.ERROR, Status.USER_ERROR):
        return state.status.value
    return "billing" if state.status is Status.CANCELLED and state.billing is not None else None


def _finding(state: FailureState, kind: str) -> Finding:
    cause = _cause(state, kind)
    pays = STEPS_BILLED if kind == "billing" else FULL_REFUND
    where = steps(state.done, state.planned)
    successor = job_id_in(state.restart.text) if state.restart else None
    words = [f"The job {_WHAT[kind]}"]
    words += [f"at step {where}"] if where else []
    sentence = " ".join(words) + (f': "{quote(cause)}"' if cause else "; the event log gives no cause")
    restarted = f", restarted as {successor or 'another job'}" if state.restart else ""
    return Finding(
        kind=kind,
        severity=Severity.CRITICAL,
        reason=f"{sentence}{restarted}; {pays}.",
        step=state.done,
        evidence=pairs(
            ("cause", quote(cause, 2 * QUOTE) or "not in the event log"),
            ("steps done", where),
            ("restarted as", successor),
        ),
        notice=True,
    )


def _cause(state: FailureState, kind: str) -> str:
    first = (state.billing,) if kind == "billing" else ()
    return next((said.text for said in (*first, state.error, state.warning) if said and said.text), "")
