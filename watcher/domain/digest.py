"""Digests: when one is due, and what it says. They tell how things stand, and wake nobody up."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from watcher.domain import billing, moneywords
from watcher.domain.alerts import Alert, TransitionReason
from watcher.domain.billing import Bill, Meter
from watcher.domain.eta import progress
from watcher.domain.headlines import NAME_LIMIT, headline
from watcher.domain.health import Health
from watcher.domain.messages import Item, Message
from watcher.domain.observations import Status
from watcher.domain.phrasing import clock, number, pairs, quote, span, steps
from watcher.domain.verdicts import Severity

MOST = 20
"""Entries of one sort in a message; the others are counted."""
_WORST_FIRST = (Health.BROKEN, Health.DIVERGING, Health.UNKNOWN, Health.OVERFITTING, Health.FLAT)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UTC = ZoneInfo("UTC")
_DAY = timedelta(days=1)
_LONGEST_DAY = timedelta(hours=25)


class DigestKind(StrEnum):
    """What a digest is about."""

    DAILY = "daily"
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """One that is configured: a daily one comes at a local time, one of progress every so often while jobs run."""

    name: str
    receiver: str
    kind: DigestKind = DigestKind.DAILY
    at: time = time(8)
    zone: ZoneInfo = _UTC
    every: timedelta = timedelta(minutes=30)

    @property
    def period(self) -> timedelta:
        """The longest time between two that are due."""
        return _LONGEST_DAY if self.kind is DigestKind.DAILY else self.every

    def slot(self, now: datetime) -> datetime:
        """The newest time, not after `now`, at which one was due.

        A local time that a change of the clocks skips is due when the change is over; one that comes twice, the first
        time.
        """
        if self.kind is DigestKind.PROGRESS:
            return now - (now - _EPOCH) % self.every
        today = now.astimezone(self.zone).date()
        days = (datetime.combine(today - n * _DAY, self.at, self.zone).astimezone(UTC) for n in range(3))
        return next(moment for moment in days if moment <= now)


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestJob:
    """A job as a digest tells of it; text is as the API gave it: untrusted. `left` is the time to its last step."""

    name: str
    status: Status
    raw_status: str
    health: str = ""
    step: int | None = None
    planned: int | None = None
    left: timedelta | None = None
    loss: float | None = None
    best_eval: float | None = None
    sparkline: str = ""
    meter: Meter = field(default_factory=Meter)


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoCancel:
    """A job that the watcher cancelled."""

    name: str
    rule: str
    meter: Meter = field(default_factory=Meter)

    @property
    def bill(self) -> Bill:
        """What it cost, and what was not run."""
        return billing.bill(self.meter)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How things stand, and what happened since a time. `firing` has the name of each alert's subject."""

    since: datetime
    running: Sequence[DigestJob] = ()
    ended: Sequence[DigestJob] = ()
    firing: Sequence[tuple[str, Alert]] = ()
    cancels: Sequence[AutoCancel] = ()
    dead_letters: int = 0


def compose_digest(digest: Digest, standing: Standing, key: str, now: datetime) -> Message | None:
    """The message, or None where there is nothing to tell of: no job runs of which to tell the progress."""
    if digest.kind is DigestKind.DAILY:
        return _daily(digest, standing, key, now)
    return _progress(digest, standing, key, now) if standing.running else None


def _progress(digest: Digest, standing: Standing, key: str, now: datetime) -> Message:
    running = _worst_first(standing.running)
    bad = sum(_badness(job) < len(_WORST_FIRST) for job in running)
    last = max((job.left for job in running if job.left is not None), default=None)
    until = f" The last step of all is about {span(last)} away, as far as one can tell." if last is not None else ""
    looks = f"{bad} of them {'does' if bad == 1 else 'do'} not look well" if bad else "none looks bad"
    return _message(
        digest,
        key,
        now,
        title=f"{_many(len(running), 'job')} in training" + (f", {bad} not well" if bad else ""),
        what=f"{_many(len(running), 'job')} in training, {looks}.{until}",
        items=_shortened([_of_running(job) for job in running], "running job"),
    )


