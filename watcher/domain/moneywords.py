"""Money in words, the same in messages, listings and pages: no figure without what it rests on."""

from collections.abc import Iterable
from decimal import Decimal

from watcher.domain import billing
from watcher.domain.billing import Assumption, Bill, Ending, Figure, Meter, Total
from watcher.domain.money import as_given, show
from watcher.domain.observations import Status

FREE = "had it failed by itself, nothing would be billed"
"""What a cancel costs beside waiting for a failure."""
FULL_REFUND = "a failed job is refunded in full, completed steps too"
STEPS_BILLED = "completed steps stay billed"

_CANCELLABLE = (Status.PENDING, Status.QUEUED, Status.RUNNING, Status.CANCEL_REQUESTED)

Rows = tuple[tuple[str, str], ...]


def amount(figure: Figure) -> str:
    """`$9.84`, `about $5.90` where it rests on an assumption, or `unknown (plan not known)`."""
    if figure.dollars is None:
        return f"unknown ({figure.missing})" if figure.missing else "unknown"
    return f"about {show(figure.dollars)}" if figure.assumes else show(figure.dollars)


def resting_on(*figures: Figure) -> str:
    """`, if every step costs the same`: what known figures rest on, to be put after them; or nothing."""
    assumed = {a for figure in figures if figure.dollars is not None for a in figure.assumes}
    return conditions(assumed, before=", ")


def conditions(assumed: Iterable[Assumption], *, before: str = "") -> str:
    """`if … and if …`, in a fixed order; nothing where nothing is assumed."""
    found = set(assumed)
    words = " and ".join(assumption.words for assumption in Assumption if assumption in found)
    return f"{before}{words}" if words else ""


def told(figure: Figure) -> str:
    """A figure with what it rests on."""
    return amount(figure) + resting_on(figure)


def added(total: Total) -> str:
    """A sum with what it rests on, and of how many jobs the amount is unknown: `about $7.38, if …; 2 unknown`."""
    known = told(total.sum) if total.sum != billing.NOTHING else ""
    unknown = f"{total.unknown} unknown in dollars" if total.unknown else ""
    return "; ".join(part for part in (known, unknown) if part)


def rows(meter: Meter, *, over: bool = False, cancels: bool = False) -> Rows:
    """(label, value) pairs for a message about a job.

    Args:
        meter: The job.
        over: What the message is about holds no more, so nothing is asked of its reader.
        cancels: The job may be, or was, cancelled for it: what that costs beside waiting is told too.
    """
    bill = billing.bill(meter)
    if meter.ending is not None:
        return _ended(meter, bill, cancels=cancels)
    cancel = (("if cancelled", if_cancelled(meter)),) if meter.status in _CANCELLABLE and cancels and not over else ()
    if meter.done is None:
        return (("price", as_given(bill.price.dollars)), *cancel)
    stake = (("at stake", at_stake(bill)),) if meter.status is Status.RUNNING and not over else ()
    return (*stake, ("spent so far", spent_so_far(bill)), *cancel)


def at_stake(bill: Bill) -> str:
    """What the steps left cost, and an hour: `about $27.70 for the steps left, about $10.41 an hour, if …`."""
    if bill.at_stake.dollars is None:
        return amount(bill.at_stake)
    hour = amount(bill.hourly)
    an_hour = f"{hour} an hour" if bill.hourly.dollars is not None else f"what an hour costs is {hour}"
    return f"{amount(bill.at_stake)} for the steps left, {an_hour}{resting_on(bill.at_stake, bill.hourly)}"


def spent_so_far(bill: Bill) -> str:
    """`about $12.30 of $40.00, if every step costs the same`."""
    if bill.spent.dollars is None or bill.price.dollars is None:
        return told(bill.spent)
    return f"{amount(bill.spent)} of {show(bill.price.dollars)}{resting_on(bill.spent)}"


def if_cancelled(meter: Meter) -> str:
    """What a cancel would keep and save now, and that a failure would keep nothing."""
    bill = billing.if_cancelled(meter)
    if bill.spent.dollars is None:
        return f"{STEPS_BILLED}, how much is {amount(bill.spent)}; {FREE}"
    if bill.spent.dollars == 0:
        return f"nothing stays billed{resting_on(bill.spent)}"
    resting = resting_on(bill.spent, bill.saved)
    return f"{amount(bill.spent)} stays billed, {amount(bill.saved)} is saved{resting}; {FREE}"


def cancelled(meter: Meter) -> str:
    """A sentence on what a cancel that took effect saved: steps and dollars. Empty where neither is known."""
    bill = billing.bill(meter)
    if not bill.steps_saved:
        return ""
    worth = f", {told(bill.saved)}" if bill.saved.dollars is not None else ""
    return f"{bill.steps_saved} of {meter.planned} steps were not run{worth}."


def _ended(meter: Meter, bill: Bill, *, cancels: bool) -> Rows:
    match meter.ending:
        case Ending.COMPLETED:
            return (("price", as_given(bill.price.dollars)),)
        case Ending.FAILED:
            whole = ", the whole price" if bill.refund.dollars is not None else ""
            refund = f"{amount(bill.refund)}{whole}{resting_on(bill.refund)}"
            return (("billed", "nothing"), ("refund expected", refund))
        case Ending.DELETED:
            return (("price", as_given(bill.price.dollars)), ("billed", told(bill.spent)))
        case _:
            ours = cancels and meter.ending is Ending.CANCELLED
            kept = f"; {FREE}" if ours and bill.spent.dollars != Decimal(0) else ""
            return (("billed", f"{spent_so_far(bill)}{kept}"), *_saved(meter, bill))


def _saved(meter: Meter, bill: Bill) -> Rows:
    """What was not run; as far as is documented it comes back by itself."""
    if not bill.steps_saved:
        return (("saved", told(bill.saved)),) if bill.steps_saved is None else ()
    counted = f"{bill.steps_saved} of {meter.planned} steps"
    return (("saved", f"{counted}, {amount(bill.saved)} to be given back{resting_on(bill.saved)}"),)
