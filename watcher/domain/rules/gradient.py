"""Gradients or learning rates that are not what they were, or not what was planned: often the first sign of trouble.

Both only warn. The norm is logged for a single batch, and may grow for good reasons; what it did to the loss is for
the rules over the loss to say.
"""

import functools
import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import Observation, Snapshot, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import Blocks, RunningMedian
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_ROWS = 15
"""Rows whose median is the present norm."""
_PAST = 30
"""Rows of past that a norm is held against, at least."""
_STEADY = 10
"""Rows in which the learning rate set no new high, after which warm-up counts as over."""
_TOLERANCE = 1.05
"""A learning rate above the planned one by this factor is another one; below, rounding and groups explain it."""
_UNUSABLE = 20
"""Norms in a row that are no number, where there were some before: a few are how mixed precision finds its scale."""
_END = 0.9
"""Share of the run after which a learning rate of 0 is the end of its schedule."""
_BACK = 0.5
"""A firing on the norm ends at this share, in ln, of the height at which it began."""


@dataclass(slots=True)
class GradientState:
    """Norms as ln; `past` lags behind by the rows in `recent`."""

    planned: float | None = None
    total: int | None = None
    rows: int = 0
    recent: RunningMedian = field(default_factory=RunningMedian)
    past: Blocks = field(default_factory=Blocks)
    unusable: int = 0
    unusable_since: int = 0
    since: int = 0
    top: float = 0.0
    top_step: int = 0
    steady: int = 0
    limit: float = 0.0
    before: float = 0.0
    before_step: int = 0
    zero: int = 0
    zero_since: int = 0
    verdict: Breach | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gradient:
    """Warns of gradients (kind `norm`) and of learning rates (kind `learning_rate`); never cancels.

    Kind `norm`: the median of the last rows is `times` the geometric mean of all before, and above every stretch of
    them; or none is finite any more.

    Kind `learning_rate`: it is above the planned one, jumps above its own highest by `rate_times` after warm-up, or is
    exactly 0 in the middle of the run. `sensitivity` low doubles the logarithms of both factors, high halves them.
    """

    name: str = "gradient"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    times: float = 10.0
    rate_times: float = 2.0

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow)
    timed: ClassVar[bool] = False

    def start(self) -> GradientState:
        return GradientState()

    def observe(self, state: GradientState, observation: Observation) -> None:
        if isinstance(observation, TrainRow):
            state.rows += 1
            self._norm(state, observation)
            self._rate(state, observation)
        elif isinstance(observation, Snapshot):
            state.planned = observation.learning_rate or state.planned
            state.total = observation.total_steps or state.total

    def judge(self, state: GradientState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows else Unknown("no rows yet")

    def _norm(self, s: GradientState, row: TrainRow) -> None:
        norm = finite(row.grad_norm)
        if norm is None:
            _no_norm(s, row)
            return
        s.unusable = 0
        if norm <= 0.0:
            return
        if len(s.recent.recent) == _ROWS:
            s.past.add(row.step, s.recent.recent[0])
        s.recent.push(math.log(norm), _ROWS)
        count, before = s.past.whole()
        if count < _PAST:
            return
        now, limit = s.recent.median(), _logarithm(self.times, self.sensitivity)
        height = now - before
        if s.recent.recent[-1] - before <= limit:
            s.since = row.step
        if height > limit and now > s.past.highest() and not _holds(s, "norm"):
            _latch(s, "norm", _high(s, row, before))
        elif s.verdict is not None and height < _BACK * limit:
            _latch(s, "norm", None)

    def _rate(self, s: GradientState, row: TrainRow) -> None:
        rate = finite(row.lr)
        if rate is None:
            return
        why = self._too_high(s, rate) or _zero(s, row.step, rate)
        if why and not _holds(s, "learning_rate"):
            _latch(s, "learning_rate", _rate_finding(row, why))
        elif s.verdict is not None and not why and rate > 0.0:
            _latch(s, "learning_rate", None)
        if rate > s.top:
            s.steady, s.top, s.top_step = 0, rate, row.step
        else:
            s.steady += 1

    def _too_high(self, s: GradientState, rate: float) -> str:
        if s.planned is not None and rate > _TOLERANCE * s.planned:
            return f"{rate:.4g}, above the planned {s.planned:.4g}"
        factor = _factor(self.rate_times, self.sensitivity)
        if s.steady >= _STEADY and rate > factor * s.top > 0.0:
            s.limit, s.before, s.before_step = factor * s.top, s.top, s.top_step
        if rate <= s.limit or s.limit == 0.0:
            s.limit = 0.0
            return ""
        return f"{rate:.4g}, far above its highest before, {s.before:.4g} at step {s.before_step}"


@functools.cache
def _factor(factor: float, sensitivity: str) -> float:
    return math.pow(factor, {"low": 2.0, "normal": 1.0, "high": 0.5}[sensitivity])


@functools.cache
def _logarithm(factor: float, sensitivity: str) -> float:
    return math.log(_factor(factor, sensitivity))


def _no_norm(s: GradientState, row: TrainRow) -> None:
    """A norm that is no number skips a step; when all are, nothing is learnt any more."""
    if row.grad_norm is None or finite(row.loss) is None:
        return
    s.unusable_since = s.unusable_since if s.unusable else row.step
    s.unusable += 1
    if s.unusable >= _UNUSABLE and len(s.recent.recent) == _ROWS and not _holds(s, "norm"):
        reason = (
            f"The gradient norm has been {row.grad_norm} in all {s.unusable} rows since step {s.unusable_since}, "
            f"while the loss is a number: such steps are skipped."
        )
        _latch(s, "norm", _warning("norm", reason, row.step, s.unusable_since))


def _zero(s: GradientState, step: int, rate: float) -> str:
    if rate > 0.0 or s.top <= 0.0:
        s.zero = 0
        return ""
    s.zero_since = s.zero_since if s.zero else step
    s.zero += 1
    early = s.total is not None and step < _END * s.total
    return f"exactly 0 since step {s.zero_since}: nothing is learnt" if early and s.zero >= _STEADY else ""


def _high(s: GradientState, row: TrainRow, before: float) -> Finding:
    now = math.exp(s.recent.median())
    reason = (
        f"The gradient norm is near {now:.3g} in the last {_ROWS} rows up to step {row.step}, "
        f"{now / math.exp(before):.3g} times its geometric mean of {math.exp(before):.3g} before."
    )
    return _warning("norm", reason, row.step, s.since)


def _rate_finding(row: TrainRow, why: str) -> Finding:
    return _warning("learning_rate", f"The learning rate at step {row.step} is {why}.", row.step, row.step)


def _warning(kind: str, reason: str, step: int, onset: int) -> Finding:
    return Finding(kind=kind, severity=Severity.WARNING, reason=reason, step=step, onset=onset)


def _holds(s: GradientState, kind: str) -> bool:
    return s.verdict is not None and any(f.kind == kind for f in s.verdict.findings)


def _latch(s: GradientState, kind: str, finding: Finding | None) -> None:
    """Replace what is said of one kind; what is said of the other stays the same object."""
    if finding is None and not _holds(s, kind):
        return
    others = tuple(f for f in s.verdict.findings if f.kind != kind) if s.verdict is not None else ()
    found = (*others, finding) if finding is not None else others
    s.verdict = Breach(found) if found else None
