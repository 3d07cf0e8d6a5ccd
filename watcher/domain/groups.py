"""Groups: what one receiver is told together, when, and again. Pure in `now`; the router keeps them in the store.

A group is all alerts of one receiver and route that agree on the labels of `group_by`. News wait `group_wait` in a new
group and `group_interval` in one that was told lately; firing alerts are told again every `repeat_interval` until they
end or somebody acknowledges them, and go to another receiver when nobody does in time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from watcher.domain.alerts import TransitionReason
from watcher.domain.muting import Muted

_ENDS = frozenset({TransitionReason.RESOLVED, TransitionReason.ENDED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long news wait and how often they are repeated; None repeats or escalates never."""

    group_wait: timedelta = timedelta(0)
    group_interval: timedelta = timedelta(minutes=1)
    repeat_interval: timedelta | None = timedelta(hours=4)
    escalate_after: timedelta | None = None


@dataclass(slots=True, kw_only=True)
class Member:
    """One alert in a group: `news` are transitions not told yet, oldest first; `told_at` is when its firing was."""

    alert_id: str
    labels: dict[str, str]
    notice: bool = False
    firing: bool = True
    news: list[tuple[int, TransitionReason]] = field(default_factory=list)
    told_at: datetime | None = None
    escalated: bool = False
    muted: str = ""


@dataclass(slots=True, kw_only=True)
class Group:
    """The alerts that one receiver is told of together. `flush_at` None means that there is nothing to wait for."""

    key: str
    receiver: str
    route: int
    members: dict[str, Member] = field(default_factory=dict)
    flush_at: datetime | None = None
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is to be told now: (transition id or None for a reminder, alert id, reason) in order."""

    receiver: str
    group: str
    items: tuple[tuple[int | None, str, TransitionReason], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Why something was told or not, for `watcher explain`."""

    alert_id: str
    receiver: str
    at: datetime
    what: str
    why: str = ""


@dataclass(slots=True)
class Flush:
    """What came of flushing a group."""

    tellings: list[Telling] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)


def add_news(
    group: Group, timing: Timing, *, member: Member, transition_id: int, reason: TransitionReason, now: datetime
) -> None:
    """A transition of an alert of this group is to be told."""
    known = group.members.setdefault(member.alert_id, member)
    known.labels, known.notice = member.labels, member.notice
    known.firing = reason not in _ENDS if reason in _ENDS | {TransitionReason.FIRST} else known.firing
    known.news.append((transition_id, reason))
    due = now + timing.group_wait if group.told_at is None else max(now, group.told_at + timing.group_interval)
    if reason not in (TransitionReason.FIRST, *_ENDS):
        due = now  # what became of a cancel is not held up
    group.flush_at = due if group.flush_at is None else min(group.flush_at, due)


def flush(
    group: Group,
    timing: Timing,
    *,
    now: datetime,
    muted: Callable[[Member], Muted | None],
    acknowledged: Callable[[str], bool],
    escalate_to: str = "",
) -> Flush:
    """Tell what is due of a group, and set its next time; members that are over are let go."""
    result = Flush()
    items = _news(group, now, muted, result)
    told = {alert for _, alert, _ in items}
    items += _reminders(group, timing, now=now, acknowledged=acknowledged, muted=muted, result=result, told=told)
    if items:
        group.told_at = now
        result.tellings += _by_reason(group, items)
    _escalate(group, timing, now=now, acknowledged=acknowledged, to=escalate_to, result=result)
    group.members = {key: m for key, m in group.members.items() if m.news or (m.firing and not m.notice)}
    group.flush_at = _next(group, timing, now, escalate_to)
    return result


Item = tuple[int | None, str, TransitionReason]


def _news(group: Group, now: datetime, muted: Callable[[Member], Muted | None], result: Flush) -> list[Item]:
    items = list[Item]()
    for member in group.members.values():
        if not member.news:
            continue
        why = muted(member)
        if why is not None and member.told_at is None:
            _hold(group, member, why, now, result)
            continue
        for transition_id, reason in member.news:
            items.append((transition_id, member.alert_id, reason))
            result.decisions.append(_decision(group, member, now, f"told: {reason}"))
            if reason is TransitionReason.FIRST:
                member.told_at = now
        member.news, member.muted = [], ""
    return items


