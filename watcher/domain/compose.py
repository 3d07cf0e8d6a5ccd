"""From a transition to the message that people read: what, since when, the numbers, and what is done about it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from watcher.domain import jobrows
from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.facts import JobFacts
from watcher.domain.headlines import headline, label, title
from watcher.domain.messages import Item, Message
from watcher.domain.observations import Status
from watcher.domain.phrasing import clock, span

_HEADLINES = 28
"""Characters of headlines in the title of a message about several alerts."""

_CUT_SHORT = (Status.CANCELLED, Status.ERROR)

Told = tuple[Transition, JobFacts | None]


def message_key(*parts: object) -> str:
    """The idempotency key: the same for every delivery of one telling to one target."""
    return hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).hexdigest()[:20]


def compose(transition: Transition, facts: JobFacts | None, key: str) -> Message:
    """The message of one transition."""
    alert = transition.alert
    return Message(
        key=key,
        at=transition.at,
        reason=transition.reason,
        severity=alert.severity,
        rule=alert.rule,
        kind=alert.kind,
        subject=alert.subject.name,
        account=alert.subject.account,
        title=title(alert, facts),
        what=_what(transition),
        facts=jobrows.rows(transition, facts),
        action=jobrows.hint(transition, facts),
        command=_command(facts),
        sparkline=facts.sparkline if facts else "",
        link=facts.link if facts else "",
        alert_id=alert.id,
        job_id=alert.subject.job_id,
        **_announced(transition, facts),
    )


def _announced(transition: Transition, facts: JobFacts | None) -> dict[str, Any]:
    """What an announcement of a cancel is known by; nothing else begins a veto window."""
    if facts is None or transition.reason is not TransitionReason.CANCEL_PROPOSED:
        return {}
    return {
        "proposal_id": facts.proposal_id,
        "proposal_round": facts.proposal_round,
        "deadline_at": facts.deadline_at,
    }


def _command(facts: JobFacts | None) -> str:
    """How to go on from the best checkpoint, once the job was cut short: else nobody asks."""
    return facts.go_on if facts and Status.named(facts.status) in _CUT_SHORT else ""


def compose_many(tellings: Sequence[Told], key: str, at: datetime, *, clear: bool = False) -> Message:
    """One message of several alerts: all of them by name, the worst first, counted in the title.

    Args:
        tellings: What is told, at least one.
        key: The message's own.
        at: The present.
        clear: Nothing else that the receiver was told of together with these still holds.
    """
    alerts = [transition.alert for transition, _ in tellings]
    reason = tellings[0][0].reason  # alerts are told together only where the same happened to them
    facts, ids = tellings[0][1], sorted({alert.subject.job_id for alert in alerts})
    one_job = len(ids) == 1 and len({alert.subject.key for alert in alerts}) == 1
    told = [jobrows.hint(*telling) for telling in tellings] if one_job else []
    return Message(
        key=key,
        at=at,
        reason=TransitionReason.ALL_CLEAR if clear else reason,
        severity=max((alert.severity for alert in alerts), key=lambda severity: severity.rank),
        rule=", ".join(dict.fromkeys(alert.rule for alert in alerts)),
        kind="",
        subject=label(alerts[0], facts) if one_job else _subjects(alerts),
        account=", ".join(sorted({alert.subject.account for alert in alerts if alert.subject.account})),
        title=f"{label(alerts[0], facts) if one_job else _subjects(alerts)}: {_counted(alerts)}",
        what=_sum(alerts, at),
        facts=jobrows.of_job(facts, alerts) if facts and one_job else (),
        action=max(told, key=len, default=""),
        command=_command(facts) if one_job else "",
        sparkline=facts.sparkline if facts and one_job else "",
        link=facts.link if facts and one_job else "",
        job_id=ids[0] if one_job else "",
        items=tuple(_item(*telling, one_job=one_job) for telling in sorted(tellings, key=_worst_first)),
    )


def _worst_first(telling: Told) -> int:
    return -telling[0].alert.severity.rank


def _item(transition: Transition, facts: JobFacts | None, *, one_job: bool) -> Item:
    what = headline(transition.alert) if one_job else title(transition.alert, facts)
    return Item(
        reason=transition.reason,
        severity=transition.alert.severity,
        title=f"{what} ({transition.alert.rule})",
        what=_what(transition),
        action="" if one_job else jobrows.done(transition),
        alert_id=transition.alert.id,
    )


def _subjects(alerts: Sequence[Alert]) -> str:
    """How many of what: `12 jobs`, `3 accounts`, `the watcher`, or a mixture."""
    counts = Counter(kind for kind, _ in {(alert.subject.kind.value, alert.subject.key) for alert in alerts})
    names = [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in sorted(counts.items(), reverse=True)]
    return " and ".join(names)


def _counted(alerts: Sequence[Alert]) -> str:
    """The headlines, the most frequent first, as many as have room; the others as a number."""
    counts = Counter(headline(alert) for alert in alerts).most_common()
    if len(counts) == 1:
        return counts[0][0]
    shown = [f"{count} × {words}" if count > 1 else words for words, count in counts]
    while len(", ".join(shown)) > _HEADLINES and len(shown) > 1:
        shown.pop()
    left = len(alerts) - sum(count for _, count in counts[: len(shown)])
    return ", ".join([*shown, f"{left} more"] if left else shown)


def _sum(alerts: Sequence[Alert], at: datetime) -> str:
    counts = Counter(alert.severity for alert in alerts)
    parts = ", ".join(f"{n} {severity}" for severity, n in sorted(counts.items(), key=lambda found: -found[0].rank))
    first = min(alert.starts_at for alert in alerts)
    return f"{len(alerts)} alerts ({parts}), the first {span(at - first)} ago, {clock(first)}."


def _what(transition: Transition) -> str:
    """The rule's sentence; where it is not the news itself, after words that say how it stands now."""
    alert = transition.alert
    lasted = span((alert.ends_at or transition.at) - alert.starts_at)
    match transition.reason:
        case TransitionReason.RESOLVED:
            return f"Over after {lasted}. It was: {alert.reason}"
        case TransitionReason.ENDED:
            return f"Over after {lasted}: {transition.note}. It was: {alert.reason}"
        case TransitionReason.REMINDER:
            return f"This holds for {lasted} now: {alert.reason}"
        case TransitionReason.ESCALATED:
            return f"Nobody has acknowledged this for {lasted}: {alert.reason}"
        case _:
            return alert.reason
