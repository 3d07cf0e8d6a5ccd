"""What the page of one job shows: everything that is known of it."""

from datetime import datetime
from typing import Any

from watcher.domain.phrasing import clock, number
from watcher.domain.refunds import State
from watcher.service.checkpointview import checkpoint_view, going_on_view, stored_checkpoints, unplaced_in
from watcher.service.earlyview import Configured, early_stopping_view
from watcher.service.jobpage import event_view, events_of, rows_of
from watcher.service.money import money_view
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery, JobRecord
from watcher.web.alertlist import Scheme, told
from watcher.web.joblist import alert_row, job_row
from watcher.web.proposals import proposal_row
from watcher.web.show import job_href

MOST_ALERTS, MOST_EVENTS = 50, 200
"""More alerts are counted, not listed; of events the newest are shown."""
_FILES = {"curve": "curve.json", "drawing": "curve.svg"}

Json = dict[str, Any]


def whole_job(reads: Reads, record: JobRecord, now: datetime, early_stopping: Configured, scheme: Scheme) -> Json:
    """Everything that the page prints."""
    key = record.key
    seen = [o for _, o in reads.observations(key)]
    rows, log = rows_of(seen), events_of(seen)
    saved = stored_checkpoints(record, log, rows)
    alerts, acks = reads.alerts(AlertQuery(account=key.account, job_id=key.job_id)), reads.acks()
    return {
        "job": job_row(record, (), now)
        | {name: job_href(key.account, key.job_id, f"/{file}") for name, file in _FILES.items()},
        "version": record.last_seq,
        "has_rows": bool(rows),
        "alerts": [alert_row(a, now, acks) | {"told": told(reads, a, scheme)} for a in alerts[:MOST_ALERTS]],
        "more_alerts": max(0, len(alerts) - MOST_ALERTS),
        "proposals": [proposal_row(p, now) for p in reads.proposals(key=key)],
        "money": _money(money_view(reads, record, now)),
        "checkpoints": [checkpoint_view(c, key.job_id) | {"saved": c.created_at} for c in saved],
        "going_on": going_on_view(record, saved, rows, unplaced=unplaced_in(log)),
        "early": early_stopping_view(record.snapshot, rows, log, early_stopping.get(record.selection), now),
        "events": [event_view(event) | {"moment": event.at} for event in reversed(log[-MOST_EVENTS:])],
        "more_events": max(0, len(log) - MOST_EVENTS),
        "facts": [(label, value) for label, value in _facts(record) if value not in (None, "")],
    }


def _money(view: Json) -> Json:
    """The rows that messages have, and what is due to come back."""
    claim = view["refund"]
    return {"rows": view["rows"], "refund": None if claim["state"] == State.NONE.value else claim}


def _facts(record: JobRecord) -> list[tuple[str, Any]]:
    job = record.snapshot
    moments = (
        ("created", job.created_at),
        ("first seen", record.first_seen_at),
        ("ended", record.ended_at),
        ("last change seen", record.updated_at),
    )
    return [
        ("id", record.key.job_id),
        ("account", record.key.account),
        ("watched as", record.selection),
        ("model", job.model),
        ("output name", job.output_name),
        ("method", job.method),
        ("training type", job.training_type),
        ("epochs", job.n_epochs),
        ("batch size", job.batch_size),
        ("learning rate", None if job.learning_rate is None else number(job.learning_rate)),
        ("from checkpoint", job.from_checkpoint),
        ("restarted as", record.successor),
        *((label, None if moment is None else clock(moment)) for label, moment in moments),
        ("auto-cancel", "never: vetoed" if record.keep else None),
    ]
