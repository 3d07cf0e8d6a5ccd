"""What a job costs by Together's rules of billing: each figure is known or not, with the assumptions it rests on.

The one place that turns price, steps and status into money; whoever shows money asks here. The documented rules:

| end | what is paid |
|---|---|
| completed | the full price |
| stopped early, or cancelled by whomever | the completed steps; the rest is given back |
| error, user error, restarted after an internal error | nothing, completed steps too |

So cancelling a job that would fail anyway costs what a failure would have returned. What the API does not say is
unknown here, never a guess; where a figure rests on something that it does not say, the figure names that.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum

from watcher.domain import money
from watcher.domain.observations import Snapshot, Status, finite

_NOBODY_SAYS = "deleted before its end was seen"
_HOUR = Decimal(3600)
_SHORTEST_STEP = 1e-9
"""Seconds: rows are logged in nanoseconds, so nothing faster is a pace."""
_OVER = (Status.COMPRESSING, Status.UPLOADING)
_FAILED = (Status.ERROR, Status.USER_ERROR)


class Assumption(StrEnum):
    """What a figure may rest on that the API does not say; the words follow an "if"."""

    BY_STEPS = "every step costs the same"
    MINIMUM = "the $4.00 minimum does not apply to jobs that end early"
    PRICE_KEPT = "total_price is not lowered after a refund"
    NOT_STARTED = "a job that has not started costs nothing"

    @property
    def words(self) -> str:
        """To be put after a figure."""
        return f"if {self.value}"


@dataclass(frozen=True, slots=True)
class Figure:
    """Dollars, exact to the nano-dollar, or None and then `missing` says what is not known."""

    dollars: Decimal | None
    assumes: tuple[Assumption, ...] = ()
    missing: str = ""


NOTHING = Figure(Decimal(0))


class Ending(StrEnum):
    """The ways to end that are billed differently."""

    COMPLETED = "completed"
    STOPPED_EARLY = "stopped early"
    CANCELLED = "cancelled"
    FAILED = "failed"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What a bill is computed from: a job as far as anybody knows it.

    `price_nano` is in nano-dollars, of the whole job, as the API gave it while the job ran; `priced_late` says that it
    was only seen after the end, when a refund may have lowered it. `done` and `planned` are steps, `seconds_per_step`
    the pace of the newest rows. `gone` says that the API knows the job no more, `restarted` that the service began it
    anew under another id.
    """

    status: Status = Status.UNRECOGNISED
    price_nano: int | None = None
    done: int | None = None
    planned: int | None = None
    seconds_per_step: float | None = None
    early_stopped: bool = False
    restarted: bool = False
    gone: bool = False
    priced_late: bool = False

    @property
    def ending(self) -> Ending | None:
        """How it ended, or has begun to: an early stop counts from the halt on. None while it goes on."""
        if self.status in _FAILED or self.restarted:
            return Ending.FAILED
        if self.status is Status.CANCELLED:
            return Ending.CANCELLED
        if self.early_stopped:
            return Ending.STOPPED_EARLY
        if self.status is Status.COMPLETED:
            return Ending.COMPLETED
        return Ending.DELETED if self.gone else None

    @property
    def steps_left(self) -> int | None:
        """Planned steps that were not run (yet); None where plan or steps are not known."""
        if self.done is None or not self.planned or self.planned < 0:
            return None
        return max(0, self.planned - max(0, self.done))


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """The figures of one job. `spent` is what stays billed: so far, or for good once it ended.

    `hourly` is what an hour costs now, `at_stake` what the remaining steps cost, `saved` what an early stop or a cancel
    left unspent, `refund` what should come back. `steps_saved` counts the steps that `saved` is for.
    """

    price: Figure
    spent: Figure
    hourly: Figure = NOTHING
    at_stake: Figure = NOTHING
    saved: Figure = NOTHING
    refund: Figure = NOTHING
    steps_saved: int | None = 0


def before_the_end(snapshot: Snapshot) -> bool:
    """Whether its price is that of the whole job: no refund can have lowered it yet."""
    return not (snapshot.status.terminal or snapshot.early_stopped)


