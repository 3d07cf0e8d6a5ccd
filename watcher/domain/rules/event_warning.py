"""`event_warning`: the service logged a warning on the job."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

from watcher.domain.event_log import is_warning
from watcher.domain.observations import Event, Observation
from watcher.domain.phrasing import QUOTE, clock, pairs, quote
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict

_WARNINGS = 20


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning as it was first read."""

    kind: str
    at: datetime
    step: int | None
    message: str


@dataclass(slots=True)
class WarningState:
    """The first 20 different warnings read; a job that warns of more is not understood better by a 21st message."""

    warnings: list[Warned] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class EventWarning:
    """Tells each warning of the log once; two that differ in numbers only (a step, a time) count as one."""

    name: str = "event_warning"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Event,)
    timed: ClassVar[bool] = False

    def start(self) -> WarningState:
        return WarningState()

    def observe(self, state: WarningState, observation: Observation) -> None:
        if not isinstance(observation, Event) or not is_warning(observation):
            return
        message = quote(observation.message, 2 * QUOTE)
        kind = _digest(message)
        if len(state.warnings) < _WARNINGS and all(warned.kind != kind for warned in state.warnings):
            state.warnings.append(Warned(kind, observation.at, observation.step or None, message))

    def judge(self, state: WarningState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        return Breach(tuple(_finding(warned) for warned in state.warnings)) if state.warnings else CLEAR


def _digest(message: str) -> str:
    same = re.sub(r"\d+", "0", message.lower())
    return hashlib.sha256(same.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _finding(warned: Warned) -> Finding:
    where = f" at step {warned.step}" if warned.step else ""
    said = f': "{quote(warned.message)}"' if warned.message else ", without a message"
    return Finding(
        kind=warned.kind,
        severity=Severity.INFO,
        reason=f"The service logged a warning{where} on {clock(warned.at)}{said}.",
        step=warned.step,
        evidence=pairs(("warning", warned.message), ("logged", clock(warned.at))),
        notice=True,
    )
