"""`refund`: a refund was credited, is overdue, or is not what it should be."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain import money, moneywords, refunds
from watcher.domain.billing import Ending
from watcher.domain.observations import Event, Observation, Snapshot, TrainRow
from watcher.domain.phrasing import clock, pairs, quote, span
from watcher.domain.refunds import Cause, Claim, Ledger, State
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict

_A = {Cause.EARLY_STOP: "an early stop", Cause.RESTART: "a restart"}


@dataclass(frozen=True, slots=True)
class Refund:
    """Kinds `seen` (`seen:2`, … for further ones), `overdue` and `mismatch`.

    The service credits unused steps after an early stop, and all of a job that failed or was restarted, and logs a
    `refund` entry. That entry has no amount field: an amount is known only where the message names exactly one.

    `overdue_after` counts from the early stop or the restart. `tolerance` is how far an amount may be from what the
    steps suggest, as a share of it: the formula is not published.
    """

    name: str = "refund"
    overdue_after: timedelta = refunds.OVERDUE_AFTER
    tolerance: float = refunds.TOLERANCE

    version: ClassVar[int] = 2
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, Event)
    timed: ClassVar[bool] = True

    def start(self) -> Ledger:
        return Ledger()

    def observe(self, state: Ledger, observation: Observation) -> None:
        state.take(observation)

    def judge(self, state: Ledger, now: datetime) -> Verdict:
        if state.at_rest:
            return CLEAR
        found = refunds.claim(state, now, overdue_after=self.overdue_after, tolerance=self.tolerance)
        step = state.meter.done
        findings = [_seen(found, index, step) for index in range(len(found.credits))]
        if found.state is State.OVERDUE:
            findings.append(_overdue(state, found, now))
        if found.state is State.DIFFERS:
            findings.append(_mismatch(state, found))
        return Breach(tuple(findings)) if findings else CLEAR


def _overdue(state: Ledger, found: Claim, now: datetime) -> Finding:
    cause, since = refunds.awaited_since(state) or (Cause.EARLY_STOP, now)
    return Finding(
        kind="overdue",
        severity=Severity.WARNING,
        reason=f"No refund was logged in the {span(now - since)} since {_A[cause]}, {clock(since)}.",
        step=state.meter.done,
        evidence=pairs(("since", f"{_A[cause]}, {clock(since)}"), ("expected", moneywords.told(found.expected))),
    )


def _mismatch(state: Ledger, found: Claim) -> Finding:
    return Finding(
        kind="mismatch",
        severity=Severity.WARNING,
        reason=(
            f"The refund of {money.show(found.seen)} is not the {money.show(found.expected.dollars)} that "
            f"{_suggesting(state)} suggest{moneywords.resting_on(found.expected)}."
        ),
        step=state.meter.done,
        evidence=pairs(("refunded", money.show(found.seen)), ("expected", moneywords.told(found.expected))),
        notice=True,
    )


def _suggesting(state: Ledger) -> str:
    if state.meter.ending is Ending.FAILED:
        return "the billing rules for a failed job"
    return f"{state.meter.steps_left} unused of {state.planned} steps"


def _seen(found: Claim, index: int, step: int | None) -> Finding:
    credit = found.credits[index]
    shown = money.show(credit.dollars) if credit.dollars is not None else "amount unknown"
    said = f': "{quote(credit.message)}"' if credit.message else ""
    expected = moneywords.told(found.expected) if found.cause is not None else "none"
    return Finding(
        kind=f"seen:{index + 1}" if index else "seen",
        severity=Severity.INFO,
        reason=f"A refund was logged on {clock(credit.at)} ({shown}){said}.",
        step=step,
        evidence=pairs(("amount", shown), ("expected", expected)),
        notice=True,
    )
