"""Which saved checkpoint to go on from, and which better step was never saved.

Saved steps are joined with evaluations by step. A checkpoint without an evaluation of its own is worth the worse of the
two around it; after the last one as much as that, while the next is not overdue and the train loss has not risen since;
before the first nothing is known of it. Where no checkpoint can be valued so, the
smoothed train loss decides for all of them: the two are never compared with each other. What is not finite is never
the best, and a checkpoint of an attempt that is over is not ranked: the present one may have written over it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

from watcher.domain.curve import Bucket, Curve
from watcher.domain.early_stopping import Evaluation, lowest
from watcher.domain.observations import EvalRow, Event, Snapshot, Status, TrainRow, finite, undisguised

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SMOOTHED_ROWS = 10
"""The smoothed train loss of a step is the mean of so many rows up to it at least."""
_CLEAR = 3.0
"""A train loss counts as better when it is so many usual differences between neighbouring points lower."""


class Measure(StrEnum):
    """What checkpoints were compared by."""

    EVAL = "eval loss"
    TRAIN = "smoothed train loss"


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint; `at_ns` is when it was saved, Unix time in nanoseconds, 0 where that is not known."""

    step: int
    at_ns: int = 0
    final: bool = False


@dataclass(frozen=True, slots=True)
class Attempt:
    """Where and when (Unix nanoseconds) the present attempt began; both are 0 in the first."""

    step: int = 0
    at_ns: int = 0

    def replaced(self, saved: Saved) -> bool:
        """Whether an attempt that is over saved it, at a step over which the present one goes again."""
        return saved.step >= self.step and 0 < saved.at_ns < self.at_ns


class Basis(StrEnum):
    """Whose loss that of a place is."""

    OWN = "own"
    AROUND = "around"
    BEFORE = "before"


@dataclass(frozen=True, slots=True)
class Place:
    """A step and its loss, a finite number: its own, the worse of the evaluations around it, or that before it."""

    step: int
    loss: float
    final: bool = False
    basis: Basis = Basis.OWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The best saved place, and a better one at which nothing is saved; None where that is not known or not so.

    `newest` is the newest saved step of the present attempt, `replaced` are those of attempts that are over, `unvalued`
    those of which nothing is known that could be compared.
    """

    measure: Measure | None = None
    saved: Place | None = None
    unsaved: Place | None = None
    newest: int | None = None
    replaced: tuple[int, ...] = ()
    unvalued: tuple[int, ...] = ()


@dataclass(slots=True)
class Shelf:
    """What is remembered of a job's saved steps and evaluations: a few bytes each."""

    saved: list[Saved] = field(default_factory=list)
    unplaced: int = 0
    """Checkpoints of which the log does not say the step."""
    evaluations: list[Evaluation] = field(default_factory=list)

    def note_saved(self, event: Event) -> None:
        """The log says that a checkpoint was saved; one saved again at a step has taken the place of the first."""
        if event.step is None:
            self.unplaced += 1
        else:
            kept = [c for c in self.saved if c.step != event.step]
            self.saved = [*kept, Saved(event.step, nanoseconds(event.at))]

    def note_eval(self, row: EvalRow) -> None:
        """Another evaluation, or the same one again."""
        while self.evaluations and self.evaluations[-1].step >= row.step:
            self.evaluations.pop()
        self.evaluations.append(Evaluation(row.step, finite(row.loss)))

    def choose(self, curve: Curve, attempt: Attempt, final: int | None = None) -> Choice:
        """The choice by what is remembered; `final` is the step of the final model."""
        last = [Saved(final, final=True)] if final is not None else []
        return choose([*last, *self.saved], self.evaluations, curve, attempt)


def nanoseconds(at: datetime) -> int:
    """Unix time, to the microsecond that a datetime has."""
    return (at - _EPOCH) // timedelta(microseconds=1) * 1000


def final_step(job: Snapshot, last: int | None) -> int | None:
    """The step of the model that a completed job ships: the best one after an early stop, else the last."""
    if job.status is not Status.COMPLETED:
        return None
    return job.best_step if job.early_stopped and job.best_step is not None else last


def choose(
    checkpoints: Iterable[Saved], evaluations: Sequence[Evaluation], curve: Curve, attempt: Attempt | None = None
) -> Choice:
    """Compare what is saved with what is not.

    Args:
        checkpoints: Each that is known; of two of one step the first counts.
        evaluations: Of the present attempt, by step.
        curve: Its train losses with their steps, see `trusted`.
        attempt: The present one, the first if left out.
    """
    everything = list({c.step: c for c in reversed(list(checkpoints))}.values())
    now = attempt or Attempt()
    live = sorted((c for c in everything if not now.replaced(c)), key=lambda c: c.step)
    taken = {c.step for c in everything}
    measure, values = _valued(live, evaluations, curve)
    best = min(values, key=lambda place: place.loss, default=None)
    if measure is Measure.EVAL:
        other = _unsaved_by_eval(evaluations, taken, best)
    else:
        other = _unsaved_by_train(curve, taken, best)
    return Choice(
        measure=measure if best or other else None,
        saved=best,
        unsaved=other,
        newest=max((c.step for c in live), default=None),
        replaced=tuple(sorted(c.step for c in everything if now.replaced(c))),
        unvalued=tuple(c.step for c in live if c.step not in {place.step for place in values}),
    )


