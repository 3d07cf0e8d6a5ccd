"""The read model of money: what jobs cost, what was saved and what should come back, as JSON values.

Dollars are decimal strings, exact to the nano-dollar; null is unknown, and `missing` says why. `assumes` are the words
of what a figure rests on that the API does not say. Nothing of it is stored: it is derived from a job's record, its log
and its cancels, all of which outlive retention.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from watcher.domain import billing, moneywords, refunds
from watcher.domain.billing import NOTHING, Bill, Ending, Figure, Meter
from watcher.domain.observations import Observation
from watcher.domain.refunds import Claim, Ledger, State
from watcher.service.book import meter_of
from watcher.service.errors import ConfigError
from watcher.service.ports import Reads
from watcher.service.records import MANUAL, JobKey, JobRecord, Proposal, ProposalState
from watcher.service.shown import shown_of
from watcher.service.status import Json, iso

WATCHER, HAND, EARLY_STOP, OTHERS = "watcher", "hand", "early_stop", "somebody_else"
SAVED_BY = (WATCHER, HAND, EARLY_STOP, OTHERS)
"""Who kept steps from being run: the watcher's own cancels, `watcher cancel`, an early stop, or a cancel elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _JobMoney:
    """One job's money, before it becomes JSON."""

    record: JobRecord
    meter: Meter
    bill: Bill
    claim: Claim
    saved_by: str | None


def money_view(reads: Reads, record: JobRecord, now: datetime) -> Json:
    """One job. `rows` is the same as people read it in messages."""
    return _view(_money(reads, record, now, reads.proposals(key=record.key, states=[ProposalState.CONFIRMED])))


def month_view(reads: Reads, now: datetime, *, month: datetime | None = None, account: str | None = None) -> Json:
    """The jobs of a calendar month in UTC, with totals: those that ended in it, and in the present one those that run.

    Raises:
        ConfigError: no job of that account is known.
    """
    begin = month or now
    records = reads.jobs(account)
    if account is not None and not records:
        known = ", ".join(sorted({r.key.account for r in reads.jobs()})) or "none yet"
        raise ConfigError(f"account {account!r} has no watched jobs; expected one of: {known}")
    cancels: dict[JobKey, list[Proposal]] = {}
    for proposal in reads.proposals(states=[ProposalState.CONFIRMED]):
        cancels.setdefault(proposal.key, []).append(proposal)
    found = [_money(reads, r, now, cancels.get(r.key, ())) for r in records if _in_month(r, begin, now)]
    return {
        "month": f"{begin:%Y-%m}",
        "account": account,
        "jobs": [_view(one) for one in found],
        "totals": _totals(found),
    }


def ledger_of(record: JobRecord, log: Iterable[Observation]) -> Ledger:
    """The refunds of a job from what is stored of it; of a job that ended long ago only its record is."""
    meter = meter_of(record, shown_of(record))
    ledger = Ledger()
    for observation in (*log, record.snapshot):
        ledger.take(observation)
    ledger.done = meter.done
    # Snapshots from before the end are forgotten some day; the price that they gave is kept with the job.
    ledger.price_nano = ledger.price_nano if meter.priced_late else meter.price_nano
    ledger.ended_at = record.ended_at
    return ledger


def _money(reads: Reads, record: JobRecord, now: datetime, cancels: Sequence[Proposal]) -> _JobMoney:
    ledger = ledger_of(record, reads.log(record.key))
    meter = replace(ledger.meter, seconds_per_step=shown_of(record).seconds_per_step, gone=record.gone)
    bill = billing.bill(meter)
    claim = refunds.claim(ledger, now, read=not record.silent)
    return _JobMoney(record=record, meter=meter, bill=bill, claim=claim, saved_by=_saved_by(meter, bill, cancels))


def _in_month(record: JobRecord, begin: datetime, now: datetime) -> bool:
    at = record.ended_at or now
    return (at.year, at.month) == (begin.year, begin.month)