def bill(meter: Meter) -> Bill:
    """All figures of a job as it stands."""
    match meter.ending:
        case None:
            return _going_on(meter)
        case Ending.COMPLETED:
            return Bill(price=_price(meter), spent=_price(meter))
        case Ending.STOPPED_EARLY | Ending.CANCELLED:
            return _ended_early(meter)
        case Ending.FAILED:
            return Bill(price=_price(meter), spent=NOTHING, refund=_after_refund(_price(meter), meter))
        case Ending.DELETED:
            unknown = Figure(None, missing=_NOBODY_SAYS)
            return Bill(price=_price(meter), spent=unknown, saved=unknown, refund=unknown, steps_saved=None)


def if_cancelled(meter: Meter) -> Bill:
    """The bill, were the job cancelled now."""
    waiting = meter.status.waiting and not meter.done
    found = bill(replace(meter, status=Status.CANCELLED, early_stopped=False, done=0 if waiting else meter.done))
    if not waiting:
        return found
    back = _assuming(_price(meter), Assumption.NOT_STARTED)
    return replace(found, spent=_assuming(NOTHING, Assumption.NOT_STARTED), saved=back, refund=back)


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of the figures that are known, with all that it rests on, and how many are unknown."""

    sum: Figure
    unknown: int


def total(figures: Iterable[Figure]) -> Total:
    """Add up what is known; what is not is counted, never taken for nothing."""
    found = list(figures)
    known = [(figure.dollars, figure.assumes) for figure in found if figure.dollars is not None]
    assumes = tuple(a for a in Assumption if any(a in assumed for _, assumed in known))
    return Total(Figure(sum((dollars for dollars, _ in known), Decimal(0)), assumes), len(found) - len(known))


def _going_on(meter: Meter) -> Bill:
    price = _price(meter)
    if meter.status.waiting and not meter.done:
        return Bill(price=price, spent=_assuming(NOTHING, Assumption.NOT_STARTED), at_stake=price)
    if meter.status in _OVER:
        return Bill(price=price, spent=_for_steps(meter))
    return Bill(price=price, spent=_for_steps(meter), hourly=_hourly(meter), at_stake=_rest(meter))


def _ended_early(meter: Meter) -> Bill:
    spent, saved = _after_refund(_for_steps(meter), meter), _after_refund(_rest(meter), meter)
    if spent.dollars is not None and spent.dollars < money.MINIMUM_CHARGE and saved != NOTHING:
        # More than the minimum is paid anyway; whether less may be is not documented.
        spent, saved = (_assuming(figure, Assumption.MINIMUM) for figure in (spent, saved))
    return Bill(price=_price(meter), spent=spent, saved=saved, refund=saved, steps_saved=meter.steps_left)


def _price(meter: Meter) -> Figure:
    price = money.dollars(meter.price_nano)
    return Figure(price, missing="" if price is not None else "price not known")


def _for_steps(meter: Meter) -> Figure:
    """What the steps done cost. None of them cost nothing, and all of them the price, without any assumption."""
    if meter.done is not None and meter.done <= 0:
        return NOTHING
    if meter.steps_left == 0:
        return _price(meter)
    return _by_steps(money.spent_so_far(money.dollars(meter.price_nano), meter.done, meter.planned), meter)


def _rest(meter: Meter) -> Figure:
    """What the steps that are not done cost."""
    if meter.steps_left == 0:
        return NOTHING
    if meter.done is not None and meter.done <= 0:
        return _price(meter)
    return _by_steps(money.unused(money.dollars(meter.price_nano), meter.done, meter.planned), meter)


def _hourly(meter: Meter) -> Figure:
    a_step = _by_steps(money.spent_so_far(money.dollars(meter.price_nano), 1, meter.planned), meter)
    pace, price = finite(meter.seconds_per_step), money.dollars(meter.price_nano)
    if a_step.dollars is None or price is None or not meter.planned:
        return a_step
    if pace is None or pace < _SHORTEST_STEP:
        return Figure(None, missing="pace not known")
    return replace(a_step, dollars=price * _HOUR / meter.planned / Decimal(pace))


def _by_steps(amount: Decimal | None, meter: Meter) -> Figure:
    if amount is not None:
        return Figure(amount, (Assumption.BY_STEPS,))
    if _price(meter).dollars is None:
        return _price(meter)
    return Figure(None, missing="plan not known" if not meter.planned or meter.planned < 0 else "steps not known")


def _after_refund(figure: Figure, meter: Meter) -> Figure:
    return _assuming(figure, Assumption.PRICE_KEPT) if meter.priced_late and figure != NOTHING else figure


def _assuming(figure: Figure, more: Assumption) -> Figure:
    return figure if figure.dollars is None else replace(figure, assumes=(*figure.assumes, more))
