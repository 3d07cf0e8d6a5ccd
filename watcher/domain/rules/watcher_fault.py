"""`watcher_fault`: something is wrong with the watcher itself."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from watcher.domain.observations import Fault, Observation
from watcher.domain.phrasing import QUOTE, clock, pairs, quote, slug
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict

_FAULTS = 100
_WHAT = {
    "rule_crash": "A rule crashed and is blind on this subject until it is mended",
    "job": "A job can't be looked at because of a fault of this program; others are not affected",
    "cancel_rate": "Auto-cancel has stopped: more cancels in an hour than are allowed look like a fault of ours",
    "dead_letter": "A notification could not be delivered and was parked as a dead letter",
    "store": "The store can't write; nothing is decided until it can",
    "reload": "The new configuration is bad; the old one stays in force",
    "clock": "The system clock stepped; times were set anew",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault that is not over."""

    kind: str
    what: str
    key: str
    detail: str
    since: datetime


@dataclass(slots=True)
class FaultState:
    """Open faults, oldest first, at most 100; with that many open, one more would tell nobody anything new."""

    open: list[Trouble] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class WatcherFault:
    """Fires for each fault of the watcher, told apart by kind and key, until it is reported over."""

    name: str = "watcher_fault"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.WATCHER
    sees: ClassVar[tuple[type, ...]] = (Fault,)
    timed: ClassVar[bool] = False

    def start(self) -> FaultState:
        return FaultState()

    def observe(self, state: FaultState, observation: Observation) -> None:
        if not isinstance(observation, Fault):
            return
        kind = slug(f"{observation.kind}:{observation.key}" if observation.key else observation.kind)
        known = any(trouble.kind == kind for trouble in state.open)
        if observation.over:
            state.open = [trouble for trouble in state.open if trouble.kind != kind]
        elif not known and len(state.open) < _FAULTS:
            detail = quote(observation.detail, 2 * QUOTE)
            state.open.append(Trouble(kind, observation.kind, quote(observation.key), detail, observation.at))

    def judge(self, state: FaultState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        return Breach(tuple(_finding(trouble) for trouble in state.open)) if state.open else CLEAR


def _finding(trouble: Trouble) -> Finding:
    what = _WHAT.get(trouble.what, f"Something is wrong with the watcher ({trouble.what})")
    about = f" ({trouble.key})" if trouble.key else ""
    because = f": {quote(trouble.detail)}" if trouble.detail else ""
    return Finding(
        kind=trouble.kind,
        severity=Severity.CRITICAL,
        reason=f"{what}{about}, since {clock(trouble.since)}{because}.",
        evidence=pairs(("what", trouble.what), ("where", trouble.key), ("detail", trouble.detail)),
    )
