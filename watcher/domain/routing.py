"""Which receivers are told of a transition: routes by labels, first match wins unless it says to go on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from watcher.domain.alerts import Transition, TransitionReason
from watcher.domain.facts import JobFacts

SILENT_REASONS = frozenset({TransitionReason.CANCEL_REQUESTED, TransitionReason.ENDED})
"""Kept in the history, told to nobody: the outcome of a cancel follows within a sweep or two, and an end is no news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Globs by label, all of which must match; an empty mapping matches everything."""

    match: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    receivers: tuple[str, ...]
    go_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Routing:
    """Routes in order, and the receiver for what none of them matched."""

    default: str
    routes: tuple[Route, ...] = ()
    send_resolved: bool = True


def labels(transition: Transition, facts: JobFacts | None) -> dict[str, str]:
    """What routes match on."""
    alert = transition.alert
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


def receivers(routing: Routing, transition: Transition, facts: JobFacts | None) -> tuple[str, ...]:
    """The receivers to tell, each once, in the order of the routes; empty when nobody is to be told."""
    if transition.reason in SILENT_REASONS:
        return ()
    if transition.reason is TransitionReason.RESOLVED and (transition.alert.notice or not routing.send_resolved):
        return ()
    found: list[str] = []
    seen = labels(transition, facts)
    for route in routing.routes:
        if not _matches(route.match, seen):
            continue
        found += [r for r in route.receivers if r not in found]
        if not route.go_on:
            return tuple(found)
    return tuple(found) or (routing.default,)


def _matches(match: Mapping[str, Sequence[str]], seen: Mapping[str, str]) -> bool:
    return all(any(fnmatchcase(seen.get(label, ""), glob) for glob in globs) for label, globs in match.items())
