"""The train loss has left its own past for good: it will not be back where it was before the run ends.

Losses are judged as y = ln((loss / start + 0.1) / 1.1), start being the first loss: 0 is the start, 0.65 twice it, and
what happens far below a tenth of it hardly counts. Nothing depends on the unit of loss or step. An excursion is the
stretch of rows since the smoothed y last touched a reference: the start, or the best level so far. It counts when it is
high beside the row noise, has lasted a share of the run, and its own course, carried on to the last planned step as a
power law of its age, does not lead back. Heights, not significance, decide; and while it comes down, we wait.

Constants were set on really trained, labelled runs; docs/explanation/detection.md says how numbers do that were chosen
on one half of the runs and read on the other.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import EvalRow, Observation, Snapshot, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import SIGMA_OF_MEDIAN_STEP, Excursion, MedianWindow, RunningMedian
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_LN2 = math.log(2.0)
"""What DPO begins at, exactly (nats): policy and reference are the same model."""
_OFFSET = 0.1
"""Share of the start under which differences fade: 0.01 to 0.03 after a start of 4 is no event."""
_Y_SHIFT = math.log1p(_OFFSET)
_CEILING = 1e12
"""Losses are cut at this many times the start, so that sums stay finite."""
_LEVEL_ROWS = (3, 15, 16)
"""The level is the median of a sixteenth of the planned rows, at least 3 and at most 15 of them."""
_NOISE_ROWS = 31
"""Row-to-row differences of which the median, and for heavy tails the 95 % point, give the noise."""
_TAIL = 2.77
"""The 95 % point of |difference of two normal draws|, in standard deviations of one."""
_TOUCH = (0.1, 0.4)
"""The level touches a reference when it is within this much of y, and this many sigmas, above it."""
_SIGMAS = 2.5
"""Standard deviations by which a height must exceed what the draw of a reference explains."""
_FIRST_SIGMAS = 3.5
"""The same for the first row, a single draw."""
_GUARD = 0.1
"""Height in y that is demanded on top of the noise: a tenth of the loss."""
_EARLY_ROWS = 8
"""First rows whose mean bounds the start from above, when the very first row was a lucky draw."""
_LUCK = 2.0
"""The best level is the least of many medians: true progress is taken to be this many of their sigmas less."""
_LOST = 0.5
"""Share of the progress, in y, that must be gone when the reference is the best level."""
_PROGRESS = 0.05
"""Progress in y under which the best level is no reference of its own: the start is."""
_EARLY = 0.08
"""An excursion that begins within this share of the run comes from the learning rate, not from a stretch of bad data
(which ends by itself, within a tenth of the run in what we have seen), and may be judged sooner ..."""
_MILD, _TOP = 0.4, 0.5
"""... unless it is less than this high in y (1.5 times the start), as warm-up humps are, or its peak lies in the last
half of its age, as the top of a hump does ..."""
_HUGE, _HUGE_WAIT = 1.2, 0.18
"""... or peaked above this (3.5 times the start): what was thrown that far falls late but fast; it waits this share."""
_BEST_SIGMAS = 1.9
"""Standard deviations of the row noise in a height above the best level, which is a median of rows."""
_BLOCKS = 2.5
"""A later excursion must peak at this many times the best level: the stretches of unshuffled data differ by up to that,
and the loss jumps when one ends and stays until the next does."""
_WARN = 0.5
"""Share of the wait after which `diverging` is told."""
_MARGIN = 0.1
"""The course carried on to the end must stay this far above the reference, in y."""
_DOUBLINGS, _LATE_DOUBLINGS = math.log2(7 / 3), math.log2(15 / 13)
"""Doublings of the excursion's age between the middles of its second and last quarter, and of the last two eighths."""
_HOLD = 4.0
"""No cancel when the present fall, kept up for this many times half the excursion's age, leads back."""
_WRECKED, _WRECKED_NORM, _WRECKED_ROWS = 1.7, 50.0, 24
"""Six times the start with gradients of fifty times those at the start, over this many rows: then no wait is needed."""
_NORM_ROWS = (5, 15)
"""Gradient norms whose median is that of the start, and the present one."""
_RATE_ROSE = 1.001
"""A learning rate above its highest so far by this factor is still warming up: the wait begins when that is over."""
_EVALS, _EVAL_RISE, _EVAL_LEVEL, _EVAL_FALL = 3, 1.35, 0.4, 0.9
"""So many evaluations of the excursion at 1.35 times the best one, none of them falling by a tenth from the highest,
with the train level 0.4 above its best, replace the wait."""
_FEWEST = 3
"""Rows of an excursion under which it has no quarters to speak of."""
_ROWS = (4, 8, 8)
"""Rows that an excursion must have: an eighth of the planned ones, at least 4 and at most 8."""
_UNPLANNED_ROWS, _HORIZON = 30, 4
"""With an unknown plan an excursion must have this many rows, and the run is taken to go on to four times its age."""


