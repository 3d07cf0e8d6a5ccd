"""No real progress any more: never any since the start (`stuck`), or none to expect until the end (`converged`)."""

import math
from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar, Literal

from watcher.domain.observations import Observation, Snapshot, TrainRow, finite
from watcher.domain.rule import SubjectKind
from watcher.domain.stats import SIGMA_OF_MEDIAN_STEP, Blocks, MedianWindow
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict


@dataclass(slots=True)
class PlateauState:
    total: int | None = None
    rows: int = 0
    first: int = 0
    step: int = 0
    start: float = 0.0
    last: float = 0.0
    off: bool = False
    blocks: Blocks = field(default_factory=Blocks)
    jumps: MedianWindow = field(default_factory=MedianWindow)
    verdict: Breach | None = None


@dataclass(frozen=True)
class Plateau:
    name: str = "plateau"
    sensitivity: Literal["low", "normal", "high"] = "normal"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow)
    timed: ClassVar[bool] = False

    def start(self) -> PlateauState:
        return PlateauState()

    def observe(self, state: PlateauState, observation: Observation) -> None:
        if isinstance(observation, Snapshot):
            state.total = observation.total_steps or state.total
        elif isinstance(observation, TrainRow):
            loss = finite(observation.loss)
            if loss is not None and not state.off:
                self._row(state, observation.step, loss)

    def judge(self, state: PlateauState, now: datetime) -> Verdict:
        if state.verdict is not None:
            return state.verdict
        return CLEAR if state.rows else Unknown("no rows yet")

    def _row(self, s: PlateauState, step: int, loss: float) -> None:
        if s.rows == 0:
            s.start, s.first = loss, step
        if loss < 0 or s.start <= 0:
            s.off = True
            s.verdict = None
            return
        s.rows += 1
        s.step = step
        s.blocks.add(step, loss)
        if s.rows > 1:
            s.jumps.push(abs(loss - s.last), 41)
        s.last = loss
        if s.rows >= 8 and s.verdict is None:
            s.verdict = self._flat(s)

    def _flat(self, s: PlateauState) -> Breach | None:
        total = s.total or 4 * s.step
        t = s.step
        if s.total is None or t < 0.25 * total:
            return None
        nh, h = s.blocks.part(0, t * 0.25)
        na, a = s.blocks.part(t * 0.25, t * 0.5)
        nb, b = s.blocks.part(t * 0.5, t * 0.75)
        nc, c = s.blocks.part(t * 0.75, t)
        if min(na, nc, nb, nh) < 2:
            return None
        noise = SIGMA_OF_MEDIAN_STEP * s.jumps.median()
        se = noise * math.sqrt(1 / na + 1 / nc)
        why = ""
        kind = "converged"
        if max(c, b) < LOW * s.start:
            why = "low"
        else:
            drop = (a - c) / 1.22
            gain = max(drop, (b - c) / .485) * math.log2(max(1.0, total / (t * 0.875)))
            flat = gain + SE * se < TOL * c and a - c > -0.03 * c
            if flat and h - c > 0.03 * c:
                why = "flat"
            elif flat and (h - c) < 0.02 * c + se:
                why, kind = "stuck", "stuck"
        if why:
            return Breach((Finding(kind=kind, severity=Severity.WARNING, reason=f"The train loss went from {a:.4g} to {c:.4g} between steps {int(t * 0.375)} and {int(t * 0.875)}: no progress ({why}).", step=s.step, onset=int(t * 0.25), may_cancel=False),))
        return None

LOW = 0.015
TOL = 0.003
SE = 1.0
