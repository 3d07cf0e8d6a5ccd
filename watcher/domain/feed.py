"""Where a row belongs: new, a repetition, the start of another attempt, or late."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter

from watcher.domain.observations import EvalRow, Observation, Row, TrainRow

_AT = attrgetter("at_ns")


class Arrival(StrEnum):
    """What a row is against those that came before it."""

    NEW = "new"
    DUPLICATE = "duplicate"
    ATTEMPT = "attempt"
    """A newer timestamp on an older step: the job went back; what it had logged from this step on is over."""
    LATE = "late"
    """An older timestamp on an older step: a row that was held up; rules fold again with it in its place."""
    SUPERSEDED = "superseded"
    """A row of an attempt that is over, held up until another had begun: it counts no more."""


@dataclass(slots=True)
class Feed:
    """The newest row of each kind. Train rows and eval rows are ordered apart: an eval may come after later steps."""

    train: TrainRow | None = None
    eval: EvalRow | None = None
    attempt_step: int = 0
    attempt_ns: int = 0
    """Where and when (Unix nanoseconds) the present attempt began; both are 0 in the first."""

    def classify(self, row: Row) -> Arrival:
        """What the row is; changes nothing."""
        if self._is_superseded(row):
            return Arrival.SUPERSEDED
        last = self.train if isinstance(row, TrainRow) else self.eval
        if last is None or row.step > last.step:
            return Arrival.NEW
        if row.step == last.step:
            return Arrival.DUPLICATE if _same(row, last) else Arrival.NEW
        return Arrival.ATTEMPT if row.at_ns > last.at_ns else Arrival.LATE

    def goes_back(self, rows: Sequence[Row]) -> bool:
        """Whether one of these, were they taken in turn, is late or the first of another attempt; changes nothing."""
        if self._goes_on(rows):
            return False
        newest: dict[type[Row], float] = {type(row): row.step for row in (self.train, self.eval) if row is not None}
        for row in rows:
            if self._is_superseded(row):
                continue
            kind = type(row)
            if row.step < newest.get(kind, -math.inf):
                return True
            newest[kind] = row.step
        return False

    def _is_superseded(self, row: Row) -> bool:
        return 0 < row.at_ns < self.attempt_ns and row.step >= self.attempt_step

    def take(self, row: Row) -> None:
        """The row is now the newest of its kind, unless it is late."""
        if isinstance(row, TrainRow):
            if self.train is None or row.step >= self.train.step:
                self.train = row
        elif self.eval is None or row.step >= self.eval.step:
            self.eval = row

    def take_new(self, rows: Sequence[Row]) -> Sequence[Row]:
        """The rows before the first that is not new, nearly always all; each is taken."""
        if rows and self._goes_on(rows):
            self.take(rows[-1])
            return rows
        for count, row in enumerate(rows):
            if self.classify(row) is not Arrival.NEW:
                return rows[:count]
            self.take(row)
        return rows

    def _goes_on(self, rows: Sequence[Row]) -> bool:
        """Whether these are nothing but train rows of further steps, which is seen at a tenth of the cost."""
        step, since = -1 if self.train is None else self.train.step, self.attempt_ns
        for row in rows:
            if type(row) is not TrainRow or row.step <= step or row.at_ns < since:
                return False
            step = row.step
        return True

    def begin_attempt(self, row: Row) -> None:
        """The row is the first of another attempt."""
        self.attempt_step, self.attempt_ns = row.step, row.at_ns

    def restart(self, kept: list[Row]) -> None:
        """Only the given rows still count."""
        self.train = self.eval = None
        for row in kept:
            self.take(row)


def _same(row: Row, other: Row) -> bool:
    """Whether two rows of one step say the same, whenever they were logged (NaN equals NaN here)."""
    if isinstance(row, TrainRow) and isinstance(other, TrainRow):
        mine, theirs = (row.loss, row.grad_norm, row.lr), (other.loss, other.grad_norm, other.lr)
    else:
        mine, theirs = (row.loss, None, None), (other.loss, None, None)
    return repr(mine) == repr(theirs)


def arrival_order(rows: list[Row]) -> list[Row]:
    """The rows of one answer as they were logged: by timestamp where every row has one, else as they came."""
    return sorted(rows, key=_AT) if all(map(_AT, rows)) else rows


def step_order(rows: list[Row]) -> list[Row]:
    """Rows of one attempt in their proper places: by step, train before eval."""
    return sorted(rows, key=lambda row: (row.step, isinstance(row, EvalRow)))


def rows_of(observations: Iterable[Observation]) -> list[Row]:
    """The rows among observations, in their order."""
    return [o for o in observations if isinstance(o, TrainRow | EvalRow)]


def history_order(observations: Sequence[Observation]) -> list[Observation]:
    """History as rules fold it: snapshots and events first, then rows by step. No rule asks how the two interleave."""
    rest = [o for o in observations if not isinstance(o, TrainRow | EvalRow)]
    return [*rest, *step_order(rows_of(observations))]
