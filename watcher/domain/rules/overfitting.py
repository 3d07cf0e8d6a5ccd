"""The eval loss rises for good while the train loss does not: what is learnt from here on does not generalise.

Evaluations are few and on a fixed set, so their noise is small and is read off the curve's own bends. One evaluation
above the best is nothing; several in a row, none of them falling back, are. That the best is behind is told, not acted
on: a rising eval loss with a still rising task score is common, hence a warning by default.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import EvalRow, Observation, Snapshot, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import MedianWindow
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_TRAIN_ROWS = 31
"""Train rows whose median is the train loss at an evaluation: odd, and few beside the rows between evaluations."""
_SEEN = (2, 8, 0.2)
"""Evaluations past the best that must be high: a fifth of those planned (else of those seen), at least 2, at most 8."""
_BENDS = 9
"""Bends, |e - mean of its neighbours|, of which the median gives the noise."""
_SIGMA_OF_BEND = 1.21
"""Standard deviation of normal noise over the median bend: 1.4826 / sqrt 1.5."""
_SIGMAS = 1.35
"""Standard deviations of that noise that a rise must exceed beside the least rise."""
_FLOORS = (0.1, 0.02)
"""A rise is measured against the best eval loss, but never against less than these shares of the first eval loss and of
the first train loss: what fell to near zero may double and still be near zero."""
_TRAIN_RISE = 0.02
"""The train loss may have risen by this share since the best evaluation: more is a hump or a divergence."""
_FELL = 0.8
"""An evaluation under this share of the highest rise since the best is on its way back."""
_OVER = 0.4
"""A firing ends when the rise fell under this share of its highest, or with a new best."""


@dataclass(slots=True)
class OverfittingState:
    """`top` is the highest eval loss since the best, `recent` the last evaluations."""

    planned: int | None = None
    rows: int = 0
    evals: int = 0
    first_train: float = 0.0
    first: float = 0.0
    best: float = 0.0
    best_step: int = 0
    since_best: int = 0
    top: float = 0.0
    train_at_best: float = 0.0
    train: MedianWindow = field(default_factory=MedianWindow)
    recent: list[float] = field(default_factory=list)
    bends: MedianWindow = field(default_factory=MedianWindow)
    verdict: Breach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Overfitting:
    """Fires when the last evaluations all lie above the best by `rise` and the noise, and do not come back.

    `rise` is a share of the best eval loss; `sensitivity` low doubles it, high halves it. `may_cancel` lets the
    policy act on it, which is off unless someone wants it.
    """

    name: str = "overfitting"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    rise: float = 0.015
    may_cancel: bool = False

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, EvalRow)
    timed: ClassVar[bool] = False

    def start(self) -> OverfittingState:
        return OverfittingState()

    def observe(self, state: OverfittingState, observation: Observation) -> None:
        if isinstance(observation, TrainRow):
            state.rows += 1
            _trained(state, finite(observation.loss))
        elif isinstance(observation, EvalRow):
            loss = finite(observation.loss)
            if loss is not None:
                self._evaluated(state, observation.step, loss)
        elif isinstance(observation, Snapshot):
            state.planned = observation.n_evals or state.planned

    def judge(self, state: OverfittingState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows or state.evals else Unknown("no rows yet")

    def _evaluated(self, s: OverfittingState, step: int, loss: float) -> None:
        s.evals += 1
        if s.evals == 1:
            s.first = loss
        s.recent = [*s.recent, loss][-_SEEN[1] :]
        if s.evals > 2:  # noqa: PLR2004 - a bend has two neighbours
            before, middle, after = s.recent[-3:]
            s.bends.push(abs(middle - (before / 2 + after / 2)), _BENDS)
        if s.evals == 1 or loss < s.best:
            s.best, s.best_step, s.since_best, s.top = loss, step, 0, loss
            s.train_at_best = s.train.median()
            s.verdict = None
            return
        s.since_best += 1
        s.top = max(s.top, loss)
        if s.verdict is None:
            self._judged(s, step)
        elif loss - s.best < _OVER * (s.top - s.best):
            s.verdict, s.top = None, loss

    def _judged(self, s: OverfittingState, step: int) -> None:
        least, most, share = _SEEN
        needed = max(least, min(most, round(share * max(s.planned or 0, s.evals))))
        scale = max(abs(s.best), _FLOORS[0] * abs(s.first), _FLOORS[1] * abs(s.first_train))
        if s.since_best < needed or scale <= 0.0 or not math.isfinite(s.top - s.best):
            return
        noise = _SIGMA_OF_BEND * s.bends.median() / scale
        rise = self.rise * {"low": 2.0, "normal": 1.0, "high": 0.5}[self.sensitivity] + _SIGMAS * noise
        rises = [(loss - s.best) / scale for loss in s.recent[-needed:]]
        fell = rises[-1] < _FELL * (s.top - s.best) / scale
        if rises[-1] >= rise and min(rises) >= rise / 2 and not fell and not _train_rose(s):
            s.verdict = Breach((_finding(s, step, noise, may_cancel=self.may_cancel),))


def _trained(s: OverfittingState, loss: float | None) -> None:
    if loss is None:
        return
    if not s.train.recent:
        s.first_train = loss
    s.train.push(loss, _TRAIN_ROWS)


def _train_rose(s: OverfittingState) -> bool:
    return bool(s.train.recent) and s.train.median() > s.train_at_best + _TRAIN_RISE * abs(s.train_at_best)


def _finding(s: OverfittingState, step: int, noise: float, *, may_cancel: bool) -> Finding:
    last, train = s.recent[-1], s.train.median()
    beside = f", while the train loss went from {s.train_at_best:.4g} to {train:.4g}" if s.train.recent else ""
    return Finding(
        kind="rising",
        severity=Severity.WARNING,
        reason=(
            f"The eval loss was {last:.4g} at step {step}, up from its best {s.best:.4g} at step {s.best_step}, "
            f"with none of the {s.since_best} evaluations since then below it{beside}."
        ),
        step=step,
        onset=s.best_step,
        evidence=(
            ("best eval", f"{s.best:.4g} at step {s.best_step}"),
            ("last eval", f"{last:.4g} at step {step}"),
            ("highest eval since the best", f"{s.top:.4g}"),
            ("noise of an eval", f"{noise:.1%}"),
        ),
        may_cancel=may_cancel,
    )
