"""What should come back of a job's price, and what was seen to: derived from log and snapshots, stored nowhere else.

A refund is due after an early stop, a cancel, a failure and a restart. The service logs a `refund` entry after an early
stop and after a restart, in the log of the old job; for a cancel and a failure no entry is documented. An entry has no
field for an amount, which is known only where its message names exactly one.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from watcher.domain import billing, money
from watcher.domain.billing import Assumption, Ending, Figure, Meter, before_the_end
from watcher.domain.event_log import earliest, highest
from watcher.domain.observations import Event, Observation, Snapshot, Status, TrainRow
from watcher.domain.phrasing import QUOTE, quote

OVERDUE_AFTER = timedelta(hours=24)
"""Our patience, counted from the early stop or the restart: the service names none."""
TOLERANCE = 0.1
"""How far an amount may be from the expected one, as a share of it: the formula is not published."""
_REFUNDED = (Status.ERROR, Status.USER_ERROR, Status.CANCELLED)
_KEPT = 10
_CENT = Decimal("0.01")


class Cause(StrEnum):
    """Why something should come back."""

    EARLY_STOP = "early stop"
    RESTART = "restart"
    FAILURE = "failure"
    CANCEL = "cancel"


class State(StrEnum):
    """How what was seen stands to what was expected."""

    NONE = "nothing due"
    UNREAD = "log not read"
    EXPECTED = "not seen"
    OVERDUE = "overdue"
    SEEN = "seen, not compared"
    MATCHES = "as expected"
    DIFFERS = "not as expected"
    UNEXPECTED = "seen, none expected"


@dataclass(frozen=True, slots=True)
class Credit:
    """One refund entry of the log."""

    at: datetime
    message: str

    @property
    def dollars(self) -> Decimal | None:
        """What it names; None where it names no amount, or several."""
        return money.amount_in(self.message)


@dataclass(slots=True)
class Ledger:
    """A fold over a job's observations, whose order does not matter but for that of its snapshots.

    It holds the first ten refunds by time, what makes one due, and what an expectation is computed from. `halt_step` is
    where an early stop halted, exact; `done` the highest step seen. `price_nano` is the price while the job ran,
    `end_price_nano` that after its end, which a refund may have lowered.
    """

    credits: list[Credit] = field(default_factory=list)
    stopped_at: datetime | None = None
    restarted_at: datetime | None = None
    ended_at: datetime | None = None
    halt_step: int | None = None
    status: Status | None = None
    price_nano: int | None = None
    end_price_nano: int | None = None
    done: int | None = None
    planned: int | None = None

    def take(self, observation: Observation) -> None:
        """Fold one observation; of rows only those of training matter."""
        match observation:
            case TrainRow():
                self.done = highest(self.done, observation.step)
            case Event():
                self._take_event(observation)
            case Snapshot():
                self._take_snapshot(observation)
            case _:
                pass

    def _take_event(self, event: Event) -> None:
        self.planned = self.planned or event.total_steps or None
        if event.type == "refund":
            credit = Credit(event.at, quote(event.message, 2 * QUOTE))
            if credit not in self.credits:
                self.credits = sorted([*self.credits, credit], key=lambda c: (c.at, c.message))[:_KEPT]
        elif event.type == "early_stopped":
            self.stopped_at = earliest(self.stopped_at, event.at)
            self.halt_step = highest(self.halt_step, event.step)
        elif event.type == "job_restarted":
            self.restarted_at = earliest(self.restarted_at, event.at)

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        self.status = snapshot.status
        self.done = highest(self.done, snapshot.steps_completed)
        self.planned = snapshot.total_steps or self.planned
        if before_the_end(snapshot):
            self.price_nano = snapshot.total_price_nano or self.price_nano
            self.ended_at = None
        else:
            self.end_price_nano = snapshot.total_price_nano or self.end_price_nano
        if snapshot.status.terminal:
            self.ended_at = self.ended_at or snapshot.at
        if snapshot.early_stopped:
            self.stopped_at = earliest(self.stopped_at, snapshot.at)

    @property
    def meter(self) -> Meter:
        """What the bill is computed from."""
        return Meter(
            status=self.status or Status.UNRECOGNISED,
            price_nano=self.price_nano or self.end_price_nano,
            done=self.halt_step or self.done,
            planned=self.planned,
            early_stopped=self.stopped_at is not None,
            restarted=self.restarted_at is not None,
            priced_late=self.price_nano is None,
        )

    @property
    def at_rest(self) -> bool:
        """Whether nothing was credited and nothing happened for which something should be: most jobs, at all times."""
        ended = self.status in _REFUNDED or self.stopped_at is not None or self.restarted_at is not None
        return not ended and not self.credits

    @property
    def lowered(self) -> Decimal | None:
        """By how much the API lowered the price after the end, which it is not known to do; None when it did not."""
        before, after = money.dollars(self.price_nano), money.dollars(self.end_price_nano)
        return before - after if before is not None and after is not None and after < before else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One job's refund: why and since when it is due, how much, and what was seen of it.

    `seen` is the sum of the amounts that could be read, None where an entry named none. `expected` is nothing where
    nothing is due. Several causes are one claim: a restart after an early stop gives all back once. `logged` says that
    the API documents an entry of the log for it: only then can one be overdue.
    """

    cause: Cause | None
    since: datetime | None
    expected: Figure
    credits: tuple[Credit, ...]
    seen: Decimal | None
    lowered: Decimal | None
    logged: bool
    state: State


