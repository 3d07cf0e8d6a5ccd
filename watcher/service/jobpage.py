"""The read model of one job whole: its curves, time left, events, metrics and checkpoints, as JSON values.

Numbers that JSON does not know are "NaN", "Infinity" and "-Infinity". Text from the API is not escaped here.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from watcher.domain import codec, eta, feed
from watcher.domain.alerts import TransitionReason
from watcher.domain.curve import sparkline
from watcher.domain.event_log import OUR_CANCEL
from watcher.domain.observations import EvalRow, Event, Observation, Row, Status, TrainRow, finite
from watcher.service.checkpointview import checkpoint_view, going_on_view, stored_checkpoints, unplaced_in
from watcher.service.earlyview import Configured, early_stopping_view
from watcher.service.introduce import identities
from watcher.service.money import money_view
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery, JobRecord
from watcher.service.status import Json, iso, job_view, proposal_view

CURVE_WIDTH = 48
NEWEST = 10
"""Events that a page shows; `watcher events` has them all."""
_PACE_ROWS = 200
_EVERYTHING = 100_000
_SERIES = {"train_loss": "loss", "grad_norm": "grad_norm", "learning_rate": "lr"}
_TOLD = (TransitionReason.FIRST, TransitionReason.RESOLVED)


def page_view(
    reads: Reads,
    record: JobRecord,
    now: datetime,
    *,
    link: str = "",
    labels: Mapping[str, dict[str, str]] | None = None,
    early_stopping: Configured | None = None,
) -> Json:
    """One job with all that is known of it.

    `link` is the form of its page, `labels` those of each account, `early_stopping` what is configured of selections.
    """
    key = record.key
    alerts = reads.alerts(AlertQuery(account=key.account, job_id=key.job_id, limit=_EVERYTHING))
    seen = [o for _, o in reads.observations(key)]
    rows, log = rows_of(seen), events_of(seen)
    saved = stored_checkpoints(record, log, rows)
    view = job_view(record, alerts, reads.acks())
    for shown in view["alerts"]:
        shown["cancel"] = _cancel_words(reads, shown["id"])
    return view | {
        "labels": (labels or {}).get(key.account, {}),
        "project": identities(reads).get(key.account, {}).get("project"),
        "restarted_from": next((r.key.job_id for r in reads.jobs(key.account) if r.successor == key.job_id), None),
        "link": link.format(job_id=key.job_id) if link else None,
        "queue_depth": record.snapshot.queue_depth if record.snapshot.status.waiting else None,
        "eta": _time_left(record, rows, now),
        "curves": _curves(rows),
        "events": [event_view(e) for e in reversed(log[-NEWEST:])],
        "checkpoints": [checkpoint_view(c, key.job_id) for c in saved],
        "going_on": going_on_view(record, saved, rows, unplaced=unplaced_in(log)),
        "proposals": [proposal_view(p) for p in reads.proposals(key=key)],
        "money": money_view(reads, record, now),
        "early_stopping": early_stopping_view(
            record.snapshot, rows, log, (early_stopping or {}).get(record.selection), now
        ),
    }


def rows_of(seen: Iterable[Observation]) -> list[Row]:
    """The rows of the present attempt in their places: by step, train before eval."""
    return feed.step_order(feed.rows_of(seen))


def events_of(seen: Iterable[Observation]) -> list[Event]:
    """The event log, oldest first."""
    return sorted((o for o in seen if isinstance(o, Event)), key=lambda event: event.at)


# --- time left and curves ---


def _time_left(record: JobRecord, rows: Sequence[Row], now: datetime) -> Json:
    """Seconds to the last step at the job's own pace, and to the end of the present stage as the API estimates it."""
    job, training, stage = record.snapshot, None, None
    train = [row for row in rows if isinstance(row, TrainRow)][-_PACE_ROWS:]
    if job.status is Status.RUNNING and train and not record.gone:
        first, last = train[0], train[-1]
        training = eta.left_by_steps(
            first_step=first.step,
            first_ns=first.at_ns,
            last_step=last.step,
            last_ns=last.at_ns,
            planned=job.total_steps,
            now=now,
        )
    if not job.status.terminal and not record.gone:
        stage = eta.left_by_api(job.eta_seconds, job.started_at, now)
    return {"training_seconds": _seconds(training), "stage_seconds": _seconds(stage)}


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else round(span.total_seconds(), 3)


