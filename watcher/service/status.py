"""The read model: what commands, pages and the JSON API show, as JSON values; text from the API is not escaped here."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from watcher.domain.alerts import Alert
from watcher.service.introduce import IDENTITY, identities
from watcher.service.ports import Reads
from watcher.service.records import Ack, AlertQuery, JobRecord, Proposal, ProposalState
from watcher.service.shown import shown_of

Json = dict[str, Any]
NO_ACKS: Mapping[str, Ack] = {}


def job_views(reads: Reads, accounts: Sequence[str] | None = None, *, known: int = 10_000) -> list[Json]:
    """Every watched job of the store, terminal ones too, newest first."""
    records = [r for r in reads.jobs() if accounts is None or r.key.account in accounts][:known]
    alerts, acks = _by_job(reads.alerts(AlertQuery(limit=100_000))), reads.acks()
    return [job_view(record, alerts.get((record.key.account, record.key.job_id), []), acks) for record in records]


def job_view(record: JobRecord, alerts: Iterable[Alert], acks: Mapping[str, Ack] = NO_ACKS) -> Json:
    """One job. `step` is the newest step seen in metrics, else what the API counts; `loss` the newest finite one."""
    job = record.snapshot
    shown = shown_of(record)
    step = shown.train_step if shown.train_step is not None else job.steps_completed
    return {
        "id": record.key.job_id,
        "account": record.key.account,
        "status": job.raw_status,
        "step": step,
        "total_steps": job.total_steps,
        "progress": progress(step, job.total_steps),
        "health": record.health,
        "alerts": [alert_view(alert, acks.get(alert.id)) for alert in alerts],
        "selection": record.selection,
        "model": job.model,
        "suffix": job.suffix,
        "output_name": job.output_name,
        "loss": shown.loss,
        "best_eval": shown.best_eval,
        "best_eval_step": shown.best_eval_step,
        "sparkline": shown.sparkline,
        "price_nano": job.total_price_nano,
        "created_at": iso(job.created_at),
        "first_seen_at": iso(record.first_seen_at),
        "ended_at": iso(record.ended_at),
        "updated_at": iso(record.updated_at),
        "eta_seconds": job.eta_seconds,
        "started_at": iso(job.started_at),
        "never_cancel": record.keep,
        "closed": record.closed,
        "gone": record.gone,
        "restarted_as": record.successor,
    }


def progress(step: int | None, total_steps: int | None) -> float | None:
    """Share of the plan that is done, 0 to 1; None where the plan is not known."""
    return min(1.0, step / total_steps) if step is not None and total_steps else None


def alert_view(alert: Alert, ack: Ack | None) -> Json:
    """One alert, as the JSON API gives it."""
    return {
        "id": alert.id,
        "rule": alert.rule,
        "kind": alert.kind,
        "subject": alert.subject.name,
        "account": alert.subject.account,
        "severity": alert.severity.value,
        "state": alert.state.value,
        "starts_at": iso(alert.starts_at),
        "ends_at": iso(alert.ends_at),
        "step": alert.step,
        "onset": alert.onset,
        "reason": alert.reason,
        "notice": alert.notice,
        "acknowledged_by": ack.author if ack else None,
        "acknowledged_until": iso(ack.until) if ack else None,
    }


def alert_views(reads: Reads, query: AlertQuery) -> list[Json]:
    """Alerts, newest first."""
    acks = reads.acks()
    return [alert_view(alert, acks.get(alert.id)) for alert in reads.alerts(query)]


def proposal_view(proposal: Proposal) -> Json:
    """One auto-cancel."""
    return {
        "id": proposal.id,
        "job": proposal.key.job_id,
        "account": proposal.key.account,
        "rule": proposal.rule,
        "kind": proposal.kind,
        "mode": proposal.mode,
        "state": proposal.state.value,
        "step": proposal.step,
        "reason": proposal.reason,
        "proposed_at": iso(proposal.proposed_at),
        "veto_window": proposal.window.total_seconds(),
        "round": proposal.round,
        "announced_at": iso(proposal.announced_at),
        "deadline_at": iso(proposal.deadline_at),
        "frozen_at": iso(proposal.frozen_at),
        "approved_at": iso(proposal.approved_at),
        "requested_at": iso(proposal.requested_at),
        "posted_at": iso(proposal.posted_at),
        "ended_at": iso(proposal.ended_at),
        "detail": proposal.detail,
    }


_OPEN = tuple(state for state in ProposalState if state.open)
RESTART_NEEDED = "restart_needed"
"""The note of keys whose new values wait for a restart."""


def status_view(reads: Reads, now: datetime) -> Json:
    """The watcher as a whole: what it watches, what fires, and how full the outbox is."""
    records = reads.jobs()
    counts = reads.outbox_counts(now)
    firing = reads.alerts(AlertQuery(firing_only=True, limit=100_000))
    known, acks = identities(reads), reads.acks()
    return {
        "accounts": [
            {"name": name, **dict.fromkeys(IDENTITY), **known.get(name, {})}
            for name in sorted({r.key.account for r in records} | set(known))
        ],
        "jobs": len(records),
        "open_jobs": sum(not r.closed for r in records),
        "firing": len([a for a in firing if not a.notice]),
        "alerts": [alert_view(alert, acks.get(alert.id)) for alert in firing if not alert.subject.job_id],
        "outbox": {
            "due": counts.due,
            "waiting": counts.waiting,
            "claimed": counts.claimed,
            "done": counts.done,
            "dead": counts.dead,
            "oldest_due_at": iso(counts.oldest_due_at),
        },
        "proposals": [proposal_view(p) for p in reads.proposals(states=_OPEN)],
        "restart_needed": json.loads(reads.meta(RESTART_NEEDED) or "[]"),
    }


def iso(moment: datetime | None) -> str | None:
    """ISO-8601 with offset, or None."""
    return moment.isoformat() if moment is not None else None


def _by_job(alerts: Iterable[Alert]) -> dict[tuple[str, str], list[Alert]]:
    found: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        found.setdefault((alert.subject.account, alert.subject.job_id), []).append(alert)
    return found
