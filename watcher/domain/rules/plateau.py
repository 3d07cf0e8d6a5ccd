"""No real progress any more: `stuck`, none since the start, or `converged`, none to expect until the planned end.

A plateau is claimed by equivalence, not by the absence of a significant trend: what may still be gained, with its doubt
added, must be small. Gains are carried on as a power law of the run's age, per doubling of the step. Where noise is too
large for that the rule says nothing; a few evaluations, which have little noise, may then speak for the train loss.
Without a plan nothing is claimed: the end of a run whose length is not known is never near.
"""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import EvalRow, Observation, Snapshot, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import SIGMA_OF_MEDIAN_STEP, Blocks, RunningMedian
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_NOISE_ROWS = 41
"""Row-to-row differences of which the median gives the noise."""
_ROWS = (4, 2)
"""Rows before anything is claimed, and in the quarters that are compared."""
_LOW = 0.02
"""Share of the first loss under which a row has nothing left to gain: 0.014 nats after DPO's ln 2."""
_LOW_ROWS = 0.7
"""Share of such rows in each of the last two quarters; single huge rows are usual there."""
_NEAR_LOW, _NEAR_LOW_GAIN = 0.06, 0.012
"""Near the floor a gain of this share of the start is nothing, though it is much of what is left."""
_LOW_EVALS = 3
"""Evaluations in a row under the low level that say the same."""
_STUCK_LEVELS = (0.9, 1.5)
"""A loss between these shares of its first never left it; far above it, it did something worse."""
_RISE = 0.03
"""Share by which quarters may rise; more is no plateau."""
_EVALS = 4
"""Evaluations that make a curve."""
_EVAL_GAIN, _EVAL_RISE = 0.003, 0.002
"""Share of the eval loss that may still be gained, and by which it may have risen."""
_EVAL_SIGMAS = 2.0
"""The train loss must then not have moved by more than this many sigmas from half to half."""
_MOVED_SIGMAS = 3.0
"""A firing ends when the loss lies this many sigmas, and the share above, below the level that it named."""
_TIMES = {"low": 0.5, "normal": 1.0, "high": 2.0}
_DOUBLINGS = (math.log2(7 / 3), math.log2(7 / 5))
"""Doublings of the step from the middles of the second and of the third quarter to that of the last."""


@dataclass(slots=True)
class PlateauState:
    """`low` holds 1 for rows with nothing left to gain, 0 for others."""

    total: int | None = None
    off: bool = False
    rows: int = 0
    first: int = 0
    start: float = 0.0
    last: float = 0.0
    blocks: Blocks = field(default_factory=Blocks)
    low: Blocks = field(default_factory=Blocks)
    evals: Blocks = field(default_factory=Blocks)
    evals_low: int = 0
    jumps: RunningMedian = field(default_factory=RunningMedian)
    claimed: float = 0.0
    verdict: Breach | None = None


