"""The life of an alert: one episode of one rule on one subject, pending → firing → resolved.

`step_alert` is the only place where an alert changes state. Firing and resolved alternate; `Unknown` changes nothing.
"""

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Finding, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What an alert is about: a job of an account, an account, or the watcher itself (both names empty)."""

    kind: SubjectKind
    account: str = ""
    job_id: str = ""

    @property
    def name(self) -> str:
        """The job's id, the account's name, or `watcher`."""
        return self.job_id or self.account or "watcher"

    @property
    def key(self) -> str:
        """Unique over all subjects of one store: `job:account:id`, `account:name:` or `watcher::`."""
        return f"{self.kind}:{self.account}:{self.job_id}"


WATCHER = Subject(kind=SubjectKind.WATCHER)


class AlertState(StrEnum):
    """Where an episode stands."""

    PENDING = "pending"
    FIRING = "firing"
    RESOLVED = "resolved"


class TransitionReason(StrEnum):
    """Why something is told. Firing and an end (resolved or ended) alternate; the others report on a cancel."""

    FIRST = "first"
    RESOLVED = "resolved"
    AGAIN = "again"
    """The same episode goes on: it fired again within its grace period."""
    PENDING = "pending"
    """Found, but not for long enough to be told."""
    ENDED = "ended"
    """Nobody looks any more: the job is over and followed out, or the rule was taken away. Not told."""
    ALL_CLEAR = "all_clear"
    """Everything that a receiver was told of together is over."""
    REMINDER = "reminder"
    ESCALATED = "escalated"
    WOULD_CANCEL = "would_cancel"
    CANCEL_PROPOSED = "cancel_proposed"
    """A cancel is announced, for the first time or again: whoever gets this may veto it until its deadline."""
    CANCEL_APPROVED = "cancel_approved"
    """A person gave up the rest of the window: it is cancelled as soon as every guard agrees."""
    CANCEL_FROZEN = "cancel_frozen"
    """An open proposal waits: what is not known now must be seen again in two fresh sweeps first."""
    CANCEL_REFUSED = "cancel_refused"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    CANCEL_OVERTAKEN = "cancel_overtaken"
    CANCEL_FAILED = "cancel_failed"
    CANCEL_VETOED = "cancel_vetoed"
    CANCEL_WITHDRAWN = "cancel_withdrawn"
    DIGEST = "digest"
    """Nothing happened: it is told how things stand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One episode. `step`, `onset` and `reason` are those of the firing; times are aware UTC."""

    id: str
    subject: Subject
    rule: str
    kind: str
    severity: Severity
    state: AlertState
    episode: int
    starts_at: datetime
    ends_at: datetime | None = None
    step: int | None = None
    onset: int | None = None
    reason: str = ""
    evidence: tuple[tuple[str, str], ...] = ()
    notice: bool = False
    may_cancel: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A change that people may be told of: the alert after it, why, and a sentence on what was or will be done."""

    alert: Alert
    reason: TransitionReason
    at: datetime
    note: str = ""


def alert_id(subject: Subject, rule: str, kind: str, episode: int) -> str:
    """Twelve hex digits, the same for the same episode whatever crashes in between."""
    text = "\x1f".join((subject.key, rule, kind, str(episode)))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fire(previous: Alert | None, finding: Finding, *, subject: Subject, rule: str, now: datetime) -> Alert:
    """The next episode of (subject, rule, kind), firing from now."""
    episode = previous.episode + 1 if previous else 1
    return Alert(
        id=alert_id(subject, rule, finding.kind, episode),
        subject=subject,
        rule=rule,
        kind=finding.kind,
        severity=finding.severity,
        state=AlertState.FIRING,
        episode=episode,
        starts_at=now,
        step=finding.step,
        onset=finding.onset,
        reason=finding.reason,
        evidence=finding.evidence,
        notice=finding.notice,
        may_cancel=finding.may_cancel,
    )


def continued(alert: Alert, finding: Finding) -> Alert:
    """The same episode, firing with what is found now."""
    return replace(
        alert,
        state=AlertState.FIRING,
        ends_at=None,
        severity=finding.severity,
        step=finding.step,
        onset=finding.onset,
        reason=finding.reason,
        evidence=finding.evidence,
        may_cancel=finding.may_cancel,
    )


def resolve(alert: Alert, now: datetime) -> Alert:
    """The same episode, over."""
    return replace(alert, state=AlertState.RESOLVED, ends_at=now)
