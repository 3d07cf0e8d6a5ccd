"""The story of one alert: what happened, who was told or was not and why, what came of it, and what comes next."""

from typing import Any

from watcher.domain.alerts import Alert, AlertState
from watcher.domain.groups import Group, Member
from watcher.service.bookstate import unpacked
from watcher.service.people import ack_view, alert_of
from watcher.service.ports import Reads
from watcher.service.records import JobKey, OutboxRow, OutboxState, StoredTransition
from watcher.service.status import alert_view, iso, proposal_view

Json = dict[str, Any]


def explain_view(reads: Reads, word: str) -> Json:
    """An alert's story as JSON values; text from the API is not escaped here.

    Raises:
        ConfigError: there is no such alert.
    """
    alert = alert_of(reads, word)
    alert_id = alert.id
    ack, history = reads.ack(alert_id), reads.transitions(alert_id)
    key = JobKey(alert.subject.account, alert.subject.job_id)
    proposals = reads.proposals(key=key) if alert.subject.job_id else []
    return {
        "alert": alert_view(alert, ack),
        "acknowledged": ack_view(ack) if ack else None,
        "transitions": [_transition(stored) for stored in history],
        "decisions": decision_views(reads, alert_id),
        "next": _next(reads, alert_id, acknowledged=ack is not None and ack.until is None),
        "policy": _policy(history),
        "guard": _guard(reads, alert) if key.job_id and alert.state is AlertState.FIRING else None,
        "cancels": [proposal_view(proposal) for proposal in proposals if proposal.alert_id == alert_id],
    }


def _transition(stored: StoredTransition) -> Json:
    transition = stored.transition
    return {
        "at": iso(transition.at),
        "reason": transition.reason.value,
        "note": transition.note,
        "state": transition.alert.state.value,
    }


def _policy(history: list[StoredTransition]) -> str:
    """What was said of a cancel when the alert began."""
    facts = history[0].facts if history else None
    return str(facts.get("cancel") or "") if isinstance(facts, dict) else ""


def _guard(reads: Reads, alert: Alert) -> Json | None:
    """What keeps a firing alert from cancelling, as of the newest look at its job."""
    record = reads.job(JobKey(alert.subject.account, alert.subject.job_id))
    guards = unpacked(record).guards if record is not None else []
    found = ((name, why) for rule, kind, name, why in guards if (rule, kind) == (alert.rule, alert.kind))
    name, why = next(found, (None, None))
    return None if name is None else {"name": name, "reason": why}


def decision_views(reads: Reads, alert_id: str) -> list[Json]:
    """Each decision once, with all deliveries that it led to."""
    found: dict[tuple[object, ...], Json] = {}
    for decision, key in reads.decisions(alert_id):
        same = (decision.at, decision.receiver, decision.what, decision.why)
        entry = found.setdefault(
            same,
            {
                "at": iso(decision.at),
                "receiver": decision.receiver,
                "what": decision.what,
                "why": decision.why,
                "deliveries": [],
            },
        )
        if key:
            entry["deliveries"] += [_delivery(row) for row in reads.effects(key)]
    return list(found.values())


def _delivery(row: OutboxRow) -> Json:
    return {
        "key": row.key,
        "receiver": row.receiver,
        "target": row.target,
        "state": row.state.value,
        "attempts": row.attempts,
        "delivered_at": iso(row.done_at) if row.state is OutboxState.DONE else None,
        "given_up_at": iso(row.done_at) if row.state is OutboxState.DEAD else None,
        "next_at": iso(row.next_at) if row.state is OutboxState.DUE else None,
        "error": row.error,
    }


def _next(reads: Reads, alert_id: str, *, acknowledged: bool) -> list[Json]:
    waiting = [stored for stored in reads.unconsumed() if stored.transition.alert.id == alert_id]
    coming = [
        {"receiver": "", "at": None, "what": f"{stored.transition.reason}: not routed yet", "why": ""}
        for stored in waiting
    ]
    for group in reads.groups():
        member = group.members.get(alert_id)
        if member is not None and group.flush_at is not None:
            coming.append(_coming(group, member, acknowledged=acknowledged))
    return coming


def _coming(group: Group, member: Member, *, acknowledged: bool) -> Json:
    """`at` is when the group is looked at next: what is due then is told, unless something holds it back."""
    if member.news:
        what = ", ".join(reason.value for _, reason in member.news)
    else:
        what = "nothing more until it ends" if acknowledged else "reminder"
    return {
        "receiver": group.receiver,
        "at": iso(group.flush_at) if member.news or not acknowledged else None,
        "what": what,
        "why": member.muted,
    }