def _by_reason(group: Group, items: Sequence[Item]) -> list[Telling]:
    """What began and what ended are told apart, so that a title can say which it is."""
    found: dict[TransitionReason, list[Item]] = {}
    for item in items:
        found.setdefault(item[2], []).append(item)
    return [Telling(receiver=group.receiver, group=group.key, items=tuple(of_one)) for of_one in found.values()]


def _hold(group: Group, member: Member, why: Muted, now: datetime, result: Flush) -> None:
    """A muted alert waits; one that began and ended unseen is let go, since there is nothing left to tell."""
    if not member.firing:
        member.news = []
        result.decisions.append(_decision(group, member, now, f"never told: {why.how}", why.why))
    elif member.muted != why.why:
        member.muted = why.why
        result.decisions.append(_decision(group, member, now, f"held: {why.how}", why.why))


def _reminders(
    group: Group,
    timing: Timing,
    *,
    now: datetime,
    acknowledged: Callable[[str], bool],
    muted: Callable[[Member], Muted | None],
    result: Flush,
    told: set[str],
) -> list[Item]:
    """All that still fires, once the repeat interval has passed since the group was told."""
    if timing.repeat_interval is None or group.told_at is None or now - group.told_at < timing.repeat_interval:
        return []
    items = list[Item]()
    for member in group.members.values():
        if not _is_on(member) or member.alert_id in told:
            continue
        if acknowledged(member.alert_id):
            result.decisions.append(_decision(group, member, now, "not repeated: acknowledged"))
        elif muted(member) is None:
            items.append((None, member.alert_id, TransitionReason.REMINDER))
            result.decisions.append(_decision(group, member, now, "told: reminder"))
    if not items:
        group.told_at = now  # the interval begins anew, so that a silenced group is not asked every second
    return items


def _escalate(
    group: Group, timing: Timing, *, now: datetime, acknowledged: Callable[[str], bool], to: str, result: Flush
) -> None:
    if timing.escalate_after is None or not to:
        return
    items = list[Item]()
    for member in group.members.values():
        late = member.told_at is not None and now - member.told_at >= timing.escalate_after
        if not _is_on(member) or not late or member.escalated:
            continue
        member.escalated = True
        if not acknowledged(member.alert_id):
            items.append((None, member.alert_id, TransitionReason.ESCALATED))
            result.decisions.append(replace(_decision(group, member, now, "told: escalated"), receiver=to))
    if items:
        result.tellings.append(Telling(receiver=to, group=group.key, items=tuple(items)))


def _is_on(member: Member) -> bool:
    return member.firing and not member.notice and member.told_at is not None


def _next(group: Group, timing: Timing, now: datetime, escalate_to: str) -> datetime | None:
    times = list[datetime]()
    if any(m.news for m in group.members.values()):
        times.append(now + timing.group_interval)  # held: look again whether the reason is over
    on = [m for m in group.members.values() if _is_on(m)]
    if on and timing.repeat_interval is not None and group.told_at is not None:
        times.append(group.told_at + timing.repeat_interval)
    if timing.escalate_after is not None and escalate_to:
        times += [m.told_at + timing.escalate_after for m in on if m.told_at and not m.escalated]
    return min(times, default=None)


def _decision(group: Group, member: Member, now: datetime, what: str, why: str = "") -> Decision:
    return Decision(alert_id=member.alert_id, receiver=group.receiver, at=now, what=what, why=why)


def storm(tellings: Sequence[Telling], most: int) -> list[Telling]:
    """More than `most` messages of one kind for one receiver at once become one: fifty failures are one message."""
    alike: dict[tuple[str, TransitionReason], list[Telling]] = {}
    for telling in tellings:
        alike.setdefault((telling.receiver, telling.items[0][2]), []).append(telling)
    merged = list[Telling]()
    for (receiver, _), of_one in alike.items():
        if len(of_one) <= most:
            merged += of_one
        else:
            items = tuple(item for telling in of_one for item in telling.items)
            merged.append(Telling(receiver=receiver, group="storm", items=items))
    return merged
