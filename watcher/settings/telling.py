"""Who is told of what, when and again: routes, mute times, inhibitions and digests."""

from collections.abc import Sequence
from datetime import time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field

from watcher.domain.digest import Digest, DigestKind
from watcher.domain.groups import Timing
from watcher.domain.matching import Matcher
from watcher.domain.muting import DEFAULT_INHIBITIONS, Inhibition, MuteTime
from watcher.domain.routing import Route, Routing
from watcher.settings.basics import Cadence, Globs, Name, Part, Positive, as_list, filled
from watcher.settings.durations import Duration

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Label = Literal["account", "selection", "job", "model", "suffix", "owner", "rule", "kind", "severity"]
Names = Annotated[tuple[str, ...], BeforeValidator(as_list)]


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("expected a time zone such as UTC or Europe/Berlin") from None
    return value


class Match(Part):
    """Globs by label of an alert; a label that is not given matches everything."""

    rule: Globs | None = None
    kind: Globs | None = None
    severity: Globs | None = None
    account: Globs | None = None
    selection: Globs | None = None
    job: Globs | None = None
    model: Globs | None = None
    suffix: Globs | None = None
    owner: Globs | None = None

    def globs(self) -> dict[str, tuple[str, ...]]:
        """Those that are given."""
        return {label: globs for label, globs in self if globs is not None}

    def matchers(self, *, negated: bool = False) -> tuple[Matcher, ...]:
        """As the domain takes them."""
        return tuple(Matcher(label, globs, negated) for label, globs in self.globs().items())


class Escalate(Part):
    """Another receiver, for alerts that nobody acknowledged in time."""

    to: str
    after: Positive = timedelta(minutes=30)


class Telling(Part):
    """How news are grouped and repeated."""

    group_by: Annotated[tuple[Label, ...], BeforeValidator(as_list)] = ("account", "job")
    group_wait: Duration = timedelta(milliseconds=500)
    group_interval: Positive = timedelta(minutes=1)
    repeat_interval: Positive | None = timedelta(hours=4)
    send_resolved: bool = True
    mute_times: Names = ()
    escalate: Escalate | None = None


class RouteEntry(Telling):
    """Which receivers are told of which alerts, and how; what is not set is as in `route`."""

    match: Match = Match()
    unless: Match = Match()
    receivers: Annotated[tuple[str, ...], BeforeValidator(as_list), AfterValidator(filled)]
    go_on: bool = Field(default=False, alias="continue")


class RouteTree(Telling):
    """Routes in order; `receiver` takes what none of them matched and is the first receiver unless set."""

    receiver: str | None = None
    storm: Annotated[int, Field(ge=1)] = 10
    routes: tuple[RouteEntry, ...] = ()


class MuteTimeEntry(Part):
    """Hours in which routes that name it tell nobody; an end before the start is on the next day."""

    name: Name
    days: Annotated[tuple[Day, ...], BeforeValidator(as_list)] = _DAYS  # type: ignore[assignment]
    start: time = Field(default=time(22), alias="from")
    end: time = Field(default=time(7), alias="to")
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"

    def mute_time(self) -> MuteTime:
        """As the domain takes it."""
        days = frozenset(_DAYS.index(day) for day in self.days)
        return MuteTime(name=self.name, days=days, start=self.start, end=self.end, zone=ZoneInfo(self.zone))


class InhibitEntry(Part):
    """While an alert that matches `when` fires, those that match `mute` and agree on `equal` are held back."""

    when: Match
    mute: Match
    equal: Annotated[tuple[Label, ...], BeforeValidator(as_list)] = ("account", "job")

    def inhibition(self) -> Inhibition:
        """As the domain takes it."""
        return Inhibition(source=self.when.matchers(), target=self.mute.matchers(), equal=self.equal)


class DigestEntry(Part):
    """How things stand, at a time of the day or every so often while jobs run."""

    name: Name
    receiver: str
    kind: DigestKind = DigestKind.DAILY
    at: time = time(8)
    zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    every: Cadence = timedelta(minutes=30)

    def digest(self) -> Digest:
        """As the domain takes it."""
        return Digest(
            name=self.name,
            receiver=self.receiver,
            kind=self.kind,
            at=self.at.replace(tzinfo=None),
            zone=ZoneInfo(self.zone),
            every=self.every,
        )


def routing(
    tree: RouteTree, mutes: Sequence[MuteTimeEntry], inhibit: Sequence[InhibitEntry] | None, first_receiver: str
) -> Routing:
    """The routes as the router takes them; the last one takes what no other did."""
    times = {mute.name: mute.mute_time() for mute in mutes}
    routes = [
        _route(_inherited(entry, tree), entry.receivers, times, matchers=_matchers(entry), go_on=entry.go_on)
        for entry in tree.routes
    ]
    routes.append(_route(tree, (tree.receiver or first_receiver,), times, matchers=(), go_on=False))
    inhibitions = DEFAULT_INHIBITIONS if inhibit is None else tuple(entry.inhibition() for entry in inhibit)
    return Routing(routes=tuple(routes), inhibitions=inhibitions, storm=tree.storm)


def _matchers(entry: RouteEntry) -> tuple[Matcher, ...]:
    return (*entry.match.matchers(), *entry.unless.matchers(negated=True))


def _inherited(entry: RouteEntry, tree: RouteTree) -> Telling:
    own = {name: getattr(entry if name in entry.model_fields_set else tree, name) for name in Telling.model_fields}
    return Telling(**own)


def _route(
    how: Telling,
    receivers: tuple[str, ...],
    times: dict[str, MuteTime],
    *,
    matchers: tuple[Matcher, ...],
    go_on: bool,
) -> Route:
    return Route(
        receivers=receivers,
        matchers=matchers,
        go_on=go_on,
        group_by=how.group_by,
        timing=Timing(
            group_wait=how.group_wait,
            group_interval=how.group_interval,
            repeat_interval=how.repeat_interval,
            escalate_after=how.escalate.after if how.escalate else None,
        ),
        send_resolved=how.send_resolved,
        mute_times=tuple(times[name] for name in how.mute_times if name in times),
        escalate_to=how.escalate.to if how.escalate else "",
    )
