"""Groups: what one receiver is told together, when, and again. Pure in `now`; the router keeps them in the store.

A group is all alerts of one receiver and route that agree on the labels of `group_by`. News wait `group_wait` in a new
group and `group_interval` in one that was told lately; firing alerts are told again every `repeat_interval` until they
end or somebody acknowledges them, and go to another receiver when nobody does in time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from watcher.domain.alerts import TransitionReason
from watcher.domain.muting import Muted

_BEGINS = frozenset({TransitionReason.FIRST, TransitionReason.AGAIN})
_ENDS = frozenset({TransitionReason.RESOLVED, TransitionReason.ENDED})
_ALONE = frozenset({TransitionReason.CANCEL_PROPOSED})
"""Told in a message of its own, however many there are: a cancel that is lost in a list was announced to nobody."""
_ACKNOWLEDGED = "acknowledged"
FOREVER = datetime.max.replace(tzinfo=UTC)
"""The end of an acknowledgement that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long news wait and how often they are repeated; None repeats or escalates never."""

    group_wait: timedelta = timedelta(0)
    group_interval: timedelta = timedelta(minutes=1)
    repeat_interval: timedelta | None = timedelta(hours=4)
    escalate_after: timedelta | None = None


@dataclass(slots=True, kw_only=True)
class Member:
    """One alert in a group.

    `news` are transitions not told yet, oldest first; `told_at` is when its firing was told and `last_at` when that was
    said the last time; `muted` is why it was held back or not repeated, as noted last.
    """

    alert_id: str
    labels: dict[str, str]
    notice: bool = False
    firing: bool = True
    news: list[tuple[int, TransitionReason]] = field(default_factory=list)
    told_at: datetime | None = None
    last_at: datetime | None = None
    escalated: bool = False
    muted: str = ""

    @property
    def is_on(self) -> bool:
        """Whether people know of it and it still holds."""
        return self.firing and not self.notice and self.told_at is not None


@dataclass(slots=True, kw_only=True)
class Group:
    """The alerts that one receiver is told of together. `flush_at` None means that there is nothing to wait for."""

    key: str
    receiver: str
    route: str
    members: dict[str, Member] = field(default_factory=dict)
    flush_at: datetime | None = None
    told_at: datetime | None = None

    @property
    def has_news(self) -> bool:
        """Whether something waits to be told that nothing holds back."""
        return any(member.news and not member.muted for member in self.members.values())


Item = tuple[int | None, str, TransitionReason]
"""Transition id or None for a reminder, alert id, reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """What is to be told now, in order. `clear` says that nothing is left that the receiver was told of together."""

    receiver: str
    group: str
    items: tuple[Item, ...]
    clear: bool = False


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
    known.firing = reason not in _ENDS if reason in _ENDS | _BEGINS else known.firing
    known.news.append((transition_id, reason))
    due = now + timing.group_wait if group.told_at is None else max(now, group.told_at + timing.group_interval)
    if reason not in _BEGINS | _ENDS:
        due = now  # what became of a cancel is not held up
    group.flush_at = due if group.flush_at is None else min(group.flush_at, due)


def flush(
    group: Group,
    timing: Timing,
    *,
    now: datetime,
    muted: Callable[[Member], Muted | None],
    acknowledged: Callable[[str], datetime | None],
    escalate_to: str = "",
) -> Flush:
    """Tell what is due of a group, and set its next time; members that are over are let go.

    `acknowledged` says until when somebody has an alert, FOREVER among the answers, or None where nobody has it.
    """
    return _Flushing(group, timing, now, muted, acknowledged, escalate_to).work()


