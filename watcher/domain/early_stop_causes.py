"""Why the service stopped a job early, as far as its evaluations tell: it gives a step and a metric, and no reason."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from watcher.domain.early_stopping import DOCUMENTED, Course, EarlyStopping, Evaluation, course, courses, lowest, show


class Cause(StrEnum):
    """What halted the job."""

    PATIENCE = "patience"
    NOT_FINITE = "not_finite"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """What is known of an early stop. Evaluations are in order; `complete` says that none before the halt is missing.

    A `best_metric` of None means that no evaluation was finite and better: `best_step` is then the halt itself.
    """

    evals: Sequence[Evaluation]
    complete: bool = True
    halt_step: int | None = None
    best_step: int | None = None
    best_metric: float | None = None
    n_evals: int | None = None
    configured: EarlyStopping | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """`best` is the promoted evaluation, always finite; `used` are those that used up patience, in order.

    `settings` says in words which knobs lead to this halt, or is empty where that can't be told.
    """

    cause: Cause
    best: Evaluation | None
    used: tuple[Evaluation, ...]
    settings: str


def explain(stop: Stop) -> Explanation:
    """The evaluations that halted the job, and knobs that are consistent with it."""
    seen = [e for e in stop.evals if stop.halt_step is None or e.step <= stop.halt_step]
    cause = _cause(stop, seen)
    used, settings = _settings(stop, seen) if cause is Cause.PATIENCE else ((), "")
    return Explanation(cause=cause, best=_best(stop, seen), used=used, settings=settings)


def _cause(stop: Stop, seen: Sequence[Evaluation]) -> Cause:
    halt = seen[-1] if seen and stop.halt_step in (None, seen[-1].step) else None
    if halt is not None and halt.loss is None:
        return Cause.NOT_FINITE
    if stop.best_metric is None:
        # Documented for runs without any finite evaluation; where one was seen, that does not explain it.
        return Cause.NOT_FINITE if lowest(seen) is None else Cause.UNKNOWN
    return Cause.PATIENCE if halt is not None and halt.step != stop.best_step else Cause.UNKNOWN


def _best(stop: Stop, seen: Sequence[Evaluation]) -> Evaluation | None:
    if stop.best_metric is None or stop.best_step is None:
        return None
    promoted = next((e for e in seen if e.step == stop.best_step), None)
    if promoted is not None and promoted.loss is not None:
        return promoted
    return Evaluation(stop.best_step, stop.best_metric)


# --- knobs ---


def _settings(stop: Stop, seen: Sequence[Evaluation]) -> tuple[tuple[Evaluation, ...], str]:
    """The evaluations that used up patience, and what can be said of the knobs that lead there."""
    own = stop.configured if stop.complete else None
    read = courses(seen, own) if own is not None else {}
    fitting = {reading: end for reading, end in read.items() if _leads_there(stop, seen, end)}
    if fitting:
        reading, end = next(iter(fitting.items()))
        only = f"; this fits only if {reading}" if len(fitting) < len(read) else ""
        return end.bad, f"{own}, as configured{only}"
    misfit = f"those configured ({own}) do not lead to this halt" if own is not None else ""
    found = consistent(stop, seen)
    if found is None:
        return tuple(e for e in seen if stop.best_step is not None and e.step > stop.best_step), misfit
    said = "; ".join(part for part in (misfit, _found(found)) if part)
    return course(seen, found).bad, said


def _leads_there(stop: Stop, seen: Sequence[Evaluation], end: Course) -> bool:
    return end.halt == seen[-1] and end.ships == stop.best_step


def _found(knobs: EarlyStopping) -> str:
    which = f"{knobs}, the documented defaults" if knobs == DOCUMENTED else f"{knobs}"
    exact = "a min_delta a little larger, if a decrease of exactly that much is an improvement"
    return f"consistent with {which}{f', or {exact}' if knobs.min_delta else ''}; the API does not tell them"


def consistent(stop: Stop, seen: Sequence[Evaluation]) -> EarlyStopping | None:
    """The simplest knobs with which the last of these evaluations halts and the promoted one is the best.

    Simplest is the least `min_delta`, then the warm-up nearest to the default; patience follows from the two. None
    where the promoted evaluation or others were not seen, or no knobs lead there.
    """
    place = next((i for i, e in enumerate(seen, start=1) if e.step == stop.best_step), None)
    losses = [e.loss for e in seen if e.loss is not None]
    if place is None or not stop.complete or len(losses) < len(seen) or place == len(seen):
        return None
    for min_delta in _deltas(losses, place):
        for warmup in sorted(range(len(seen)), key=lambda w: abs(w - DOCUMENTED.warmup)):
            knobs = EarlyStopping(patience=len(seen) - max(place, warmup), min_delta=min_delta, warmup=warmup)
            allowed = stop.n_evals is None or stop.n_evals >= knobs.least_evals
            if allowed and _leads_there(stop, seen, course(seen, knobs)):
                return knobs
    return None


def _deltas(losses: Sequence[float], place: int) -> Iterator[float]:
    """Each `min_delta` that makes the evaluation at `place`, counted from 1, the last improvement; the least first.

    What improves changes only at the decreases themselves. No later loss may be lower by more than it.
    """
    best, rest = losses[place - 1], losses[place:]
    least = max(0.0, best - min(rest))
    decreases = {a - b for i, a in enumerate(losses[:place]) for b in losses[i + 1 : place] if a - b > least}
    for min_delta in [least, *sorted(decreases)]:
        if _last_improvement(losses, min_delta) == place:
            yield min_delta


def _last_improvement(losses: Sequence[float], min_delta: float) -> int:
    best, last = math.inf, 0
    for number, loss in enumerate(losses, start=1):
        if best - loss > min_delta:
            best, last = loss, number
    return last


def lower_seen(explanation: Explanation, evals: Sequence[Evaluation]) -> str | None:
    """An evaluation that was lower than the promoted one, in words; None where none was."""
    found = lowest(evals)
    if found is None or found.loss is None:
        return None
    best = explanation.best
    if best is not None and best.loss is not None and best.loss <= found.loss:
        return None
    return show(found)
