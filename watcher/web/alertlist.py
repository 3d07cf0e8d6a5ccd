"""Alerts as pages show them: all of them, and the story of one with who was told and with what result."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from watcher.domain.alerts import Alert
from watcher.service.explain import decision_views, explain_view
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery
from watcher.web.joblist import MANY, alert_row

MOST_PAST = 300
"""Alerts that are over and still listed."""

Json = dict[str, Any]
Scheme = Callable[[str], str]
"""The kind of service of a target, by its id."""


def alert_page(reads: Reads, now: datetime) -> Json:
    """Those that fire, the worst first; then what was told and what is over, the newest first."""
    acks = reads.acks()
    labels = {record.key: record.snapshot.suffix or record.key.job_id for record in reads.jobs()}
    firing = reads.alerts(AlertQuery(firing_only=True, notices=False, limit=MANY))
    urgent = sorted(firing, key=lambda alert: alert.severity.rank, reverse=True)
    known = {alert.id for alert in urgent}
    past = [alert for alert in reads.alerts(AlertQuery(limit=MOST_PAST + len(urgent))) if alert.id not in known]
    return {
        "firing": [alert_row(alert, now, acks, labels) for alert in urgent],
        "past": [alert_row(alert, now, acks, labels) for alert in past[:MOST_PAST]],
    }


def alert_story(reads: Reads, alert: Alert, now: datetime, scheme: Scheme) -> Json:
    """One alert whole: evidence, what happened, who was told, and what comes next."""
    labels = {record.key: record.snapshot.suffix or record.key.job_id for record in reads.jobs()}
    view = explain_view(reads, alert.id)
    return {
        "alert": alert_row(alert, now, reads.acks(), labels),
        "acknowledged": view["acknowledged"],
        "transitions": [_timed(entry) for entry in view["transitions"]],
        "decisions": [_decision(entry, scheme) for entry in view["decisions"]],
        "coming": [_timed(entry) for entry in view["next"]],
        "policy": view["policy"],
        "guard": view["guard"],
    }


def told(reads: Reads, alert: Alert, scheme: Scheme) -> list[Json]:
    """Who was told of an alert or was not, and why, with the result of every delivery."""
    return [_decision(entry, scheme) for entry in decision_views(reads, alert.id)]


def _timed(entry: Json) -> Json:
    return entry | {"moment": _moment(entry["at"])}


def _decision(entry: Json, scheme: Scheme) -> Json:
    return _timed(entry) | {"deliveries": [_delivery(one, scheme) for one in entry["deliveries"]]}


def _delivery(one: Json, scheme: Scheme) -> Json:
    word = {"done": "delivered", "dead": "gave up", "claimed": "being sent"}.get(one["state"])
    return one | {
        "scheme": scheme(one["target"]),
        "word": word or ("waits" if one["attempts"] else "due"),
        "tone": {"done": "good", "dead": "critical"}.get(one["state"], "warning" if one["error"] else "info"),
        "moment": _moment(one["delivered_at"] or one["given_up_at"] or one["next_at"]),
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