def claim(
    ledger: Ledger,
    now: datetime,
    *,
    overdue_after: timedelta = OVERDUE_AFTER,
    tolerance: float = TOLERANCE,
    read: bool = True,
) -> Claim:
    """How a job's refund stands; `read` is false where its log was never looked at, so that nothing can be missing."""
    cause, expected, seen = _cause(ledger.meter), billing.bill(ledger.meter).refund, _total(ledger)
    since = {Cause.EARLY_STOP: ledger.stopped_at, Cause.RESTART: ledger.restarted_at}.get(cause) if cause else None
    since = since or (ledger.ended_at if cause else None)
    due = cause is not None and expected != billing.NOTHING
    if not ledger.credits:
        state = _unseen(ledger, now, overdue_after, read=read) if due else State.NONE
    elif not due:
        state = State.UNEXPECTED
    else:
        state = _compared(ledger, expected, seen, tolerance)
    return Claim(
        cause=cause if due else None,
        since=since if due else None,
        expected=expected,
        credits=tuple(ledger.credits),
        seen=seen if ledger.credits else None,
        lowered=ledger.lowered,
        logged=due and awaited_since(ledger) is not None,
        state=state,
    )


def awaited_since(ledger: Ledger) -> tuple[Cause, datetime] | None:
    """The first thing after which the API documents an entry of the log, and when it was; None where there is none."""
    found = {Cause.EARLY_STOP: ledger.stopped_at, Cause.RESTART: ledger.restarted_at}
    return min(((cause, at) for cause, at in found.items() if at is not None), key=lambda pair: pair[1], default=None)


def _unseen(ledger: Ledger, now: datetime, overdue_after: timedelta, *, read: bool) -> State:
    since = awaited_since(ledger)
    if not read:
        return State.UNREAD
    return State.OVERDUE if since is not None and now - since[1] >= overdue_after else State.EXPECTED


def _cause(meter: Meter) -> Cause | None:
    match meter.ending:
        case Ending.FAILED:
            return Cause.RESTART if meter.restarted else Cause.FAILURE
        case Ending.STOPPED_EARLY:
            return Cause.EARLY_STOP
        case Ending.CANCELLED:
            return Cause.EARLY_STOP if meter.early_stopped else Cause.CANCEL
        case _:
            return None


def _total(ledger: Ledger) -> Decimal | None:
    known = [credit.dollars for credit in ledger.credits if credit.dollars is not None]
    return sum(known, Decimal(0)) if len(known) == len(ledger.credits) else None


def _compared(ledger: Ledger, expected: Figure, seen: Decimal | None, tolerance: float) -> State:
    """Told to differ only of a job that has ended, and where the amount fits none of what is not documented."""
    settled = ledger.status is not None and ledger.status.terminal
    if seen is None or expected.dollars is None or not settled:
        return State.SEEN
    fits = (abs(seen - amount) <= max(_CENT, amount * Decimal(str(tolerance))) for amount in _fitting(ledger, expected))
    return State.MATCHES if any(fits) else State.DIFFERS


def _fitting(ledger: Ledger, expected: Figure) -> list[Decimal]:
    """The amount expected; were the minimum charge kept; were the price lowered before it was seen."""
    price, meter, amount = money.dollars(ledger.meter.price_nano), ledger.meter, expected.dollars or Decimal(0)
    found = [amount]
    if price is not None and Assumption.MINIMUM in expected.assumes:
        found.append(max(Decimal(0), price - money.MINIMUM_CHARGE))
    lowered_before = Assumption.PRICE_KEPT in expected.assumes and meter.ending is not Ending.FAILED
    if price is not None and lowered_before and meter.done and meter.steps_left:
        found.append(price * meter.steps_left / meter.done)
    return found