def reference(job_id: str, step: int, *, final: bool = False) -> str:
    """What `from_checkpoint` takes: `ft-id:step`, or `ft-id` alone for the final model."""
    return job_id if final else f"{job_id}:{step}"


def trusted(row: TrainRow) -> float | None:
    """The loss as far as it tells how good the weights are: NaN where it hides one, None where it may."""
    loss = undisguised(row)
    return None if loss == 0.0 and row.grad_norm is None else loss


def curve_of(rows: Iterable[TrainRow]) -> Curve:
    """The train losses of an attempt, in their order."""
    curve = Curve()
    curve.extend([(trusted(row), row.step) for row in rows])
    return curve


def _valued(
    checkpoints: Sequence[Saved], evaluations: Sequence[Evaluation], curve: Curve
) -> tuple[Measure, list[Place]]:
    """The checkpoints whose worth is known, by the measure that knows any. Nothing but evaluations where none is."""
    if not checkpoints:
        return (Measure.EVAL if lowest(evaluations) else Measure.TRAIN), []
    by_eval = [place for c in checkpoints if (place := _by_eval(c, evaluations, curve)) is not None]
    if by_eval:
        return Measure.EVAL, by_eval
    broken = {e.step for e in evaluations if e.loss is None}
    levels = [(c, _level(curve, c.step)) for c in checkpoints if c.step not in broken]
    return Measure.TRAIN, [Place(c.step, level, final=c.final) for c, level in levels if level is not None]


def _by_eval(checkpoint: Saved, evaluations: Sequence[Evaluation], curve: Curve) -> Place | None:
    before = after = None
    for evaluation in evaluations:
        if evaluation.step > checkpoint.step:
            after = evaluation
            break
        before = evaluation
    if before is None or before.loss is None:
        return None
    place = Place(checkpoint.step, before.loss, final=checkpoint.final)
    if before.step == checkpoint.step:
        return place
    if after is None:
        return replace(place, basis=Basis.BEFORE) if _goes_on(before, checkpoint.step, evaluations, curve) else None
    return None if after.loss is None else replace(place, loss=max(before.loss, after.loss), basis=Basis.AROUND)


def _goes_on(last: Evaluation, step: int, evaluations: Sequence[Evaluation], curve: Curve) -> bool:
    """Whether the last evaluation speaks for a step after it: not overdue, and the train loss has not risen since."""
    spacing = last.step - evaluations[-2].step if len(evaluations) > 1 else last.step
    then, now = _level(curve, last.step), _level(curve, step)
    if then is None or now is None or step - last.step > spacing:
        return False
    return now - then <= _CLEAR * _usual_difference(curve)


def _unsaved_by_eval(evaluations: Sequence[Evaluation], taken: set[int], best: Place | None) -> Place | None:
    found = lowest(e for e in evaluations if e.step not in taken)
    if found is None or found.loss is None or (best is not None and found.loss >= best.loss):
        return None
    return Place(found.step, found.loss)


def _unsaved_by_train(curve: Curve, taken: set[int], best: Place | None) -> Place | None:
    """The lowest level of all; beside a saved one only where it is lower than the noise explains."""
    places = [
        Place(until, level)
        for after, until in _parts(curve)
        if not any(after < step <= until for step in taken) and (level := _level(curve, until)) is not None
    ]
    found = min(places, key=lambda place: place.loss, default=None)
    if found is None or (best is not None and best.loss - found.loss <= _CLEAR * _usual_difference(curve)):
        return None
    return found


def _level(curve: Curve, step: int) -> float | None:
    """The smoothed train loss at a step: of the part that holds it and of as many before it as it takes.

    None where the step lies beyond the rows, or one of those rows was not finite or had no value.
    """
    parts = list(_parts(curve))
    at = next((i for i, (after, until) in enumerate(parts) if after < step <= until), None)
    if at is None:
        return None
    sum_of = Bucket()
    for bucket in reversed(curve.buckets[: at + 1]):
        sum_of = bucket.joined(sum_of)
        if sum_of.rows >= SMOOTHED_ROWS:
            break
    return sum_of.mean if sum_of.finite == sum_of.rows else None


def _parts(curve: Curve) -> Iterator[tuple[int, int]]:
    """(after, until) in steps, of each part of the curve; nothing where it was drawn without steps."""
    if not all(bucket.end for bucket in curve.buckets):
        return
    before = 0
    for bucket in curve.buckets:
        yield before, bucket.end
        before = bucket.end


def _usual_difference(curve: Curve) -> float:
    means = [bucket.mean for bucket in curve.buckets if bucket.finite == bucket.rows]
    return median(abs(b - a) for a, b in pairwise(means)) if len(means) > 1 else 0.0
