"""Kinds of rules with every sort of setting, for tests of the settings: they judge nothing."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Literal

from watcher.domain.observations import Observation, SweepOutcome, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Severity, Verdict


class _Idle:
    version: ClassVar[int] = 1
    timed: ClassVar[bool] = False
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (TrainRow,)

    def start(self) -> Any:
        return None

    def observe(self, state: Any, observation: Observation) -> None: ...

    def judge(self, state: Any, now: datetime) -> Verdict:  # noqa: ARG002
        return CLEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    evals: int = 1
    wait: timedelta = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slow(_Idle):
    name: str = "slow"
    minimum: timedelta = timedelta(minutes=5)
    limit: timedelta | None = None
    factor: float = 3.0
    severity: Severity = Severity.WARNING
    strictness: Literal["low", "high"] = "low"
    patience: Patience | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken(_Idle):
    name: str = "broken"
    rows: int = 3

    def __post_init__(self) -> None:
        if self.rows == 0:
            raise ValueError("expected rows above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rare(_Idle):
    default_on: ClassVar[bool] = False
    name: str = "rare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen(_Idle):
    subject: ClassVar[SubjectKind] = SubjectKind.ACCOUNT
    sees: ClassVar[tuple[type, ...]] = (SweepOutcome,)
    name: str = "unseen"
    after: int = 3


BOOK: tuple[type[Any], ...] = (Broken, Slow, Rare, Unseen)