@dataclass(slots=True)
class DivergenceState:
    """Levels and noise are in y (see the module)."""

    total: int | None = None
    dpo: bool = False
    off: bool = False
    rows: int = 0
    first: int = 0
    step: int = 0
    start: float = 0.0
    last: float = 0.0
    noise: float = 0.0
    best: float = 0.0
    best_step: int = 0
    early_sum: float = 0.0
    level: RunningMedian = field(default_factory=RunningMedian)
    jumps: RunningMedian = field(default_factory=RunningMedian)
    norm_start: MedianWindow = field(default_factory=MedianWindow)
    norms: MedianWindow = field(default_factory=MedianWindow)
    from_start: Excursion = field(default_factory=Excursion)
    from_best: Excursion = field(default_factory=Excursion)
    lr_top: float = 0.0
    lr_step: int = 0
    eval_best: float | None = None
    eval_top: float = 0.0
    evals_high: int = 0
    over_start: bool = False
    verdict: Breach | None = None


@dataclass(frozen=True, slots=True)
class _View:
    """An excursion as it is judged: means of its quarters, and what they are held against."""

    x: Excursion
    over_start: bool
    first: int
    reference: float
    height: float
    total: float
    age: float
    waited: float
    early: float
    late: float

    @property
    def share(self) -> float:
        return self.waited / self.total


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """Fires `diverging` on half the evidence, and `diverged`, which may cancel, on all of it.

    `wait` is the share of the run that an excursion must last, `early_wait` that for one that begins at once and is
    neither mild nor huge, `rise` the least rise of the loss in units of its start. Noise of a quarter of the start,
    peak to peak, may lower the first row by an eighth and lift all later ones by as much, 0.286 of that first row:
    it never cancels. `sensitivity` low waits one and a half times as long, high three quarters.
    """

    name: str = "divergence"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    wait: float = 0.14
    early_wait: float = 0.08
    rise: float = 0.29

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, EvalRow)
    timed: ClassVar[bool] = False

    def start(self) -> DivergenceState:
        return DivergenceState()

    def observe(self, state: DivergenceState, observation: Observation) -> None:
        if isinstance(observation, TrainRow):
            loss = finite(observation.loss)
            if loss is not None and not state.off:
                _norm(state, finite(observation.grad_norm))
                _row(state, observation.step, loss)
                _rate(state, finite(observation.lr))
                self._decide(state)
        elif isinstance(observation, EvalRow):
            _evaluated(state, finite(observation.loss))
            if state.evals_high >= _EVALS:
                self._decide(state)
        elif isinstance(observation, Snapshot):
            state.total = observation.total_steps or state.total
            state.dpo = state.dpo or (observation.method or "").lower().startswith("dpo")

    def judge(self, state: DivergenceState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows else Unknown("no rows yet")

    def _decide(self, s: DivergenceState) -> None:
        """Latch what holds, unless it is latched; let go when the level touched its reference again."""
        if s.verdict is not None and (s.off or (s.from_start if s.over_start else s.from_best).rows == 0):
            s.verdict = None
        if s.off or (s.verdict is not None and s.verdict.findings[-1].may_cancel):
            return
        if s.from_start.rows < _FEWEST and s.from_best.rows < _FEWEST:
            return
        for over_start in (True, False):
            view = self._view(s, over_start=over_start)
            if view is not None and self._judged(s, view):
                return

    def _view(self, s: DivergenceState, *, over_start: bool) -> _View | None:
        x = s.from_start if over_start else s.from_best
        age = s.step - x.since
        if x.rows < _FEWEST or age <= 0 or (not over_start and s.best > -_PROGRESS):
            return None
        late_rows, late = x.blocks.part(x.since + 0.75 * age, s.step)
        early_rows, early = x.blocks.part(x.since + 0.25 * age, x.since + 0.5 * age)
        if not late_rows or not early_rows:
            return None
        if over_start:
            reference, base, lost, noise = 0.0, 0.0, 0.0, _first_draw(s)
        else:
            luck = _LUCK * s.noise / math.sqrt(len(s.level.recent))
            reference, base = min(0.0, s.best + luck), s.best
            lost, noise = -_LOST * s.best, _BEST_SIGMAS * s.noise
        doubt = _SIGMAS * s.noise / math.sqrt(late_rows)
        height = max(_risen(base, self.rise), lost, _GUARD + noise) + doubt
        waited = s.step - max(x.since, s.lr_step)
        return _View(x, over_start, s.first, reference, height, _plan(s), age, waited, early, late)

    def _judged(self, s: DivergenceState, v: _View) -> bool:
        """Latch the verdict on one excursion; True when anything new was said."""
        how = _wrecked(s, v) or _evals_agree(s, v)
        wait = 0.0
        if not how:
            wait = self._wait(v)
            if not self._left(s, v, wait):
                return False
            if v.share >= wait and not _coming_back(s, v) and v.x.rows >= _rows_needed(s):
                how = f"carried on, its course leads nowhere near {_loss(s, v.reference):.4g}"
        if s.verdict is not None and not how:
            return False
        s.over_start = v.over_start
        before = s.verdict.findings if s.verdict is not None else ()
        s.verdict = Breach((*before, _finding(s, v, how)))
        return True

    def _wait(self, v: _View) -> float:
        patience = {"low": 1.5, "normal": 1.0, "high": 0.75}[self.sensitivity]
        young = v.x.since - v.first <= _EARLY * v.total
        if young and v.x.peak > _HUGE:
            return patience * _HUGE_WAIT
        if young and v.late - v.reference > _MILD and v.x.peak_step - v.x.since <= _TOP * v.age:
            return patience * self.early_wait
        return patience * self.wait

    def _left(self, s: DivergenceState, v: _View, wait: float) -> bool:
        """High enough for half the wait, and not on a course that leads back."""
        if v.share < _WARN * wait or v.x.rows < _WARN * _rows_needed(s):
            return False
        if v.late < v.reference + v.height or v.early < v.reference + 0.5 * v.height:
            return False
        left = math.log2(max(1.0, (v.total - v.x.since) / (0.875 * v.age)))
        per_doubling = min(max(0.0, v.early - v.late) / _DOUBLINGS, _late_fall(s, v) / _LATE_DOUBLINGS)
        return v.late - per_doubling * left > v.reference + _MARGIN


def _row(s: DivergenceState, step: int, loss: float) -> None:
    if s.rows == 0:
        s.first, s.start = step, max(loss, _LN2) if s.dpo else loss
    if loss < 0.0 or s.start <= 0.0:
        s.off = True  # a surrogate loss around zero (reinforcement learning) has no level to leave
        return
    y = math.log((share if (share := loss / s.start) < _CEILING else _CEILING) + _OFFSET) - _Y_SHIFT
    s.rows += 1
    s.step = step
    if s.rows > 1:
        s.jumps.push(abs(y - s.last), _NOISE_ROWS)
    if s.rows <= _EARLY_ROWS:
        s.early_sum += y
    s.last, s.noise = y, SIGMA_OF_MEDIAN_STEP * s.jumps.median()
    least, most, part = _LEVEL_ROWS
    s.level.push(y, most if (planned := _planned_rows(s)) >= most * part else max(least, int(planned / part)))
    level, touch = s.level.median(), _TOUCH[0] + _TOUCH[1] * s.noise
    if s.rows >= least and level < s.best:
        s.best, s.best_step = level, step
    s.from_start.follow(step, y, level, touch)
    s.from_best.follow(step, y, level, s.best + touch)


def _norm(s: DivergenceState, norm: float | None) -> None:
    if norm is None:
        return
    first, last = _NORM_ROWS
    if len(s.norm_start.recent) < first:
        s.norm_start.push(norm, first)
    s.norms.push(norm, last)


def _rate(s: DivergenceState, lr: float | None) -> None:
    if lr is not None and lr > _RATE_ROSE * s.lr_top:
        s.lr_top, s.lr_step = lr, s.step


def _evaluated(s: DivergenceState, loss: float | None) -> None:
    """Count the evaluations of this excursion that are high above the best and do not fall."""
    if loss is None or loss <= 0.0:
        return
    if s.eval_best is None or loss < s.eval_best:
        s.eval_best, s.eval_top, s.evals_high = loss, loss, 0
        return
    high = s.from_best.rows > 0 and loss > _EVAL_RISE * s.eval_best and loss > _EVAL_FALL * s.eval_top
    s.evals_high = s.evals_high + 1 if high else 0
    s.eval_top = max(s.eval_top, loss)


def _risen(y: float, starts: float) -> float:
    """Height in y of a rise from there by so many starts."""
    return math.log(math.exp(y) + starts / (1 + _OFFSET)) - y


def _plan(s: DivergenceState) -> float:
    """Planned steps; with no plan, or one that was overrun, a multiple of the run's age."""
    return s.total if s.total and s.total >= s.step else max(1.0, _HORIZON * float(s.step - s.first))


def _planned_rows(s: DivergenceState) -> float:
    if s.rows < 2 or s.step <= s.first:  # noqa: PLR2004 - no spacing yet
        return 100.0
    return _plan(s) * (s.rows - 1) / (s.step - s.first)


def _rows_needed(s: DivergenceState) -> float:
    least, most, part = _ROWS
    return max(least, min(most, _planned_rows(s) / part)) if s.total else _UNPLANNED_ROWS


def _first_draw(s: DivergenceState) -> float:
    """How far above the first row the true start may lie: what its noise allows, and what the first rows show."""
    if s.dpo:
        return 0.0
    sigmas = _FIRST_SIGMAS * max(s.noise, s.jumps.quantile(0.95) / _TAIL)
    if s.rows < _EARLY_ROWS:
        return sigmas
    return min(sigmas, max(0.0, s.early_sum / _EARLY_ROWS) + sigmas / math.sqrt(_EARLY_ROWS))


def _wrecked(s: DivergenceState, v: _View) -> str:
    if v.x.rows >= _WRECKED_ROWS and v.late > _WRECKED:
        before, now = s.norm_start.median(), s.norms.median()
        if now > _WRECKED_NORM * before > 0.0:
            return f"the gradient norm is near {now:.3g}, {before:.3g} at the start"
    return ""


def _evals_agree(s: DivergenceState, v: _View) -> str:
    raised = v.late - s.best > _EVAL_LEVEL + 0.5 * _SIGMAS * s.noise
    if s.evals_high >= _EVALS and not v.over_start and raised and v.x.rows > _ROWS[1]:
        return f"{s.evals_high} evaluations in a row stayed far above the best of {s.eval_best:.4g}"
    return ""


def _late_fall(s: DivergenceState, v: _View) -> float:
    """Fall from the first to the second half of the last quarter, with two sigmas of doubt; infinite if unknown."""
    middle = v.x.since + 0.875 * v.age
    rows, before = v.x.blocks.part(v.x.since + 0.75 * v.age, middle)
    rows_after, after = v.x.blocks.part(middle, s.step)
    if not rows or not rows_after:
        return math.inf
    return max(0.0, before - after + _LUCK * s.noise * math.sqrt(1 / rows + 1 / rows_after))


def _coming_back(s: DivergenceState, v: _View) -> bool:
    """Not high for its whole second half, or falling fast enough to be back within twice its present age."""
    fall = min(v.early - v.late, 4.0 * _late_fall(s, v))
    if v.x.since - s.first > _EARLY * v.total and _loss(s, v.x.peak) < _BLOCKS * _loss(s, s.best):
        return True
    return min(v.early, v.late) < v.reference + v.height or v.late - _HOLD * fall < v.reference


def _loss(s: DivergenceState, y: float) -> float:
    return s.start * max(0.0, (1 + _OFFSET) * math.exp(y) - _OFFSET)


def _finding(s: DivergenceState, v: _View, how: str) -> Finding:
    now, top = _loss(s, v.late), _loss(s, v.x.peak)
    origin = (
        f"its start of {s.start:.4g}"
        if v.over_start
        else f"its best level of {_loss(s, s.best):.4g} (step {s.best_step}, start {s.start:.4g})"
    )
    end = f"; {how}" if how else "; it may still come back"
    return Finding(
        kind="diverged" if how else "diverging",
        # A spike may still come back: that is no reason to wake somebody.
        severity=Severity.CRITICAL if how else Severity.WARNING,
        reason=(
            f"The train loss has been above {origin} since step {v.x.since}, at most {top:.4g} (step {v.x.peak_step}), "
            f"and was near {now:.4g} in the rows up to step {s.step}{end}."
        ),
        step=s.step,
        onset=v.x.since,
        evidence=(
            ("start", f"{s.start:.4g}"),
            ("best level", f"{_loss(s, s.best):.4g} at step {s.best_step}"),
            ("now", f"{now:.4g}"),
            ("highest level", f"{top:.4g} at step {v.x.peak_step}"),
            ("rows above", str(v.x.rows)),
            ("row noise", f"{s.noise:.1%}"),
        ),
        may_cancel=bool(how),
    )
