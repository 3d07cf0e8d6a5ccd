"""What early stopping would do: before a job is created, and on evaluations that were recorded without it."""

from collections.abc import Sequence
from dataclasses import dataclass

from watcher.domain.early_stopping import Course, EarlyStopping, Evaluation, Reading, courses, lowest


@dataclass(frozen=True, slots=True, kw_only=True)
class Chance:
    """What a setting can do on a run of `n_evals` evaluations, evenly spaced over `steps` where those are known.

    `earliest_eval` counts from 1. `most_saved` is the share of the run, 0 to 1, that is left at the earliest halt.
    Steps are rounded: how the service spaces evaluations that do not divide the steps evenly is not documented.
    """

    knobs: EarlyStopping
    n_evals: int
    steps: int | None = None

    @property
    def can_fire(self) -> bool:
        """Whether the service takes the setting at all."""
        return self.n_evals >= self.knobs.least_evals

    @property
    def earliest_eval(self) -> int | None:
        return self.knobs.earliest if self.can_fire else None

    @property
    def earliest_step(self) -> int | None:
        first = self.earliest_eval
        return None if first is None or self.steps is None else round(self.steps * first / self.n_evals)

    @property
    def most_saved(self) -> float:
        first = self.earliest_eval
        return 0.0 if first is None else 1 - first / self.n_evals

    @property
    def most_steps_saved(self) -> int | None:
        step = self.earliest_step
        return None if step is None or self.steps is None else self.steps - step


@dataclass(frozen=True, slots=True, kw_only=True)
class Would:
    """What a halt would have done to a run that went on: `better` is the lowest later evaluation below what ships."""

    course: Course
    halt: Evaluation
    ships: int
    better: Evaluation | None

    @property
    def lost(self) -> float:
        """By how much that evaluation was lower, in nats; 0 where none was."""
        shipped = self.course.best
        if self.better is None or self.better.loss is None or shipped is None or shipped.loss is None:
            return 0.0
        return shipped.loss - self.better.loss


def would(end: Course, later_lowest: Evaluation | None) -> Would | None:
    """What the halt of a course would have done, given the lowest evaluation after it; None where it does not halt.

    Where no evaluation was finite before the halt there is nothing to compare with, and any later one is better.
    """
    if end.halt is None or end.ships is None:
        return None
    shipped = end.best.loss if end.best is not None else None
    better = later_lowest if later_lowest is not None and later_lowest.step > end.halt.step else None
    if better is not None and shipped is not None and (better.loss is None or better.loss >= shipped):
        better = None
    return Would(course=end, halt=end.halt, ships=end.ships, better=better)


def would_have(evals: Sequence[Evaluation], knobs: EarlyStopping) -> dict[Reading, Would | None]:
    """What would have been in each reading of the documentation that makes a difference; None is no halt."""
    found: dict[Reading, Would | None] = {}
    for reading, end in courses(evals, knobs).items():
        halt = end.halt
        outcome = would(end, lowest(e for e in evals if halt is not None and e.step > halt.step))
        if not any(_same(outcome, other) for other in found.values()):
            found[reading] = outcome
    return found


def _same(one: Would | None, other: Would | None) -> bool:
    if one is None or other is None:
        return one is other
    return (one.halt, one.ships) == (other.halt, other.ships)


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Bad evaluations that a running job can still afford; `most` differs from `fewest` where the readings differ."""

    fewest: int
    most: int
    course: Course


def left(evals: Sequence[Evaluation], knobs: EarlyStopping) -> Left | None:
    """Of a job that still runs; None where these knobs would have halted it, so that they are not its own.

    A reading that would have halted it is refuted by its running on, and left out.
    """
    going = [end for end in courses(evals, knobs).values() if end.halt is None]
    if not going:
        return None
    nearest = max(going, key=lambda end: len(end.bad))
    counts = [knobs.patience - len(end.bad) for end in going]
    return Left(fewest=min(counts), most=max(counts), course=nearest)
