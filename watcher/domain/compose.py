"""From a transition to the message that people read: what, since when, the numbers, and what is done about it."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from watcher.domain.alerts import Transition, TransitionReason
from watcher.domain.facts import JobFacts
from watcher.domain.messages import Item, Message
from watcher.domain.rule import SubjectKind

_NANO = Decimal(10**9)


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
        title=_title(transition, facts),
        what=alert.reason,
        facts=_once(*alert.evidence, *_job_facts(transition, facts)),
        action=transition.note or (facts.cancel if facts and transition.reason is TransitionReason.FIRST else ""),
        sparkline=facts.sparkline if facts else "",
        link=facts.link if facts else "",
        alert_id=alert.id,
    )


def compose_many(tellings: Sequence[tuple[Transition, JobFacts | None]], key: str, at: datetime) -> Message:
    """One message of several alerts: all of them by name, counted by rule in the title."""
    items = tuple(
        Item(
            reason=transition.reason,
            severity=transition.alert.severity,
            title=_title(transition, facts),
            what=transition.alert.reason,
            action=transition.note,
            alert_id=transition.alert.id,
        )
        for transition, facts in tellings
    )
    reason = items[0].reason  # alerts are told together only where the same happened to them
    worst = max((item.severity for item in items), key=lambda severity: severity.rank)
    counts = Counter(transition.alert.rule for transition, _ in tellings)
    names = ", ".join(f"{rule} ×{count}" if count > 1 else rule for rule, count in counts.most_common())
    jobs = {transition.alert.subject.name for transition, _ in tellings}
    label = next(iter(tellings))[1]
    about = (label.label if label else next(iter(jobs))) if len(jobs) == 1 else f"{len(jobs)} jobs"
    return Message(
        key=key,
        at=at,
        reason=TransitionReason.ALL_CLEAR if reason is TransitionReason.RESOLVED else reason,
        severity=worst,
        rule=", ".join(counts),
        kind="",
        subject=about,
        account=", ".join(sorted({t.alert.subject.account for t, _ in tellings if t.alert.subject.account})),
        title=f"{about}: {names}",
        what=f"{len(items)} alerts.",
        items=items,
    )


def _title(transition: Transition, facts: JobFacts | None) -> str:
    """Who and what; formats put the severity, or what became of it, before it."""
    alert = transition.alert
    what = alert.rule if not alert.kind or alert.kind == alert.rule else f"{alert.rule} ({alert.kind})"
    return f"{facts.label if facts else alert.subject.name}: {what}"


def _job_facts(transition: Transition, facts: JobFacts | None) -> tuple[tuple[str, str], ...]:
    alert = transition.alert
    if alert.subject.kind is not SubjectKind.JOB:
        where = (("account", alert.subject.account),) if alert.subject.account else ()
        return (*where, ("since", _time(transition)))
    rows = [("job", alert.subject.job_id)]
    if facts is not None:
        rows += [("restarted from", facts.restarted_from)]
        rows += [("model", facts.model), ("status", facts.status), ("step", _progress(facts))]
        rows += [("best eval", _best_eval(facts)), ("price", _dollars(facts.price_nano))]
    rows += [("began at step", "" if alert.onset is None else str(alert.onset)), ("since", _time(transition))]
    rows += [("account", alert.subject.account)]
    return tuple((label, value) for label, value in rows if value)


def _once(*rows: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    """Each label once: what the rule itself says of it comes first."""
    found: dict[str, str] = {}
    for label, value in rows:
        found.setdefault(label, value)
    return tuple(found.items())


def _time(transition: Transition) -> str:
    return transition.alert.starts_at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _progress(facts: JobFacts) -> str:
    if facts.step is None:
        return ""
    if not facts.total_steps:
        return f"{facts.step} (plan unknown)"
    return f"{facts.step} of {facts.total_steps} ({100 * facts.step / facts.total_steps:.0f} %)"


def _best_eval(facts: JobFacts) -> str:
    return "" if facts.best_eval is None else f"{facts.best_eval:.4g} at step {facts.best_eval_step}"


def _dollars(nano: int | None) -> str:
    return "" if not nano else f"${Decimal(nano) / _NANO:.2f} for the whole job, as the API gives it"
