"""The eval loss rises for good while the train loss does not: what is learnt from here on does not generalise."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import EvalRow, Observation, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import MedianWindow
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_TRAIN_WINDOW = 31
"""Train rows whose median is the train loss at an evaluation; odd, and small beside the rows between evaluations."""
_RECENT = 5
"""Evaluations of which the roughness is measured."""
_FLOOR = 0.1
"""The rise is measured against the best eval loss, but never against less than this share of the first: a loss that
fell to near zero may double and still be near zero."""


@dataclass(slots=True)
class OverfittingState:
    rows: int = 0
    evals: int = 0
    step: int = 0
    first: float = 0.0
    best: float = 0.0
    best_step: int = 0
    since_best: int = 0
    train_at_best: float = 0.0
    train: MedianWindow = field(default_factory=MedianWindow)
    recent: list[float] = field(default_factory=list)
    bends: MedianWindow = field(default_factory=MedianWindow)
    verdict: Breach | None = None


@dataclass(frozen=True)
class Overfitting:
    """Fires when the last two evaluations lie above the best by more than `rise` and the roughness of the curve.

    The train loss must not have risen meanwhile: an eval loss that rises together with it is a hump or a divergence.
    """

    name: str = "overfitting"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    rise: float = 0.015
    may_cancel: bool = False

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (TrainRow, EvalRow)
    timed: ClassVar[bool] = False

    def start(self) -> OverfittingState:
        return OverfittingState()

    def observe(self, state: OverfittingState, observation: Observation) -> None:
        if isinstance(observation, TrainRow):
            loss = finite(observation.loss)
            state.rows += 1
            if loss is not None:
                state.train.push(loss, _TRAIN_WINDOW)
        elif isinstance(observation, EvalRow):
            loss = finite(observation.loss)
            if loss is not None:
                self._evaluated(state, observation.step, loss)

    def judge(self, state: OverfittingState, now: datetime) -> Verdict:
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows or state.evals else Unknown("no rows yet")

    def _evaluated(self, s: OverfittingState, step: int, loss: float) -> None:
        s.evals += 1
        s.step = step
        if s.evals == 1:
            s.first = loss
        s.recent = [*s.recent, loss][-_RECENT:]
        if len(s.recent) >= 3:
            a, b, c = s.recent[-3:]
            s.bends.push(abs(b - (a + c) / 2), 9)
        if s.evals == 1 or loss < s.best:
            s.best, s.best_step, s.since_best = loss, step, 0
            s.train_at_best = s.train.median()
            s.verdict = None
            return
        s.since_best += 1
        if s.verdict is None:
            s.verdict = self._rising(s)

    def _rising(self, s: OverfittingState) -> Breach | None:
        scale = max(abs(s.best), _FLOOR * abs(s.first))
        if s.since_best < 2 or scale <= 0.0:
            return None
        last, before = (s.recent[-1] - s.best) / scale, (s.recent[-2] - s.best) / scale
        noise = s.bends.median() / scale * 0.82
        need = self.rise * {"low": 2.0, "normal": 1.0, "high": 0.5}[self.sensitivity] + NOISE * noise
        train = s.train.median()
        if min(last, before) < need * 0.5 or last < need or last < 0.8 * before:
            return None
        if s.train.ordered and train > s.train_at_best - FALL * abs(s.train_at_best):
            return None
        return Breach((Finding(kind="rising", severity=Severity.WARNING, reason=f"The eval loss rose from its best {s.best:.4g} at step {s.best_step} to {s.recent[-1]:.4g} at step {s.step}, {last:.1%} more, while the train loss did not rise.", step=s.step, onset=s.best_step, may_cancel=self.may_cancel),))

NOISE = 2.0
FALL = 0.0
