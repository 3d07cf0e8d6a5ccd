"""Small records for tests of the store: say only what the test is about."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from watcher.domain.alerts import Alert, AlertState, Subject, Transition, TransitionReason, alert_id
from watcher.domain.observations import Snapshot, Status
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity
from watcher.service.records import Effect, JobKey, JobRecord, NewEffect, Proposal, ProposalState

NOW = datetime(2026, 11, 23, 10, 0, 0, 123457, tzinfo=UTC)
JOB = JobKey("main", "ft-1")
OTHER_JOB = JobKey("main", "ft-2")
SUBJECT = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-1")


def at(minutes: float) -> datetime:
    """That many minutes after NOW."""
    return NOW + timedelta(minutes=minutes)


def a_snapshot(job_id: str = "ft-1", **changes: Any) -> Snapshot:
    snapshot = Snapshot(job_id=job_id, at=NOW, status=Status.RUNNING, raw_status="running", created_at=NOW)
    return replace(snapshot, **changes)


def a_job(key: JobKey = JOB, **changes: Any) -> JobRecord:
    record = JobRecord(key=key, selection="all", snapshot=a_snapshot(key.job_id), first_seen_at=NOW)
    return replace(record, **changes)


def an_alert(rule: str = "divergence", kind: str = "diverged", episode: int = 1, **changes: Any) -> Alert:
    subject = changes.pop("subject", SUBJECT)
    alert = Alert(
        id=alert_id(subject, rule, kind, episode),
        subject=subject,
        rule=rule,
        kind=kind,
        severity=Severity.CRITICAL,
        state=AlertState.FIRING,
        episode=episode,
        starts_at=NOW,
    )
    return replace(alert, **changes)


def a_transition(alert: Alert | None = None, **changes: Any) -> Transition:
    transition = Transition(alert=alert or an_alert(), reason=TransitionReason.FIRST, at=NOW)
    return replace(transition, **changes)


def an_effect(key: str, lane: str = "lane", **changes: Any) -> NewEffect:
    effect = NewEffect(key=key, effect=Effect.NOTIFY, lane=lane, receiver="team", target=lane, next_at=NOW)
    return replace(effect, **changes)


def a_proposal(name: str = "p1", key: JobKey = JOB, **changes: Any) -> Proposal:
    proposal = Proposal(
        id=name,
        key=key,
        alert_id="0123456789ab",
        rule="divergence",
        kind="diverged",
        mode="propose",
        state=ProposalState.PROPOSED,
        proposed_at=NOW,
    )
    return replace(proposal, **changes)