def _saved_by(meter: Meter, bill: Bill, cancels: Sequence[Proposal]) -> str | None:
    if bill.saved == NOTHING or meter.ending not in (Ending.CANCELLED, Ending.STOPPED_EARLY):
        return None
    if meter.early_stopped:
        return EARLY_STOP
    if not cancels:
        return OTHERS
    return HAND if all(proposal.mode == MANUAL for proposal in cancels) else WATCHER


# --- JSON ---


def _view(one: _JobMoney) -> Json:
    job, bill, meter = one.record.snapshot, one.bill, one.meter
    return {
        "id": one.record.key.job_id,
        "account": one.record.key.account,
        "suffix": job.suffix,
        "status": job.raw_status,
        "ended_at": iso(one.record.ended_at),
        "step": meter.done,
        "total_steps": meter.planned,
        "price": figure_json(bill.price),
        "spent": figure_json(bill.spent),
        "hourly": figure_json(bill.hourly),
        "at_stake": figure_json(bill.at_stake),
        "saved": figure_json(bill.saved),
        "steps_saved": bill.steps_saved,
        "saved_by": one.saved_by,
        "if_cancelled": _if_cancelled(meter),
        "refund": _claim(one.claim),
        "rows": [list(row) for row in moneywords.rows(meter, cancels=one.saved_by in (None, WATCHER, HAND))],
    }


def _if_cancelled(meter: Meter) -> Json | None:
    """What a cancel would mean now; null once the job has ended."""
    if meter.ending is not None:
        return None
    bill = billing.if_cancelled(meter)
    return {"spent": figure_json(bill.spent), "saved": figure_json(bill.saved)}


def _claim(claim: Claim) -> Json:
    return {
        "cause": claim.cause.value if claim.cause else None,
        "since": iso(claim.since),
        "expected": figure_json(claim.expected),
        "seen": [{"at": iso(c.at), "dollars": _dollars(c.dollars), "message": c.message} for c in claim.credits],
        "seen_dollars": _dollars(claim.seen),
        "price_lowered": _dollars(claim.lowered),
        "entry_documented": claim.logged,
        "state": claim.state.value,
    }


def figure_json(figure: Figure) -> Json:
    """Dollars as a decimal string, null where not known, with what they rest on."""
    assumed = [assumption.words for assumption in figure.assumes]
    return {"dollars": _dollars(figure.dollars), "assumes": assumed, "missing": figure.missing or None}


def _dollars(amount: Decimal | None) -> str | None:
    """At least cents, and no zeros after them."""
    if amount is None:
        return None
    whole, _, part = f"{amount:.9f}".partition(".")
    return f"{whole}.{part.rstrip('0').ljust(2, '0')}"


def _totals(found: Sequence[_JobMoney]) -> Json:
    bills, claims = [one.bill for one in found], [one.claim for one in found]
    return {
        "jobs": len(found),
        "price": _total(bill.price for bill in bills),
        "spent": _total(bill.spent for bill in bills),
        "hourly": _total(bill.hourly for bill in bills),
        "at_stake": _total(bill.at_stake for bill in bills),
        "saved": {by: _saved([one.bill for one in found if one.saved_by == by]) for by in SAVED_BY},
        "refunds_expected": _total(claim.expected for claim in claims if claim.cause is not None),
        "refunds_seen": _total(Figure(claim.seen) for claim in claims if claim.credits),
        "refunds_overdue": sum(claim.state is State.OVERDUE for claim in claims),
    }


def _saved(bills: Sequence[Bill]) -> Json:
    counted = {"jobs": len(bills), "steps": sum(bill.steps_saved or 0 for bill in bills)}
    return counted | _total(bill.saved for bill in bills)


def _total(figures: Iterable[Figure]) -> Json:
    """`unknown` counts the jobs whose amount is not in the sum."""
    found = billing.total(figures)
    assumed = [assumption.words for assumption in found.sum.assumes]
    return {"dollars": _dollars(found.sum.dollars), "assumes": assumed, "unknown": found.unknown}
