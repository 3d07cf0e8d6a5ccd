"""Which receivers are told of a transition, and how: routes by labels, the first match wins unless it says to go on."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.facts import JobFacts
from watcher.domain.groups import Timing
from watcher.domain.matching import Matcher, all_match
from watcher.domain.muting import DEFAULT_INHIBITIONS, Inhibition, MuteTime

SILENT_REASONS = frozenset({TransitionReason.CANCEL_REQUESTED, TransitionReason.ENDED, TransitionReason.PENDING})
"""Kept in the history, told to nobody: the outcome of a cancel follows within a sweep or two, and an end is no news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Some alerts, who is told of them, and how. No matcher matches everything."""

    receivers: tuple[str, ...]
    matchers: tuple[Matcher, ...] = ()
    go_on: bool = False
    group_by: tuple[str, ...] = ("account", "job")
    timing: Timing = field(default_factory=Timing)
    send_resolved: bool = True
    mute_times: tuple[MuteTime, ...] = ()
    escalate_to: str = ""

    @property
    def id(self) -> str:
        """What a stored group knows its route by: the same while it takes the same alerts, wherever it stands."""
        return hashlib.sha256(" ".join(map(str, self.matchers)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Routes in order, the last of which takes what none before it took.

    `storm` is how many messages one receiver gets at once at most; what is over that comes in one message.
    """

    routes: tuple[Route, ...]
    inhibitions: tuple[Inhibition, ...] = DEFAULT_INHIBITIONS
    storm: int = 10

    def route(self, route_id: str) -> Route:
        """The route of a stored group; one that a reload took away is replaced by the last, which takes everything."""
        return next((route for route in self.routes if route.id == route_id), self.routes[-1])

    @property
    def inhibits_by_facts(self) -> bool:
        """Whether an inhibition looks at more than an alert says of itself."""
        asked = {m.label for i in self.inhibitions for m in i.source} | {e for i in self.inhibitions for e in i.equal}
        return bool(asked & {"selection", "model", "suffix", "owner"})


def labels(alert: Alert, facts: JobFacts | None) -> dict[str, str]:
    """What routes, silences and inhibitions match on; see `matching.LABELS`."""
    found = {
        "account": alert.subject.account,
        "rule": alert.rule,
        "kind": alert.kind,
        "severity": alert.severity.value,
        "job": alert.subject.job_id,
    }
    if facts is not None:
        found |= {"selection": facts.selection, "model": facts.model, "suffix": facts.suffix, "owner": facts.user_id}
    return found


def is_told(transition: Transition, route: Route) -> bool:
    """Whether a route tells of such a transition at all."""
    if transition.reason in SILENT_REASONS:
        return False
    if transition.reason is TransitionReason.RESOLVED:
        return route.send_resolved and not transition.alert.notice
    return True


def matching_routes(routing: Routing, seen: Mapping[str, str]) -> list[int]:
    """The places of the routes that take an alert with these labels, in order."""
    found = list[int]()
    for place, route in enumerate(routing.routes):
        if all_match(route.matchers, seen):
            found.append(place)
            if not route.go_on:
                break
    return found


def group_key(receiver: str, route: Route, seen: Mapping[str, str]) -> str:
    """The same for all alerts that one receiver is told of together."""
    return "\x1f".join((route.id, receiver, *(seen.get(label, "") for label in route.group_by)))
