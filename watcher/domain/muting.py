"""Why an alert is not told now: silences of people, inhibition by another alert, and mute times.

Muting never loses anything: what is muted waits in its group, and is told when the reason ends while it still fires.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time, tzinfo

from watcher.domain.matching import Matcher, all_match

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """A person asked for quiet: for what, from when to when, who and why. An empty list of matchers is not allowed."""

    id: str
    matchers: tuple[Matcher, ...]
    author: str
    comment: str
    starts_at: datetime
    ends_at: datetime

    def holds(self, now: datetime) -> bool:
        return self.starts_at <= now < self.ends_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Inhibition:
    """While an alert that matches `source` fires, those that match `target` and agree on `equal` are not told."""

    source: tuple[Matcher, ...]
    target: tuple[Matcher, ...]
    equal: tuple[str, ...]

    def can_mute(self, target: Labels) -> bool:
        return all_match(self.target, target)

    def can_be_caused_by(self, source: Labels) -> bool:
        return all_match(self.source, source)

    def mutes(self, target: Labels, source: Labels) -> bool:
        """Two alerts that each are source and target would mute each other, and nobody would know of either."""
        return (
            self.can_mute(target)
            and self.can_be_caused_by(source)
            and not (all_match(self.source, target) and all_match(self.target, source))
            and all(target.get(label, "") == source.get(label, "") for label in self.equal)
        )


def _rules(*names: str) -> tuple[Matcher, ...]:
    return (Matcher("rule", names),)


DEFAULT_INHIBITIONS = (
    # A job that failed has not also stalled, and why it failed is told by the failure.
    Inhibition(
        source=_rules("failure", "deleted"),
        target=_rules("stall", "plateau", "queue_time"),
        equal=("account", "job"),
    ),
    # What can't be seen is not known: nothing that rests on silence is told of an account that is out of sight.
    Inhibition(
        source=_rules("provider_unreachable"),
        target=_rules("stall", "queue_time", "deleted", "refund"),
        equal=("account",),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteTime:
    """Hours of some days (0 is Monday) in a time zone; an end before the start is on the next day."""

    name: str
    days: frozenset[int]
    start: time
    end: time
    zone: tzinfo

    def holds(self, now: datetime) -> bool:
        local = now.astimezone(self.zone)
        clock, day = local.time(), local.weekday()
        if self.start < self.end:
            return day in self.days and self.start <= clock < self.end
        return (day in self.days and clock >= self.start) or ((day - 1) % 7 in self.days and clock < self.end)


@dataclass(frozen=True, slots=True)
class Muted:
    """One reason not to tell: the kind of muting, a sentence about it, and when it ends where that is known."""

    how: str
    why: str
    until: datetime | None = None


def muted_by(
    labels: Labels,
    *,
    silences: Iterable[Silence],
    inhibitions: Sequence[Inhibition],
    firing: Iterable[Labels],
    mute_times: Iterable[MuteTime],
    now: datetime,
) -> Muted | None:
    """The first reason why an alert with these labels is not told now, or None; `firing` is what else fires."""
    for silence in silences:
        if silence.holds(now) and all_match(silence.matchers, labels):
            until = silence.ends_at.strftime("%Y-%m-%d %H:%M UTC")
            why = f"silence {silence.id} by {silence.author} until {until}: {silence.comment}"
            return Muted("silence", why, silence.ends_at)
    # Most alerts are the target of none: thousands that fire at once are not compared with each other.
    aimed = [inhibition for inhibition in inhibitions if inhibition.can_mute(labels)]
    for source in firing if aimed else ():
        if any(inhibition.mutes(labels, source) for inhibition in aimed):
            return Muted("inhibition", f"{source.get('rule')} fires on {source.get('job') or source.get('account')}")
    for mute in mute_times:
        if mute.holds(now):
            return Muted("mute_time", f"mute time {mute.name}")
    return None
