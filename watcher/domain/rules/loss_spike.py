"""A spike of the train loss that went away by itself; `divergence` tells of those that do not."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import Observation, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import SIGMA_OF_MEDIAN_STEP, RunningMedian
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_ROWS = 31
"""Rows whose median is the level that a spike rises from, and of whose steps the noise is taken."""
_SIGMAS = 6.0
"""Standard deviations above the level, as OLMo's monitor counts them."""
_LONGEST = 60
"""Rows after which it is no spike any more but a new level."""
_TOLD = 20
"""Rows for which a spike that is over is told."""


@dataclass(slots=True)
class LossSpikeState:
    """`high` counts the rows of the spike that is going on, `quiet` those since the last one."""

    rows: int = 0
    level: RunningMedian = field(default_factory=RunningMedian)
    steps: RunningMedian = field(default_factory=RunningMedian)
    high: int = 0
    since: int = 0
    top: float = 0.0
    top_step: int = 0
    quiet: int = 0
    verdict: Breach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSpike:
    """Tells of a rise by `times` the level that was over within sixty rows. `sensitivity` moves that factor."""

    name: str = "loss_spike"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    times: float = 1.5

    default_on: ClassVar[bool] = False
    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (TrainRow,)
    timed: ClassVar[bool] = False

    def start(self) -> LossSpikeState:
        return LossSpikeState()

    def observe(self, state: LossSpikeState, observation: Observation) -> None:
        loss = finite(observation.loss) if isinstance(observation, TrainRow) else None
        if loss is None or not isinstance(observation, TrainRow):
            return
        state.rows += 1
        level = state.level.median()
        if len(state.level.recent) >= _ROWS // 2 and loss > level + self._height(state, level):
            _higher(state, observation.step, loss)
            return
        if state.high:
            state.verdict = Breach((_finding(state, observation.step, level),))
            state.high = state.quiet = 0
        state.quiet += 1
        if state.quiet > _TOLD:
            state.verdict = None
        _take(state, loss)

    def judge(self, state: LossSpikeState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows else Unknown("no rows yet")

    def _height(self, s: LossSpikeState, level: float) -> float:
        factor = math.pow(self.times, {"low": 2.0, "normal": 1.0, "high": 0.5}[self.sensitivity])
        return max((factor - 1) * abs(level), _SIGMAS * SIGMA_OF_MEDIAN_STEP * s.steps.median())


def _higher(s: LossSpikeState, step: int, loss: float) -> None:
    if s.high == 0:
        s.since, s.top, s.verdict = step, -math.inf, None
    s.high += 1
    if loss > s.top:
        s.top, s.top_step = loss, step
    if s.high > _LONGEST:
        s.high = 0
        s.level.clear()
        s.steps.clear()


def _take(s: LossSpikeState, loss: float) -> None:
    if s.level.recent:
        s.steps.push(abs(loss - s.level.recent[-1]), _ROWS)
    s.level.push(loss, _ROWS)


def _finding(s: LossSpikeState, step: int, level: float) -> Finding:
    return Finding(
        kind="spike",
        severity=Severity.INFO,
        reason=(
            f"The train loss rose from near {level:.4g} to {s.top:.4g} at step {s.top_step} "
            f"and was back by step {step}, after {s.high} rows."
        ),
        step=step,
        onset=s.since,
        notice=True,
    )
