"""Small rules whose verdict a test controls by the rows that it feeds."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, ClassVar

from watcher.domain import codec
from watcher.domain.engine import Fold
from watcher.domain.observations import EvalRow, Event, Observation, Snapshot, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

UNKNOWN = Unknown("as told")


@dataclass(slots=True)
class HighState:
    rows: int = 0
    total: float = 0.0
    verdict: Breach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class High:
    """Fires while the newest train loss is above the limit; a loss below zero makes it Unknown."""

    name: str = "high"
    limit: float = 5.0
    may_cancel: bool = True
    kind: str = "over"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (TrainRow,)
    timed: ClassVar[bool] = False

    def start(self) -> Any:
        return HighState()

    def observe(self, state: Any, observation: Observation) -> None:
        assert isinstance(observation, TrainRow)
        state.rows += 1
        state.total = observation.loss or 0.0
        if state.total <= self.limit:
            state.verdict = None
        elif state.verdict is None:
            reason = f"loss {observation.loss} at step {observation.step}"
            found = Finding(
                kind=self.kind,
                severity=Severity.CRITICAL,
                reason=reason,
                step=observation.step,
                onset=observation.step,
                may_cancel=self.may_cancel,
            )
            state.verdict = Breach((found,))

    def judge(self, state: Any, now: datetime) -> Verdict:  # noqa: ARG002
        if state.rows == 0 or state.total < 0:
            return UNKNOWN
        return state.verdict or CLEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class High2(High):
    """The same rule after its code has changed."""

    version: ClassVar[int] = 2


@dataclass(slots=True)
class MeanState(HighState):
    losses: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mean(High):
    """Fires while the mean of the newest four train losses is above the limit: a part of them may say otherwise."""

    def start(self) -> Any:
        return MeanState()

    def observe(self, state: Any, observation: Observation) -> None:
        assert isinstance(observation, TrainRow)
        state.losses = [*state.losses, observation.loss or 0.0][-4:]
        High.observe(self, state, replace(observation, loss=sum(state.losses) / len(state.losses)))


@dataclass(slots=True)
class CrashState:
    bad: bool = False
    rows: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashing:
    """Raises on a loss of exactly 666; else fires above 5."""

    name: str = "crashing"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (TrainRow,)
    timed: ClassVar[bool] = False

    def start(self) -> Any:
        return CrashState()

    def observe(self, state: Any, observation: Observation) -> None:
        assert isinstance(observation, TrainRow)
        if observation.loss == 666:
            raise ZeroDivisionError("planted")
        state.rows += 1
        state.bad = (observation.loss or 0.0) > 5

    def judge(self, state: Any, now: datetime) -> Verdict:  # noqa: ARG002
        if not state.bad:
            return CLEAR
        return Breach((Finding(kind="bad", severity=Severity.WARNING, reason="bad", may_cancel=True),))


@dataclass(slots=True)
class QuietState:
    newest: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiet:
    """Fires when no event was logged for longer than the limit: the verdict changes with time alone."""

    name: str = "quiet"
    limit: timedelta = timedelta(minutes=5)

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Event,)
    timed: ClassVar[bool] = True

    def start(self) -> Any:
        return QuietState()

    def observe(self, state: Any, observation: Observation) -> None:
        assert isinstance(observation, Event)
        state.newest = max(state.newest or observation.at, observation.at)

    def judge(self, state: Any, now: datetime) -> Verdict:
        if state.newest is None or now - state.newest <= self.limit:
            return CLEAR
        return Breach((Finding(kind="quiet", severity=Severity.WARNING, reason="quiet"),))


@dataclass(slots=True)
class TraceState:
    seen: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Remembers what it was fed, in order; never fires."""

    name: str = "trace"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, EvalRow, Event)
    timed: ClassVar[bool] = False

    def start(self) -> Any:
        return TraceState()

    def observe(self, state: Any, observation: Observation) -> None:
        step = getattr(observation, "step", None)
        state.seen.append(f"{type(observation).__name__}:{step}")

    def judge(self, state: Any, now: datetime) -> Verdict:  # noqa: ARG002
        return CLEAR


def stored(fold: Fold) -> list[tuple[str, str, Any]]:
    """What a store gives back of a fold's states."""
    return [(rule, mark, codec.encode(state)) for rule, mark, state in fold.dump()]
