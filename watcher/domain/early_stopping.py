"""Together's documented early stopping, told over a job's own evaluations.

After each evaluation its loss is compared with the best so far: lower by more than `min_delta` is an improvement and
sets the count of bad evaluations to none; anything else raises it, but not during the first `warmup` evaluations. The
job is halted when the count reaches `patience`, or at once by an evaluation that is not finite, warm-up or not. It then
ships the best evaluation's step, or where none was ever finite the one at which it was halted.

Two things are not documented, and only matter with a `min_delta` above zero: whether a decrease of exactly `min_delta`
is an improvement, and whether a smaller one still moves the best. `READINGS` has all four, the one taken here first.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from watcher.domain.observations import EvalRow, Row, finite
from watcher.domain.phrasing import number


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """The knobs with which a job was created; the API does not echo them. `warmup` counts evaluations."""

    patience: int
    min_delta: float = 0.0
    warmup: int = 1

    def __post_init__(self) -> None:
        """A patience of none would halt before the first evaluation.

        Raises:
            ValueError: a knob is outside what the service takes.
        """
        if self.patience < 1 or not 0 <= self.min_delta < math.inf or self.warmup < 0:
            raise ValueError("expected patience of at least 1, and min_delta and warmup of at least 0")

    @property
    def least_evals(self) -> int:
        """With fewer planned evaluations the service refuses to create the job."""
        return self.patience + self.warmup + 1

    @property
    def earliest(self) -> int:
        """The first evaluation, counted from 1, at which patience can be used up: the first one ever is no bad one."""
        return max(self.warmup, 1) + self.patience

    def __str__(self) -> str:
        return f"patience {self.patience}, min_delta {number(self.min_delta)}, warm-up {self.warmup}"


DOCUMENTED = EarlyStopping(patience=2)
"""The service's defaults."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation; `loss` in nats is None when it was missing or not finite."""

    step: int
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What is taken for true where the documentation is silent."""

    at_delta: bool = False
    """A decrease of exactly `min_delta` is an improvement."""
    any_lower: bool = False
    """A smaller decrease moves the best, and is a bad evaluation all the same."""

    def __str__(self) -> str:
        exact = "an" if self.at_delta else "no"
        small = "moves" if self.any_lower else "does not move"
        return f"a decrease of exactly min_delta is {exact} improvement and a smaller one {small} the best"


READINGS = tuple(Reading(at_delta=at, any_lower=lower) for lower in (False, True) for at in (False, True))


@dataclass(frozen=True, slots=True)
class Course:
    """How far patience is used up after `seen` evaluations: the best one, and those after it that count as bad.

    `halt` is the evaluation at which the job is halted; those after it change nothing.
    """

    seen: int = 0
    best: Evaluation | None = None
    bad: tuple[Evaluation, ...] = ()
    halt: Evaluation | None = None

    @property
    def ships(self) -> int | None:
        """The step that is promoted; None while nothing is halted."""
        if self.halt is None:
            return None
        return self.halt.step if self.best is None else self.best.step

    def take(self, evaluation: Evaluation, knobs: EarlyStopping, reading: Reading = READINGS[0]) -> "Course":
        """The course after one more evaluation."""
        if self.halt is not None:
            return self
        seen = self.seen + 1
        if evaluation.loss is None:
            return replace(self, seen=seen, halt=evaluation)
        if _improves(evaluation.loss, self.best, knobs.min_delta, reading):
            return Course(seen, evaluation)
        bad = (*self.bad, evaluation) if seen > knobs.warmup else self.bad
        moved = reading.any_lower and _lower(evaluation, self.best)
        halt = evaluation if len(bad) >= knobs.patience else None
        return Course(seen, evaluation if moved else self.best, bad, halt)


def course(evaluations: Iterable[Evaluation], knobs: EarlyStopping, reading: Reading = READINGS[0]) -> Course:
    """Fold the evaluations, in order of steps, as the service is documented to do."""
    so_far = Course()
    for evaluation in evaluations:
        so_far = so_far.take(evaluation, knobs, reading)
    return so_far


def courses(evaluations: Sequence[Evaluation], knobs: EarlyStopping) -> dict[Reading, Course]:
    """The course in each reading; of those that come to the same only the first, so nearly always one."""
    found: dict[Reading, Course] = {}
    for reading in READINGS if knobs.min_delta > 0 else READINGS[:1]:
        read = course(evaluations, knobs, reading)
        if read not in found.values():
            found[reading] = read
    return found


def evaluations_of(rows: Iterable[Row]) -> tuple[Evaluation, ...]:
    """The evaluations among rows in order, see `replay.merge`: a lower step is a restart, the newest counts."""
    kept: list[Evaluation] = []
    last = -math.inf
    for row in rows:
        if row.step < last or (isinstance(row, EvalRow) and kept and row.step <= kept[-1].step):
            kept = [e for e in kept if e.step < row.step]
        last = row.step
        if isinstance(row, EvalRow):
            kept.append(Evaluation(row.step, finite(row.loss)))
    return tuple(kept)


def lowest(evaluations: Iterable[Evaluation]) -> Evaluation | None:
    """The first of the lowest finite losses."""
    return min((e for e in evaluations if e.loss is not None), key=lambda e: e.loss or 0.0, default=None)


def show(evaluation: Evaluation) -> str:
    """`0.4213 at step 48`."""
    return f"{'not finite' if evaluation.loss is None else number(evaluation.loss)} at step {evaluation.step}"


def show_all(evaluations: Sequence[Evaluation]) -> str:
    """The last ten at most: a long patience would fill a message."""
    return ", ".join(show(e) for e in evaluations[-10:])


def _improves(loss: float, best: Evaluation | None, min_delta: float, reading: Reading) -> bool:
    if best is None or best.loss is None:
        return True
    decrease = best.loss - loss
    # 0.5 - 0.45 is a little less than 0.05 to a computer, and exactly that to whoever wrote the numbers.
    if min_delta > 0 and math.isclose(decrease, min_delta, rel_tol=1e-9, abs_tol=1e-12):
        return reading.at_delta
    return decrease > min_delta


def _lower(evaluation: Evaluation, best: Evaluation | None) -> bool:
    return best is not None and best.loss is not None and evaluation.loss is not None and evaluation.loss < best.loss
