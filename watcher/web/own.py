"""The watcher's own page: what it sees of each account, how full the outbox is, and which version runs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watcher import __version__
from watcher.domain.phrasing import span
from watcher.service.introduce import identities
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery, Pulse
from watcher.service.status import status_view
from watcher.web.joblist import MANY, alert_row

Json = dict[str, Any]


def own_page(reads: Reads, now: datetime, pulses: Mapping[str, Pulse]) -> Json:
    """Everything that the page prints; `pulses` are those of the accounts, by name."""
    known, status = identities(reads), status_view(reads, now)
    jobs, acks = reads.jobs(), reads.acks()
    alerts = reads.alerts(AlertQuery(firing_only=True, limit=MANY))
    oldest = reads.outbox_counts(now).oldest_due_at
    return {
        "version": __version__,
        "status": status,
        "oldest": oldest if oldest is not None and oldest <= now else None,
        "alerts": [alert_row(alert, now, acks) for alert in alerts if not alert.subject.job_id],
        "accounts": [
            {
                "name": name,
                "project": known.get(name, {}).get("project"),
                "organization": known.get(name, {}).get("organization"),
                "every": span(pulse.interval),
                "seen_at": pulse.useful_at,
                "reason": pulse.reason,
                "jobs": sum(record.key.account == name for record in jobs),
                "open": sum(record.key.account == name and not record.closed for record in jobs),
            }
            for name, pulse in pulses.items()
        ],
    }
