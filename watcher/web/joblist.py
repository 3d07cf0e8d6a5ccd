"""What the page of all jobs shows: the state of the watched in one look, and a row for each job."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from watcher.domain import billing
from watcher.domain.alerts import Alert, AlertState
from watcher.domain.billing import Bill, Figure
from watcher.domain.money import show
from watcher.domain.moneywords import amount, resting_on
from watcher.domain.phrasing import span, steps
from watcher.service.book import meter_of
from watcher.service.ports import Reads
from watcher.service.records import Ack, AlertQuery, JobKey, JobRecord
from watcher.service.shown import shown_of, time_left
from watcher.service.status import alert_view, job_view, status_view
from watcher.web.proposals import open_proposals
from watcher.web.show import ago, from_blocks, job_href, percent

MOST_JOBS, MOST_ALERTS = 500, 8
"""More are counted, not listed; all alerts have a page of their own."""
MANY = 100_000
_WORST_FIRST = ("broken", "diverging", "overfitting", "flat", "unknown", "converging", "waiting", "done")

Json = dict[str, Any]


def overview(reads: Reads, now: datetime) -> Json:
    """Everything that the page of all jobs prints."""
    records, acks = reads.jobs(), reads.acks()
    firing = reads.alerts(AlertQuery(firing_only=True, limit=MANY))
    urgent = sorted((a for a in firing if not a.notice), key=lambda a: a.severity.rank, reverse=True)
    by_job: dict[JobKey, list[Alert]] = {}
    for alert in urgent:
        by_job.setdefault(JobKey(alert.subject.account, alert.subject.job_id), []).append(alert)
    ordered = sorted(records, key=lambda record: _rank(record, by_job.get(record.key, [])))
    labels = {record.key: label(record) for record in records}
    return {
        "status": status_view(reads, now),
        "money": _running_costs(records),
        "proposals": open_proposals(reads, now, labels),
        "firing": [alert_row(alert, now, acks, labels) for alert in urgent[:MOST_ALERTS]],
        "more_firing": max(0, len(urgent) - MOST_ALERTS),
        "jobs": [job_row(record, by_job.get(record.key, []), now) for record in ordered[:MOST_JOBS]],
        "more_jobs": max(0, len(records) - MOST_JOBS),
        "counts": {
            "all": min(len(records), MOST_JOBS),
            "open": sum(not record.snapshot.status.terminal for record in ordered[:MOST_JOBS]),
            "firing": sum(record.key in by_job for record in ordered[:MOST_JOBS]),
        },
    }


def _rank(record: JobRecord, firing: Sequence[Alert]) -> tuple[bool, int]:
    """Jobs that still cost money first, the worst of them on top; newest first among equals, as they come."""
    return record.snapshot.status.terminal, -max((alert.severity.rank + 1 for alert in firing), default=0)


def label(record: JobRecord) -> str:
    """What people call the job."""
    return record.snapshot.suffix or record.key.job_id


def job_row(record: JobRecord, firing: Iterable[Alert], now: datetime) -> Json:
    """What the list shows of a job, and its page above the fold."""
    job, view = record.snapshot, job_view(record, firing)
    shown = shown_of(record)
    left, bill = time_left(record, shown, now), billing.bill(meter_of(record, shown))
    return view | {
        "key": f"{record.key.account}/{record.key.job_id}",
        "label": label(record),
        "href": job_href(record.key.account, record.key.job_id),
        "percent": percent(view["progress"]),
        "steps": steps(view["step"], job.total_steps),
        "spark": from_blocks(view["sparkline"]),
        "left": f"about {span(left)}" if left is not None and left > timedelta(0) else "",
        "left_seconds": None if left is None else round(left.total_seconds()),
        "money": money_cell(bill),
        "moment": record.ended_at or job.created_at or record.first_seen_at,
        "over": job.status.terminal,
        "rank": _WORST_FIRST.index(record.health) if record.health in _WORST_FIRST else len(_WORST_FIRST),
    }


def money_cell(bill: Bill) -> Json:
    """Spent in dollars, of how much, and what the first rests on; empty where nothing is known of it."""
    known = bill.spent.dollars is not None and bill.price.dollars is not None
    price = "" if bill.price.dollars is None else show(bill.price.dollars)
    same = bill.spent.dollars == bill.price.dollars
    return {
        "spent": amount(bill.spent) if known else "",
        "of": "" if same else f"of {price}" if known else price,
        "why": resting_on(bill.spent).lstrip(", ") if known else "",
        "sort": bill.price.dollars if bill.spent.dollars is None else bill.spent.dollars,
    }


def _running_costs(records: Iterable[JobRecord]) -> Json:
    """What all jobs that run cost so far and an hour; None where nothing of it is known."""
    bills = [billing.bill(meter_of(r, shown_of(r))) for r in records if not r.snapshot.status.terminal and not r.gone]
    return {"spent": _sum(bill.spent for bill in bills), "hourly": _sum(bill.hourly for bill in bills)}


def _sum(figures: Iterable[Figure]) -> str | None:
    total = billing.total(figures).sum
    return amount(total) if total.dollars not in (None, Decimal(0)) else None


def alert_row(alert: Alert, now: datetime, acks: Mapping[str, Ack], labels: Mapping[JobKey, str] | None = None) -> Json:
    """An alert as every list shows it."""
    subject = alert.subject
    key, ack = JobKey(subject.account, subject.job_id), acks.get(alert.id)
    return alert_view(alert, ack) | {
        "about": (labels or {}).get(key, subject.name),
        "href": job_href(subject.account, subject.job_id) if subject.job_id else "",
        "about_account": bool(subject.account) and not subject.job_id,
        "firing": alert.state is AlertState.FIRING,
        "matchers": f"rule={alert.rule} "
        + (f"job={subject.job_id}" if subject.job_id else f"account={subject.account}"),
        "began": alert.starts_at,
        "ended": alert.ends_at,
        "acknowledged_to": ack.until if ack else None,
        "until_ago": ago(alert.ends_at, now),
        "evidence": alert.evidence,
    }
