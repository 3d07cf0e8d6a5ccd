"""The metric rows of one run, laid out in time, and the cheap selection of those that a request asks for."""

import json
import statistics
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from watcher.simulator.runs import EvalPoint, Run, TrainPoint

SECOND = 1_000_000_000  #: in nanoseconds, the unit of every time in here

_MAX_LAG = SECOND // 100


@dataclass(frozen=True, slots=True)
class MetricsQuery:
    """The filters of `GET …/metrics`. Steps and Unix nanoseconds are inclusive at both ends; None is no filter."""

    step_from: int | None = None
    step_to: int | None = None
    ns_from: int | None = None
    ns_to: int | None = None
    resolution: int | None = None


class RowTable:
    """All rows of a run in the order in which they come out.

    Each row has a moment from which it can be seen and a time stamp a little before it, both in nanoseconds since the
    job was born. An evaluation can be seen at the same moment as the train row of its step, stamped a bit later. Rows
    are kept as JSON text and found by bisection, so an answer costs what it returns.

    The order is replay's: train and eval rows merged by step, train first at equal steps, file order kept within
    each. A lower step is a restart: its rows come after all rows of the attempt before, with newer time stamps; an
    evaluation that stepped back waits for the training to do so too.
    """

    def __init__(self, run: Run, *, speed: float, start_ns: int, n_epochs: int | None) -> None:
        """Lay out `run` at `speed` steps a second, the first row one usual gap after `start_ns`."""
        points = _merged(run)
        epoch_steps = run.total_steps / n_epochs if run.total_steps and n_epochs else None
        self.steps = [point.step for point in points]
        self.is_eval = [isinstance(point, EvalPoint) for point in points]
        self.visible = _moments(points, SECOND / speed, start_ns)
        lag = min(_lag(self.visible), _MAX_LAG)
        self._stamps = [at if ev else at - lag for at, ev in zip(self.visible, self.is_eval, strict=True)]
        self._bodies = [_body(point, epoch_steps) for point in points]
        falls = [i for i, (a, b) in enumerate(pairwise(self.steps), start=1) if b < a]
        self._attempts = list(pairwise([0, *falls, len(points)]))
        self._evals_before = [0]
        for ev in self.is_eval:
            self._evals_before.append(self._evals_before[-1] + ev)

    def __len__(self) -> int:
        return len(self.steps)

    def count_until(self, ns: int) -> int:
        """How many rows can be seen `ns` nanoseconds after the job's birth."""
        return bisect_right(self.visible, ns)

    def first_reaching(self, step: int) -> int | None:
        """The index of the first row at or beyond `step`."""
        return next((i for i, s in enumerate(self.steps) if s >= step), None)

    def count_up_to_step(self, step: int) -> int:
        """How many rows come before the first one beyond `step`."""
        return next((i for i, s in enumerate(self.steps) if s > step), len(self))

    def evals(self, count: int) -> int:
        """How many of the first `count` rows are evaluations."""
        return self._evals_before[count]

    def json(self, count: int, query: MetricsQuery, born_ns: int) -> str:
        """The `metrics` list for the first `count` rows of a job born at `born_ns` (Unix time), filtered."""
        chosen = self._thinned(self._matching(count, query, born_ns), query.resolution)
        rows = (f'{{"timestamp": {born_ns + self._stamps[i]}, {self._bodies[i]}' for i in chosen)
        return f"[{', '.join(rows)}]"

    def _matching(self, count: int, query: MetricsQuery, born_ns: int) -> list[int]:
        """Indices of the rows that pass the filters; steps rise within an attempt, so each one is bisected."""
        low = 0 if query.ns_from is None else bisect_left(self._stamps, query.ns_from - born_ns)
        high = count if query.ns_to is None else min(count, bisect_right(self._stamps, query.ns_to - born_ns))
        found: list[int] = []
        for begin, end in self._attempts:
            a, b = max(begin, low), min(end, high)
            if a < b:
                first = a if query.step_from is None else bisect_left(self.steps, query.step_from, a, b)
                last = b if query.step_to is None else bisect_right(self.steps, query.step_to, a, b)
                found.extend(range(first, last))
        return found

    def _thinned(self, indices: list[int], resolution: int | None) -> list[int]:
        """At most `resolution` train rows, evenly picked, and every eval row. Less than 1 is taken as no limit."""
        if resolution is None or resolution < 1:
            return indices
        train = [i for i in indices if not self.is_eval[i]]
        if len(train) <= resolution:
            return indices
        kept = {train[k * len(train) // resolution] for k in range(resolution)}
        return [i for i in indices if self.is_eval[i] or i in kept]


def _merged(run: Run) -> list[TrainPoint | EvalPoint]:
    """The rows in replay's order; see `RowTable`."""
    merged: list[TrainPoint | EvalPoint] = []
    evals = deque(zip(run.evals, _attempt_numbers(run.evals), strict=True))
    attempt = 0
    for point, next_attempt in zip(run.train, _attempt_numbers(run.train), strict=True):
        # Before the training steps back, what was evaluated up to its last step comes out.
        limit = point.step if next_attempt == attempt else merged[-1].step + 1
        while evals and evals[0][0].step < limit and evals[0][1] <= attempt:
            merged.append(evals.popleft()[0])
        merged.append(point)
        attempt = next_attempt
    return [*merged, *(point for point, _ in evals)]


def _attempt_numbers(points: Sequence[TrainPoint | EvalPoint]) -> list[int]:
    """For each point how often the step had fallen by then."""
    falls = [b.step < a.step for a, b in pairwise(points)]
    return list(accumulate(falls, initial=0))[: len(points)]


def _moments(points: list[TrainPoint | EvalPoint], step_ns: float, start_ns: int) -> list[int]:
    """From when each row can be seen: a step takes `step_ns`, the first row and a restart one usual gap of the log."""
    steps = [p.step for p in points if isinstance(p, TrainPoint)] or [p.step for p in points]
    gaps = [b - a for a, b in pairwise(steps) if b > a]
    usual = statistics.median(gaps) if gaps else 1.0
    moments: list[int] = []
    elapsed = 0.0
    for before, point in zip([None, *points], points, strict=False):
        if before is not None and point.step > before.step:
            elapsed += point.step - before.step
        elif not _same_moment(before, point):
            elapsed += usual
        moments.append(start_ns + int(elapsed * step_ns))
    return moments


def _same_moment(before: TrainPoint | EvalPoint | None, point: TrainPoint | EvalPoint) -> bool:
    """Whether a row is the evaluation that belongs to the train row before it."""
    return isinstance(before, TrainPoint) and isinstance(point, EvalPoint) and before.step == point.step


def _lag(moments: list[int]) -> int:
    """By how much a train row's stamp precedes its moment: so little that stamps never fall from row to row."""
    return min((b - a for a, b in pairwise(moments) if b > a), default=4 * _MAX_LAG) // 4


def _body(point: TrainPoint | EvalPoint, epoch_steps: float | None) -> str:
    """The row as JSON text without its opening and time stamp; NaN and infinities are bare tokens, as Python has it."""
    row: dict[str, float | None] = {"train/global_step": point.step}
    if epoch_steps:
        row["train/epoch"] = round(point.step / epoch_steps, 4)
    if isinstance(point, EvalPoint):
        row["eval/loss"] = point.loss
    else:
        row |= {"train/loss": point.loss, "train/grad_norm": point.grad_norm, "train/learning_rate": point.lr}
    return json.dumps(row)[1:]