def _curves(rows: Sequence[Row]) -> Json:
    train = [row for row in rows if isinstance(row, TrainRow)]
    found = {name: _curve([getattr(row, attribute) for row in train]) for name, attribute in _SERIES.items()}
    return found | {"eval_loss": _curve([row.loss for row in rows if isinstance(row, EvalRow)])}


def _curve(values: Sequence[float | None]) -> Json:
    """A series in numbers and as a picture, in which one value that is no number shows however many rows there are."""
    good = [value for value in map(finite, values) if value is not None]
    present = [value for value in values if value is not None]
    return {
        "rows": len(values),
        "not_finite": len(present) - len(good),
        "first": good[0] if good else None,
        "last": codec.encode(values[-1]) if values else None,
        "lowest": min(good, default=None),
        "highest": max(good, default=None),
        "sparkline": sparkline(_points(values), CURVE_WIDTH) if present else "",
    }


def _points(values: Sequence[float | None]) -> list[float | None]:
    count = min(CURVE_WIDTH, len(values))
    parts = [values[i * len(values) // count : (i + 1) * len(values) // count] for i in range(count)]
    return [_point(part) for part in parts]


def _point(part: Sequence[float | None]) -> float | None:
    present = [value for value in part if value is not None]
    if any(not math.isfinite(value) for value in present):
        return math.nan
    return math.fsum(value / len(present) for value in present) if present else None


# --- events and metrics ---


def event_view(event: Event) -> Json:
    """One entry of the log; `by` tells what this watcher noted of itself from what the service logged."""
    return {
        "at": iso(event.at),
        "by": "watcher" if event.type == OUR_CANCEL else "service",
        "type": event.type,
        "level": event.level,
        "step": event.step,
        "total_steps": event.total_steps,
        "message": event.message,
        "token_count": event.token_count,
        "checkpoint_path": event.checkpoint_path,
        "model_path": event.model_path,
        "best_step": event.best_step,
        "best_metric": codec.encode(event.best_metric),
    }


def metric_view(row: Row) -> Json:
    """A row in the form in which the API gives it; a value that it did not give is left out."""
    found: dict[str, Any] = {"timestamp": row.at_ns or None, "train/global_step": row.step}
    if isinstance(row, EvalRow):
        # Without its key an eval row would be taken for a train row.
        return found | {"eval/loss": codec.encode(row.loss)}
    values = {"train/loss": row.loss, "train/grad_norm": row.grad_norm, "train/learning_rate": row.lr}
    return found | {name: codec.encode(value) for name, value in values.items() if value is not None}


def metrics_view(record: JobRecord, rows: Sequence[Row]) -> Json:
    """All rows in the form that `watcher replay` reads."""
    job = record.snapshot
    return {
        "id": record.key.job_id,
        "account": record.key.account,
        "total_steps": job.total_steps,
        "n_evals": job.n_evals,
        "metrics": [metric_view(row) for row in rows],
    }


def _cancel_words(reads: Reads, alert_id: str) -> str | None:
    """What was last said of a cancel because of this alert: done, refused, or why not yet."""
    told = reads.transitions(alert_id)
    notes = [s.transition.note for s in told if s.transition.reason not in _TOLD and s.transition.note]
    facts = [str(s.facts.get("cancel") or "") for s in told if isinstance(s.facts, dict)]
    return next((note for note in reversed([*facts, *notes]) if note), None)
