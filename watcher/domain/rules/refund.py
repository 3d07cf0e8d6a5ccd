"""`refund`: a refund was credited, is overdue, or is not what it should be."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from watcher.domain import money
from watcher.domain.event_log import earliest, highest
from watcher.domain.observations import Event, Observation, Snapshot, Status, TrainRow
from watcher.domain.phrasing import QUOTE, clock, pairs, quote, span
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict

_REFUNDS = 10
_FAILED = (Status.ERROR, Status.USER_ERROR)
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Credit:
    """One refund entry of the log."""

    at: datetime
    message: str


@dataclass(slots=True)
class RefundState:
    """The first ten refunds by time, what makes one due, and what an expectation is computed from.

    `halt_step` is where an early stop halted, exact; `done` the highest step seen. `price_nano` is the highest price
    seen, since it is not known whether the API lowers it after a refund.
    """

    credits: list[Credit] = field(default_factory=list)
    stopped_at: datetime | None = None
    restarted_at: datetime | None = None
    halt_step: int | None = None
    status: Status | None = None
    price_nano: int | None = None
    done: int | None = None
    planned: int | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Kinds `seen` (`seen:2`, … for further ones), `overdue` and `mismatch`.

    The service credits unused steps after an early stop, and all of a job that failed or was restarted, and logs a
    `refund` entry. That entry has no amount field: an amount is known only where the message names exactly one.

    `overdue_after` counts from the early stop or the restart. `tolerance` is how far an amount may be from what the
    steps suggest, as a share of it: the formula is not published.
    """

    name: str = "refund"
    overdue_after: timedelta = timedelta(hours=24)
    tolerance: float = 0.1

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, Event)
    timed: ClassVar[bool] = True

    def start(self) -> RefundState:
        return RefundState()

    def observe(self, state: RefundState, observation: Observation) -> None:
        match observation:
            case TrainRow():
                state.done = highest(state.done, observation.step)
            case Event():
                _take_event(state, observation)
            case Snapshot():
                _take_snapshot(state, observation)
            case _:
                pass

    def judge(self, state: RefundState, now: datetime) -> Verdict:
        if not state.credits:
            overdue = self._overdue(state, now)
            return Breach((overdue,)) if overdue else CLEAR
        findings = [_seen(state, index) for index in range(len(state.credits))]
        mismatch = self._mismatch(state)
        return Breach((*findings, mismatch) if mismatch else tuple(findings))

    def _overdue(self, state: RefundState, now: datetime) -> Finding | None:
        since = earliest(state.stopped_at, state.restarted_at)
        if since is None or now - since < self.overdue_after or _nothing_unused(state):
            return None
        cause = "an early stop" if since == state.stopped_at else "a restart"
        expected = _expected(state)
        return Finding(
            kind="overdue",
            severity=Severity.WARNING,
            reason=f"No refund was logged in the {span(now - since)} since {cause}, {clock(since)}.",
            step=state.halt_step or state.done,
            evidence=pairs(
                ("since", f"{cause}, {clock(since)}"),
                ("expected", f"about {money.show(expected)}, {money.BY_STEPS}" if expected is not None else "unknown"),
                ("price", money.price_as_given(state.price_nano)),
            ),
        )

    def _mismatch(self, state: RefundState) -> Finding | None:
        expected, total = _expected(state), _total(state)
        if expected is None or total is None or not _settled(state):
            return None
        fits = (expected, _expected_with_minimum(state, expected))
        allowed = max(_CENT, expected * Decimal(str(self.tolerance)))
        if any(abs(total - amount) <= allowed for amount in fits):
            return None
        return Finding(
            kind="mismatch",
            severity=Severity.WARNING,
            reason=(
                f"The refund of {money.show(total)} is not the {money.show(expected)} that "
                f"{_share(state)} suggest{'' if _full(state) else ', ' + money.BY_STEPS}."
            ),
            step=state.halt_step or state.done,
            evidence=pairs(
                ("refunded", money.show(total)),
                ("expected", money.show(expected)),
                ("price", money.price_as_given(state.price_nano)),
                ("assumed", "the price was not lowered by the refund; the formula is not published"),
            ),
            notice=True,
        )


def _take_event(state: RefundState, event: Event) -> None:
    state.planned = state.planned or event.total_steps or None
    if event.type == "refund":
        credit = Credit(event.at, quote(event.message, 2 * QUOTE))
        if credit not in state.credits:
            state.credits = sorted([*state.credits, credit], key=lambda c: (c.at, c.message))[:_REFUNDS]
    elif event.type == "early_stopped":
        state.stopped_at = earliest(state.stopped_at, event.at)
        state.halt_step = highest(state.halt_step, event.step)
    elif event.type == "job_restarted":
        state.restarted_at = earliest(state.restarted_at, event.at)


def _take_snapshot(state: RefundState, snapshot: Snapshot) -> None:
    state.status = snapshot.status
    state.price_nano = highest(state.price_nano, snapshot.total_price_nano)
    state.done = highest(state.done, snapshot.steps_completed)
    state.planned = snapshot.total_steps or state.planned
    if snapshot.early_stopped:
        state.stopped_at = earliest(state.stopped_at, snapshot.at)


def _full(state: RefundState) -> bool:
    return state.status in _FAILED or state.restarted_at is not None


def _settled(state: RefundState) -> bool:
    return state.status is not None and state.status.terminal


def _steps_done(state: RefundState) -> int | None:
    return state.halt_step or state.done


def _nothing_unused(state: RefundState) -> bool:
    """Whether an early stop came with the last step: nothing is to be given back then."""
    done = _steps_done(state)
    return not _full(state) and done is not None and state.planned is not None and done >= state.planned


def _expected(state: RefundState) -> Decimal | None:
    """Dollars that the rules of billing suggest; None where a refund is not foreseen or can't be computed."""
    price = money.dollars(state.price_nano)
    if _full(state):
        return price
    if state.stopped_at is None and state.status is not Status.CANCELLED:
        return None
    return money.unused(price, _steps_done(state), state.planned)


def _expected_with_minimum(state: RefundState, expected: Decimal) -> Decimal:
    """The same, were the minimum charge kept: whether it is for a job that ended early is not documented."""
    price = money.dollars(state.price_nano)
    if _full(state) or price is None:
        return expected
    return max(Decimal(0), price - max(price - expected, money.MINIMUM_CHARGE))


def _total(state: RefundState) -> Decimal | None:
    amounts = [money.amount_in(credit.message) for credit in state.credits]
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None


def _share(state: RefundState) -> str:
    if _full(state):
        return "the billing rules for a failed job"
    unused = (state.planned or 0) - (_steps_done(state) or 0)
    return f"{unused} unused of {state.planned} steps"


def _seen(state: RefundState, index: int) -> Finding:
    credit, expected = state.credits[index], _expected(state)
    amount = money.amount_in(credit.message)
    shown = money.show(amount) if amount is not None else "amount unknown"
    said = f': "{quote(credit.message)}"' if credit.message else ""
    return Finding(
        kind=f"seen:{index + 1}" if index else "seen",
        severity=Severity.INFO,
        reason=f"A refund was logged on {clock(credit.at)} ({shown}){said}.",
        step=_steps_done(state),
        evidence=pairs(
            ("amount", shown),
            ("expected", f"about {money.show(expected)}, {money.BY_STEPS}" if expected is not None else None),
            ("price", money.price_as_given(state.price_nano)),
        ),
        notice=True,
    )