@dataclass(slots=True)
class _View:
    """The run so far in four parts of equal length: their means, and what follows from them.

    `gain` is what a power law through the last quarters still gains until the end, at least 0. It is made for every
    row between `begin` and `end`, hence not frozen: that would take twice the time.
    """

    step: int
    left: float
    means: tuple[float, float, float, float]
    now: float
    gain: float
    doubt: float
    half_gain: float
    half_doubt: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plateau:
    """Fires between `begin` and `end`, shares of the plan: before there is no history, after there is nothing to save.

    `gain` is the share of the loss that may still be gained where it is `converged`, `gained` the share that may have
    been gained since the start where it is `stuck`. `sensitivity` low halves both, high doubles them. `may_cancel`
    lets the policy act on `stuck`, never on `converged`.
    """

    name: str = "plateau"
    sensitivity: Literal["low", "normal", "high"] = "normal"
    begin: float = 0.3
    end: float = 0.8
    gain: float = 0.006
    gained: float = 0.03
    may_cancel: bool = False

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, EvalRow)
    timed: ClassVar[bool] = False

    def start(self) -> PlateauState:
        return PlateauState()

    def observe(self, state: PlateauState, observation: Observation) -> None:
        if isinstance(observation, Snapshot):
            state.total = observation.total_steps or state.total
            return
        loss = finite(observation.loss) if isinstance(observation, TrainRow | EvalRow) else None
        if loss is None or state.off:
            return
        if isinstance(observation, TrainRow):
            _trained(state, observation.step, loss)
            self._decide(state, observation.step)
        elif isinstance(observation, EvalRow) and state.rows:
            state.evals.add(observation.step, loss)
            state.evals_low = state.evals_low + 1 if loss < _LOW * state.start else 0
            self._decide(state, observation.step)

    def judge(self, state: PlateauState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows else Unknown("no rows yet")

    def _decide(self, s: PlateauState, step: int) -> None:
        if s.verdict is not None:
            if _moved_on(s, step):
                s.verdict = None
            return
        if s.total is None or s.off or s.rows < _ROWS[0] or not self.begin * s.total <= step <= self.end * s.total:
            return
        view = _view(s, step, s.total)
        if view is None:
            return
        low = _low(s, view)
        stuck = "" if low else self._stuck(s, view)
        why = low or stuck or self._flat(view) or _eval_flat(s, view)
        if why:
            kind = "stuck" if stuck else "converged"
            s.claimed = 0.0 if low else view.now
            may_cancel = self.may_cancel and kind == "stuck"
            s.verdict = Breach((_finding(s, view, kind, why, may_cancel=may_cancel),))

    def _times(self) -> float:
        return _TIMES[self.sensitivity]

    def _flat(self, v: _View) -> str:
        first, second, _, now = v.means
        small = self._times() * self.gain * now
        if v.gain >= small or first - now <= _RISE * now or second - now <= -_RISE * now:
            return ""
        left = v.gain + v.doubt
        return f"at its present pace it gains at most {left:.2g} more until the end" if left < small else ""

    def _stuck(self, s: PlateauState, v: _View) -> str:
        limit = self._times() * self.gained * v.now
        fallen = v.means[0] - v.now
        near = fallen < limit and _STUCK_LEVELS[0] < v.now / s.start < _STUCK_LEVELS[1]
        if (near and abs(v.half_gain) + v.half_doubt < limit) or (
            fallen < _EVAL_SIGMAS * v.doubt and _eval_still(s, v)
        ):
            limit = max(limit, fallen)
            return f"it gained no more than {limit:.2g} since the start"
        return ""


def _trained(s: PlateauState, step: int, loss: float) -> None:
    if s.rows == 0:
        s.first, s.start = step, loss
    if loss < 0.0 or s.start <= 0.0:
        s.off, s.verdict = True, None  # a surrogate loss around zero (reinforcement learning) shows no progress
        return
    s.rows += 1
    s.blocks.add(step, loss)
    s.low.add(step, 1.0 if loss < _LOW * s.start else 0.0)
    if s.rows > 1:
        s.jumps.push(abs(loss - s.last), _NOISE_ROWS)
    s.last = loss


def _view(s: PlateauState, step: int, total: int) -> _View | None:
    (a, first), (b, second), (c, third), (d, last) = s.blocks.quarters(step)
    if a < 1 or c < 1 or b < _ROWS[1] or d < _ROWS[1]:
        return None
    left = math.log2(max(1.0, total / (0.875 * step)))
    noise = SIGMA_OF_MEDIAN_STEP * s.jumps.median()
    before, after = a + b, c + d
    return _View(
        step=step,
        left=left,
        means=(first, second, third, last),
        now=last,
        gain=max((second - last) / _DOUBLINGS[0], (third - last) / _DOUBLINGS[1], 0.0) * left,
        doubt=noise * math.sqrt(1 / b + 1 / d),
        half_gain=(a * first + b * second) / before - (c * third + d * last) / after,
        half_doubt=noise * math.sqrt(1 / before + 1 / after),
    )


def _low(s: PlateauState, v: _View) -> str:
    limit = _NEAR_LOW * s.start
    near = v.now < limit and v.means[2] < limit and v.gain + v.doubt < _NEAR_LOW_GAIN * s.start
    if near or s.evals_low >= _LOW_EVALS or _low_rows(s, v.step):
        return f"little is left of its start of {s.start:.4g}"
    return ""


def _low_rows(s: PlateauState, step: int) -> bool:
    """Whether most rows of each of the last two quarters have nothing left to gain."""
    if not any(s.low.sums):
        return False
    return all(share > _LOW_ROWS for _, share in s.low.parts((step / 2, step * 3 / 4, step)))


def _eval_flat(s: PlateauState, v: _View) -> str:
    """Where the noise of the train loss hides its trend: the evaluations are flat, and it shows no trend."""
    if abs(v.half_gain) > _EVAL_SIGMAS * v.half_doubt or s.evals.rows < _EVALS:
        return ""
    before, second = s.evals.part(0.25 * v.step, 0.5 * v.step)
    after, last = s.evals.part(0.75 * v.step, v.step)
    if not before or not after:
        return ""
    gain = (second - last) / _DOUBLINGS[0] * v.left
    if gain < _EVAL_GAIN * last and second - last > -_EVAL_RISE * last:
        return f"the eval loss moved only from {second:.4g} to {last:.4g}"
    return ""


def _eval_still(s: PlateauState, v: _View) -> bool:
    _, first = s.evals.part(0, 0.5 * v.step)
    rows, last = s.evals.part(0.75 * v.step, v.step)
    return bool(rows) and bool(_eval_flat(s, v)) and abs(first - last) < _EVAL_RISE * last


def _moved_on(s: PlateauState, step: int) -> bool:
    """Whether the last eighth of the run lies clearly below what was claimed to be the end of the way."""
    rows, now = s.blocks.part(0.875 * step, step)
    if rows < _ROWS[0]:
        return False
    doubt = _MOVED_SIGMAS * SIGMA_OF_MEDIAN_STEP * s.jumps.median() / math.sqrt(rows)
    return now < s.claimed - _RISE * max(s.claimed, _NEAR_LOW * s.start) - doubt


def _finding(s: PlateauState, v: _View, kind: str, why: str, *, may_cancel: bool) -> Finding:
    onset = s.first if kind == "stuck" else int(0.25 * v.step)
    return Finding(
        kind=kind,
        severity=Severity.WARNING,
        reason=(
            f"The train loss averaged {v.means[1]:.4g} from step {int(0.25 * v.step)} to {int(0.5 * v.step)} and "
            f"{v.now:.4g} from step {int(0.75 * v.step)} to {v.step}: {why}."
        ),
        step=v.step,
        onset=onset,
        evidence=(
            ("first loss", f"{s.start:.4g}"),
            ("mean of each quarter of the run so far", ", ".join(f"{mean:.4g}" for mean in v.means)),
            ("gain still expected", f"{v.gain:.2g}"),
            ("doubt", f"{v.doubt:.2g}"),
        ),
        may_cancel=may_cancel,
    )
