"""The train loss has left its own past for good: it will not come back to where it was before the run ends."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import EvalRow, Observation, Snapshot, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import SIGMA_OF_MEDIAN_STEP, Blocks, MedianWindow
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

LN2 = math.log(2.0)


@dataclass(slots=True)
class Excursion:
    """Rows above a reference level since the smoothed loss last touched it."""

    since: int = 0
    rows: int = 0
    climb: int = 0
    peak: float = -99.0
    peak_loss: float = 0.0
    blocks: Blocks = field(default_factory=Blocks)

    def reset(self, step: int) -> None:
        self.since, self.rows, self.climb, self.peak, self.peak_loss = step, 0, 0, -99.0, 0.0
        self.blocks.clear()


@dataclass(slots=True)
class DivergenceState:
    total: int | None = None
    method: str = ""
    rows: int = 0
    first: int = 0
    step: int = 0
    start: float = 0.0
    off: bool = False
    last: float = 0.0
    best: float = 0.0
    best_step: int = 0
    level: MedianWindow = field(default_factory=MedianWindow)
    jumps: MedianWindow = field(default_factory=MedianWindow)
    from_start: Excursion = field(default_factory=Excursion)
    from_best: Excursion = field(default_factory=Excursion)
    verdict: Breach | None = None


@dataclass(frozen=True)
class Divergence:
    name: str = "divergence"
    sensitivity: Literal["low", "normal", "high"] = "normal"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, EvalRow)
    timed: ClassVar[bool] = False

    def start(self) -> DivergenceState:
        return DivergenceState()

    def observe(self, state: DivergenceState, observation: Observation) -> None:
        if isinstance(observation, Snapshot):
            state.total = observation.total_steps or state.total
            state.method = observation.method or state.method
        elif isinstance(observation, TrainRow):
            loss = finite(observation.loss)
            if loss is not None and not state.off:
                self._row(state, observation.step, loss)

    def judge(self, state: DivergenceState, now: datetime) -> Verdict:
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows else Unknown("no rows yet")

    def _row(self, s: DivergenceState, step: int, loss: float) -> None:
        if s.rows == 0:
            s.first = step
            s.start = max(loss, LN2) if s.method.startswith("dpo") else loss
        if loss < 0.0 or s.start <= 0.0:
            s.off, s.verdict = True, None
            return
        c = OFFSET * s.start
        y = math.log(min(loss, 1e30 * s.start) / s.start + OFFSET) - math.log(1 + OFFSET)
        s.step = step
        s.rows += 1
        planned = self._planned(s)
        if s.rows > 1:
            s.jumps.push(abs(y - s.last), 31)
        s.last = y
        s.level.push(y, max(3, min(15, int(planned / 16))))
        level = s.level.median()
        noise = SIGMA_OF_MEDIAN_STEP * s.jumps.median()
        if s.rows >= 3 and level < s.best:
            s.best, s.best_step = level, step
        track(s.from_start, step, y, level, loss, START_GUARD + NOISE_GUARD * noise)
        track(s.from_best, step, y, level, loss, s.best + BEST_GUARD + noise)
        if s.verdict is None:
            self._decide(s, planned, noise)
        elif s.from_best.rows == 0:
            s.verdict = None

    def _planned(self, s: DivergenceState) -> float:
        if s.rows < 2 or s.step <= s.first:
            return 100.0
        gap = (s.step - s.first) / (s.rows - 1)
        return (s.total or 4 * s.step) / gap

    def _decide(self, s: DivergenceState, planned: float, noise: float) -> None:
        for x, ref, guard in ((s.from_start, 0.0, START_GUARD + NOISE_GUARD * noise),):
            if x.rows >= 3:
                why = self._lost(s, x, ref, guard, planned, noise)
                if why:
                    s.verdict = Breach((Finding(kind="diverged", severity=Severity.CRITICAL, reason=why, step=s.step, onset=x.since, may_cancel=True),))
                    return

    def _lost(self, s, x, ref, guard, planned, noise):
        total = s.total or 4 * s.step
        tau = s.step - x.since
        need_rows = max(4, min(8, planned / 8))
        f = tau / total
        jump = x.climb < 3
        need = JUMP_WAIT if jump else CLIMB_WAIT
        if x.rows < need_rows or f < need:
            return ""
        na, a = x.blocks.part(x.since + tau * 0.25, x.since + tau * 0.5)
        nc, c = x.blocks.part(x.since + tau * 0.75, s.step)
        if not na or not nc or c < ref + guard:
            return ""
        drop = max(0.0, a - c) / 1.22
        left = math.log2(max(1.0, (total - x.since) / (tau * 0.875)))
        se = noise * math.sqrt(1 / nc)
        end = c - KAPPA * drop * left
        if x.peak > HUGE and f < 2 * need:
            return ""
        if end < ref + MARGIN + se:
            return ""
        now = s.start * ((1 + OFFSET) * math.exp(c) - OFFSET)
        return f"The train loss has stayed above its start of {s.start:.4g} since step {x.since}, is near {now:.4g} at step {s.step} and does not come back."


def track(x: Excursion, step: int, y: float, level: float, loss: float, limit: float) -> None:
    if level <= limit and x.rows == 0 and y <= limit:
        x.since = step
        return
    if level <= limit and (x.rows > 2):
        x.reset(step)
        return
    x.rows += 1
    x.blocks.add(step, y)
    if level > x.peak + 0.05:
        x.climb += 1
    if level > x.peak:
        x.peak = level

OFFSET = 0.1
START_GUARD = 0.15
NOISE_GUARD = 2.5
BEST_GUARD = 0.1
JUMP_WAIT = 0.14
CLIMB_WAIT = 0.08
KAPPA = 1.0
MARGIN = 0.1
HUGE = 1.2
