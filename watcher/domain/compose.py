"""From a transition to the message that people read: what, since when, the numbers, and what is done about it."""

import hashlib
from decimal import Decimal

from watcher.domain.alerts import Transition, TransitionReason
from watcher.domain.facts import JobFacts
from watcher.domain.messages import Message
from watcher.domain.rule import SubjectKind

_NANO = Decimal(10**9)


def message_key(transition_id: int, transition: Transition, target: str) -> str:
    """The idempotency key: the same for every delivery of one transition to one target."""
    text = f"{transition.alert.id}\x1f{transition_id}\x1f{transition.reason}\x1f{target}"
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def compose(transition: Transition, facts: JobFacts | None, key: str) -> Message:
    """The message of one transition to one target."""
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