def _daily(digest: Digest, standing: Standing, key: str, now: datetime) -> Message:
    running = _worst_first(standing.running)
    firing = sorted(standing.firing, key=lambda named: -named[1].severity.rank)
    counts = f"{len(standing.ended)} ended, {len(firing)} firing, {len(running)} running"
    return _message(
        digest,
        key,
        now,
        title=counts,
        what=f"Since {clock(standing.since)}: {_many(len(standing.ended), 'job')} ended. "
        f"Now {_many(len(firing), 'alert')} firing, {_many(len(running), 'job')} running.",
        facts=pairs(
            ("auto-cancels", _saved(standing.cancels) if standing.cancels else None),
            ("dead letters", f"{standing.dead_letters}, see watcher outbox list" if standing.dead_letters else None),
        ),
        items=(
            *_shortened([_of_alert(name, alert) for name, alert in firing], "firing alert"),
            *_shortened([_of_cancel(cancel) for cancel in standing.cancels], "auto-cancel"),
            *_shortened([_of_ended(job) for job in standing.ended], "ended job"),
            *_shortened([_of_running(job) for job in running], "running job"),
        ),
    )


def _message(
    digest: Digest,
    key: str,
    now: datetime,
    *,
    title: str,
    what: str,
    items: tuple[Item, ...],
    facts: tuple[tuple[str, str], ...] = (),
) -> Message:
    return Message(
        key=key,
        at=now,
        reason=TransitionReason.DIGEST,
        severity=Severity.INFO,
        rule="digest",
        kind=digest.kind.value,
        subject=digest.name,
        account="",
        title=title,
        what=what,
        facts=facts,
        items=items,
    )


def _of_running(job: DigestJob) -> Item:
    share = progress(job.step, job.planned)
    left = f"{span(job.left)} left" if job.left is not None else ""
    done = "" if share is None else f"{share:.0%}"
    shown = [
        f"step {steps(job.step, job.planned)}" if job.step is not None else "no step yet",
        f"loss {number(job.loss)}" if job.loss is not None else "",
        f"best eval loss {number(job.best_eval)}" if job.best_eval is not None else "",
        job.sparkline,
    ]
    status = "" if job.status is Status.RUNNING else job.raw_status
    return _item(f"{_name(job.name)}: {_list(done, left, job.health, status)}", _list(*shown))


def _of_ended(job: DigestJob) -> Item:
    shown = [
        f"step {steps(job.step, job.planned)}" if job.step is not None else "",
        f"best eval loss {number(job.best_eval)}" if job.best_eval is not None else "",
        *(f"{label} {value}" for label, value in moneywords.rows(job.meter)),
    ]
    return _item(f"{_name(job.name)}: {job.raw_status}", _list(*shown))


def _of_cancel(cancel: AutoCancel) -> Item:
    done = cancel.meter.done
    at = f"cancelled at step {steps(done, cancel.meter.planned)}" if done is not None else "cancelled"
    return _item(f"{_name(cancel.name)}: auto-cancelled ({cancel.rule})", _list(at, _saved([cancel], counted=False)))


def _saved(cancels: Sequence[AutoCancel], *, counted: bool = True) -> str:
    """What was not run for cancels, in steps and dollars."""
    bills = [cancel.bill for cancel in cancels]
    unrun = sum(bill.steps_saved or 0 for bill in bills)
    words = moneywords.added(billing.total(bill.saved for bill in bills))
    return _list(str(len(cancels)) if counted else "", f"{_many(unrun, 'step')} saved" if unrun else "", words)


def _of_alert(name: str, alert: Alert) -> Item:
    title = f"{_name(name)}: {headline(alert)} ({alert.rule})"
    return Item(
        reason=TransitionReason.DIGEST, severity=alert.severity, title=title, what=alert.reason, alert_id=alert.id
    )


def _item(title: str, what: str) -> Item:
    return Item(reason=TransitionReason.DIGEST, severity=Severity.INFO, title=title, what=what)


def _shortened(items: Sequence[Item], what: str) -> tuple[Item, ...]:
    left = len(items) - MOST
    return (*items[:MOST], _item(f"… and {_more(left, what)}", "")) if left > 0 else tuple(items)


def _worst_first(jobs: Iterable[DigestJob]) -> list[DigestJob]:
    return sorted(jobs, key=lambda job: (_badness(job), job.name))


def _badness(job: DigestJob) -> int:
    """Its place, the worst first; what looks well comes last."""
    return next((place for place, health in enumerate(_WORST_FIRST) if health == job.health), len(_WORST_FIRST))


def _list(*words: str) -> str:
    return ", ".join(word for word in words if word)


def _name(name: str) -> str:
    return quote(name, NAME_LIMIT)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _more(count: int, what: str) -> str:
    return f"{count} more {what}" if count == 1 else f"{count} more {what}s"
