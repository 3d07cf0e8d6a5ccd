"""Whether a cancel was right, told from what a run did after it, and what it was worth.

A cancel was wrong when the run later had a better loss than its best until then: an evaluation where both sides have
one, since evaluations are comparable as they are, else the smoothed training loss, where it must be better by more than
its noise explains. A run whose training loss never came below the one it began with is worth less than the model that
nobody trained, however far it came back. A wrong cancel cost what was paid for the steps done, and saved nothing. Where
too little was recorded after it nobody knows, and it counts as neither.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from statistics import median

from watcher.domain import billing
from watcher.domain.billing import Figure, Meter
from watcher.domain.observations import EvalRow, Row, Status, TrainRow, finite
from watcher.domain.phrasing import number
from watcher.domain.stats import SIGMA_OF_MEDIAN_STEP, MedianWindow

_PART, _FEWEST, _MOST = 20, 5, 101
"""The training loss is smoothed over a twentieth of the rows, but over so many at least and at most."""
_ERRORS = 3 * 1.2533
"""A median of n rows has 1.2533 standard deviations over the root of n as its standard error; three of those are
more than the lowest of many medians owes to luck."""
_LUCK = 2
"""The first loss, that of the model before its first update, is one batch's: it may owe so many standard deviations to
luck. More rows would say more, but a run that diverges from the start has left it by the second."""
_LARGEST = 1e300
_NANO = Decimal(10**9)

Losses = Sequence[tuple[int, float]]
"""(step, loss) in the order of the rows."""


class Verdict(StrEnum):
    """What a cancel turned out to be."""

    SAVED = "saved"
    LOST = "lost"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Best:
    """The lowest loss of one side, in nats, and where; `what` is `eval` or `train`, the latter smoothed."""

    what: str
    step: int
    loss: float

    def __str__(self) -> str:
        return f"{self.what} loss {number(self.loss)} at step {self.step}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindsight:
    """The verdict with its evidence. `margin` is by how much the later loss must be lower to be better, in nats.

    `start` is the first training loss, given where a later loss was better but the training loss never came below
    that, `luck` allowed.
    """

    verdict: Verdict
    before: Best | None = None
    after: Best | None = None
    margin: float = 0.0
    start: float | None = None
    luck: float = 0.0
    why: str = ""

    @property
    def words(self) -> str:
        """`eval loss 1.21 at step 100, then at best 1.05 at step 400`, or why nobody knows."""
        if self.why:
            return self.why
        before = str(self.before) if self.before else "no finite loss"
        after = f"{number(self.after.loss)} at step {self.after.step}" if self.after else "no finite loss"
        noise = f" (noise {number(self.margin)})" if self.margin else ""
        return f"{before}, then at best {after}{noise}{self._beginning}"

    @property
    def _beginning(self) -> str:
        if self.start is None:
            return ""
        return f"; but the train loss never came back to the {number(self.start)} of its first row"


def judged(rows: Sequence[Row], seen: int) -> Hindsight:
    """What became of a run after a cancel that had seen the first `seen` of its rows."""
    before, after = rows[:seen], rows[seen:]
    if not after:
        return Hindsight(verdict=Verdict.UNKNOWN, why="nothing was recorded after it")
    losses, evals = (_losses(before), _losses(after)), (_best_eval(before), _best_eval(after))
    if evals[0] is not None and evals[1] is not None:
        found = _compared(evals[0], evals[1], 0.0)
    else:
        broken = sum(isinstance(row, TrainRow) for row in after) - len(losses[1])
        found = _by_train_loss(*losses, broken=broken)
    return _held_to_its_start(found, *losses) if found.verdict is Verdict.LOST else found


def _held_to_its_start(found: Hindsight, before: Losses, after: Losses) -> Hindsight:
    lowest = _lowest(after, _size(before, after))
    if not before or lowest is None:
        return found
    start, luck = before[0][1], _LUCK * _noise(before, after)
    return found if lowest.loss < start + luck else replace(found, verdict=Verdict.SAVED, start=start, luck=luck)


def _best_eval(rows: Iterable[Row]) -> Best | None:
    found = [(loss, row.step) for row in rows if isinstance(row, EvalRow) and (loss := finite(row.loss)) is not None]
    return Best("eval", min(found)[1], min(found)[0]) if found else None


def _losses(rows: Iterable[Row]) -> Losses:
    """Finite training losses; a zero without a finite gradient norm beside it may hide a broken step."""
    found = []
    for row in rows:
        loss = finite(row.loss) if isinstance(row, TrainRow) else None
        if isinstance(row, TrainRow) and loss is not None and (loss != 0.0 or finite(row.grad_norm) is not None):
            found.append((row.step, max(-_LARGEST, min(_LARGEST, loss))))
    return found


def _by_train_loss(before: Losses, after: Losses, *, broken: int) -> Hindsight:
    """By the smoothed training loss; `broken` is how many training rows after the cancel had no usable one."""
    if len(after) < _FEWEST:
        if broken < _FEWEST:
            return Hindsight(verdict=Verdict.UNKNOWN, why=f"only {len(after)} training losses were recorded after it")
        return Hindsight(verdict=Verdict.SAVED, before=_lowest(before, _size(before)))
    if not before:
        return Hindsight(verdict=Verdict.LOST, after=_lowest(after, _size(after)))
    size = _size(before, after)
    margin = _ERRORS * _noise(before, after) / math.sqrt(size)
    return _compared(_lowest(before, size), _lowest(after, size), margin)


def _size(*sides: Sequence[object]) -> int:
    """Over how many rows to smooth, so that each side has so many."""
    rows = sum(len(side) for side in sides)
    return min(_MOST, max(_FEWEST, rows // _PART), *(len(side) for side in sides))


def _noise(*sides: Losses) -> float:
    """The standard deviation of the losses on the quieter side: a steep course looks like noise."""
    return min(_deviation(side) for side in sides)


def _deviation(losses: Losses) -> float:
    return SIGMA_OF_MEDIAN_STEP * median([abs(b - a) for (_, a), (_, b) in pairwise(losses)] or [0.0])


def _lowest(losses: Losses, size: int) -> Best | None:
    """The lowest median of `size` rows in a row, and the last step of those; None without any row."""
    window, found = MedianWindow(), list[tuple[float, int]]()
    for count, (step, loss) in enumerate(losses, 1):
        window.push(loss, size)
        if count >= size:
            found.append((window.median(), step))
    return Best("train", min(found)[1], min(found)[0]) if found else None


def _compared(before: Best | None, after: Best | None, margin: float) -> Hindsight:
    better = before is not None and after is not None and after.loss < before.loss - margin
    verdict = Verdict.LOST if better else Verdict.SAVED
    return Hindsight(verdict=verdict, before=before, after=after, margin=margin)


# --- what it was worth ---


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """What a policy did on one run; None is not known. Dollars rest on what billing assumes."""

    steps_saved: int | None = 0
    steps_lost: int | None = 0
    saved: Figure = billing.NOTHING
    lost: Figure = billing.NOTHING


def worth(verdict: Verdict, step: float, total_steps: int | None, price: Decimal | None) -> Worth:
    """What a cancel at a step was worth, for a run that was to cost so many dollars.

    A right one saves the steps of the plan that were left, a wrong one loses those that were done and paid for.
    """
    if verdict is Verdict.UNKNOWN:
        unknown = Figure(None, missing="not enough was recorded after it")
        return Worth(steps_saved=None, steps_lost=None, saved=unknown, lost=unknown)
    done = math.ceil(step)  # some logs count in epochs or hours: a step that was begun is paid
    nano = None if price is None else int(price * _NANO)
    bill = billing.bill(Meter(status=Status.CANCELLED, price_nano=nano, done=done, planned=total_steps))
    if verdict is Verdict.LOST:
        return Worth(steps_lost=done, lost=bill.spent)
    return Worth(steps_saved=bill.steps_saved, saved=bill.saved)