@dataclass(slots=True)
class _Flushing:
    """One flush of one group. `looks` are the times at which something of it must be looked at again."""

    group: Group
    timing: Timing
    now: datetime
    muted: Callable[[Member], Muted | None]
    acknowledged: Callable[[str], datetime | None]
    escalate_to: str
    result: Flush = field(default_factory=Flush)
    looks: list[datetime] = field(default_factory=list)

    def work(self) -> Flush:
        own, elsewhere = self._news()
        own += self._reminders()
        elsewhere += self._escalations()
        if own:
            self.group.told_at = self.now
        self._tell(self.group.receiver, own)
        self._tell(self.escalate_to, elsewhere)
        members = self.group.members
        self.group.members = {key: m for key, m in members.items() if m.news or (m.firing and not m.notice)}
        self.group.flush_at = min(self.looks, default=None)
        return self.result

    def _news(self) -> tuple[list[Item], list[Item]]:
        """What happened: for the receiver, and for the one to whom it was escalated before."""
        own, elsewhere = list[Item](), list[Item]()
        for member in self.group.members.values():
            self._settle(member)
            if not member.news or self._is_held(member):
                continue
            items: list[Item] = [(number, member.alert_id, reason) for number, reason in member.news]
            for _, _, reason in items:
                self._note(member, f"told: {reason}")
            own += items
            if member.escalated:
                elsewhere += items
                for _, _, reason in items:
                    self._note(member, f"told: {reason}", to=self.escalate_to)
            told = {reason for _, _, reason in items} - _ENDS
            if told and (member.told_at is None or told & _BEGINS):
                member.told_at = member.last_at = self.now
            member.news, member.muted = [], ""
        return own, elsewhere

    def _settle(self, member: Member) -> None:
        """What ended and came back before anybody was told of it went on."""
        begins = [place for place, (_, reason) in enumerate(member.news) if reason in _BEGINS]
        if not any(reason in _ENDS for _, reason in member.news[: max(begins, default=0)]):
            return
        kept = begins[0] if member.told_at is None else None
        member.news = [
            item
            for place, item in enumerate(member.news)
            if place > begins[-1] or place == kept or item[1] not in _BEGINS | _ENDS
        ]
        self._note(member, "not told: it ended and came back")

    def _is_held(self, member: Member) -> bool:
        """A muted alert waits; one that began and ended unseen is let go, since there is nothing left to tell.

        What people were told of once is told to its end, whatever mutes it meanwhile.
        """
        if member.told_at is not None:
            return False
        why = self.muted(member)
        if not member.firing and (why is not None or member.muted):
            member.news = []
            self._note(member, f"never told: {why.how if why else 'over'}", why.why if why else member.muted)
            return True
        if why is not None:
            self._hold(member, why, "held")
        return why is not None

    def _hold(self, member: Member, why: Muted, what: str) -> None:
        """Look again soon, and no later than the end of a silence; each reason is noted once."""
        soon = self.now + self.timing.group_interval
        self.looks.append(soon if why.until is None else min(soon, why.until))
        if member.muted != why.why:
            member.muted = why.why
            self._note(member, f"{what}: {why.how}", why.why)

    def _reminders(self) -> list[Item]:
        """What still fires, once it was not told for the repeat interval."""
        interval = self.timing.repeat_interval
        if interval is None:
            return []
        items, told = list[Item](), list[datetime]()
        waiting = [
            (m, m.last_at) for m in self._on() if m.last_at is not None and not self._is_acknowledged(m, interval)
        ]
        is_due = _due([at for _, at in waiting], interval) <= self.now
        for member, last_at in waiting:
            # What a silence held back has waited: it does not wait for the others too.
            is_its_turn = (is_due or bool(member.muted)) and last_at + interval <= self.now
            why = self.muted(member) if is_its_turn else None
            if why is not None:
                self._hold(member, why, "not repeated")
                continue
            if is_its_turn:
                member.last_at, member.muted = self.now, ""
                items.append((None, member.alert_id, TransitionReason.REMINDER))
                self._note(member, "told: reminder")
            told.append(member.last_at or last_at)
        if told:
            self.looks.append(_due(told, interval))
        return items

    def _escalations(self) -> list[Item]:
        """What nobody acknowledged in time; muted, it waits."""
        after, items = self.timing.escalate_after, list[Item]()
        for member in self._on() if after is not None and self.escalate_to else ():
            if member.escalated or member.told_at is None or after is None or self._has(member):
                continue
            if member.told_at + after > self.now:
                self.looks.append(member.told_at + after)
            elif (why := self.muted(member)) is not None:
                self._hold(member, why, "not escalated")
            else:
                member.escalated = True
                items.append((None, member.alert_id, TransitionReason.ESCALATED))
                self._note(member, "told: escalated", to=self.escalate_to)
        return items

    def _on(self) -> list[Member]:
        return [member for member in self.group.members.values() if member.is_on]

    def _is_acknowledged(self, member: Member, interval: timedelta) -> bool:
        if not self._has(member):
            return False
        if member.muted != _ACKNOWLEDGED and member.last_at is not None:
            if member.last_at + interval > self.now:
                self.looks.append(member.last_at + interval)
            else:
                member.muted = _ACKNOWLEDGED
                self._note(member, f"not repeated: {_ACKNOWLEDGED}")
        return True

    def _has(self, member: Member) -> bool:
        """Whether somebody has it now; the end of that is looked at in time."""
        until = self.acknowledged(member.alert_id)
        if until is not None and until != FOREVER:
            self.looks.append(until)
        return until is not None

    def _tell(self, receiver: str, items: Sequence[Item]) -> None:
        """What began and what ended are told apart, so that a title can say which it is; no end before a beginning."""
        found: dict[TransitionReason, list[Item]] = {}
        for item in sorted(items, key=lambda item: item[2] in _ENDS):
            found.setdefault(item[2], []).append(item)
        for reason, of_one in found.items():
            if reason in _ALONE:
                told = [Telling(receiver=receiver, group=self.group.key, items=(item,)) for item in of_one]
                self.result.tellings += told
                continue
            clear = reason is TransitionReason.RESOLVED and not self._on()
            self.result.tellings.append(
                Telling(receiver=receiver, group=self.group.key, items=tuple(of_one), clear=clear)
            )

    def _note(self, member: Member, what: str, why: str = "", *, to: str = "") -> None:
        receiver = to or self.group.receiver
        self.result.decisions.append(
            Decision(alert_id=member.alert_id, receiver=receiver, at=self.now, what=what, why=why)
        )


def _due(last: Sequence[datetime], interval: timedelta) -> datetime:
    """When alerts that were told last at these times are told again: together, but none waits half an interval more."""
    return min(max(last), min(last) + interval / 2) + interval if last else FOREVER


def storm(tellings: Sequence[Telling], most: int) -> list[Telling]:
    """More than `most` messages of one kind for one receiver at once become one: fifty failures are one message."""
    alike: dict[tuple[str, TransitionReason], list[Telling]] = {}
    for telling in tellings:
        alike.setdefault((telling.receiver, telling.items[0][2]), []).append(telling)
    merged = list[Telling]()
    for (receiver, _), of_one in alike.items():
        if len(of_one) <= most or of_one[0].items[0][2] in _ALONE:
            merged += of_one
        else:
            items = tuple(item for telling in of_one for item in telling.items)
            clear = all(telling.clear for telling in of_one)
            merged.append(Telling(receiver=receiver, group="storm", items=items, clear=clear))
    return merged
