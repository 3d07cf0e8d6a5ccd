"""What of a job is stored beside the rule states, and how: whole now and then, in between what rows alone change.

A poll that brings nothing but rows leaves most of a job as it was. The whole takes 4.4 KB, on pages of its own, and is
a third of what a poll costs the writer; what such a poll changes is a third as much, on pages that jobs share.
"""

from dataclasses import dataclass, field, fields
from datetime import datetime
from operator import attrgetter
from struct import Struct
from typing import Any, ClassVar

from watcher.domain import codec
from watcher.domain.cadence import Pace
from watcher.domain.cancel_policy import Guard
from watcher.domain.checkpoints import Shelf
from watcher.domain.curve import Buckets, Curve
from watcher.domain.feed import Feed
from watcher.domain.packed import Packed
from watcher.service.jsontext import text_of, value_of
from watcher.service.records import JobRecord


class Ticks(Packed[tuple[int, int]]):
    """(step, at_ns) of train rows."""

    __slots__ = ()
    ITEM: ClassVar = tuple[int, int]
    FORM: ClassVar = Struct("<2q")


@dataclass(slots=True)
class BookState:
    """What is stored with a job's record beside the rule states: constant in size but for one digest an event."""

    feed: Feed = field(default_factory=Feed)
    pace: Pace = field(default_factory=Pace)
    curve: Curve = field(default_factory=Curve)
    last_loss: float | None = None
    best_eval: float | None = None
    best_eval_step: int | None = None
    checkpoint_step: int | None = None
    shelf: Shelf = field(default_factory=Shelf)
    ticks: Ticks = field(default_factory=Ticks)
    """The newest: the job's speed."""
    price_nano: int | None = None
    """The price while it ran: a refund may lower what the API gives after the end."""
    owed_refund: bool = False
    refunded: bool = False
    contacted: bool = False
    """Whether the job was once seen whole: until then its history is folded without a word."""
    restarted_at: datetime | None = None
    """When the log said that the service restarted the job under another id."""
    held: list[tuple[str, str, int]] = field(default_factory=list)
    """(rule, kind, step): alerts that stay until another attempt has passed the step at which they fired."""
    events: list[str] = field(default_factory=list)
    refusals_told: list[str] = field(default_factory=list)
    """`alert id:guard` of the refusals that people were told of."""
    guards: list[tuple[str, str, str, str]] = field(default_factory=list)
    """(rule, kind, guard, reason): what keeps an alert from cancelling now, for pages."""
    frozen_told: str = ""
    """The freeze of a proposal that people were told of last."""

    def was_told(self, alert_id: str, guard: Guard) -> bool:
        """Whether people know that this guard keeps this alert from cancelling."""
        return f"{alert_id}:{guard}" in self.refusals_told

    def note_told(self, alert_id: str, guard: Guard) -> None:
        if not self.was_told(alert_id, guard):
            self.refusals_told.append(f"{alert_id}:{guard}")

    def forget_told(self, alert_id: str, guard: Guard) -> None:
        self.refusals_told = [told for told in self.refusals_told if told != f"{alert_id}:{guard}"]

    @property
    def train_step(self) -> int | None:
        """The newest step seen in metrics."""
        return self.pace.train_step

    @property
    def restarted(self) -> bool:
        """Whether the service restarted the job under another id."""
        return self.restarted_at is not None

    @property
    def seconds_per_step(self) -> float | None:
        """The job's speed over its newest rows, evaluations in between included."""
        if not self.ticks:
            return None
        (first_step, first_ns), (last_step, last_ns) = self.ticks[0], self.ticks[-1]
        if last_step <= first_step or not 0 < first_ns < last_ns:
            return None
        return (last_ns - first_ns) / 1e9 / (last_step - first_step)


@dataclass(slots=True)
class Moved:
    """What rows alone change of a `BookState`, by the same names; of its curve the buckets from number `since` on."""

    feed: Feed
    pace: Pace
    last_loss: float | None
    ticks: Ticks
    since: int
    buckets: Buckets


_MOVING = {*(f.name for f in fields(Moved)), "curve"}
_state_lasts = attrgetter(*(f.name for f in fields(BookState) if f.name not in _MOVING))
_RECORD_MOVES = {"last_seq", "saved_seq", "updated_at", "feed", "moved"}
_record_lasts = attrgetter(*(f.name for f in fields(JobRecord) if f.name not in _RECORD_MOVES))


def _frozen(value: Any) -> Any:  # noqa: ANN401 - of a state
    """The value as it is now, to be compared with later ones; what is in a list of a state never changes itself."""
    if isinstance(value, Shelf):
        return tuple(value.saved), value.unplaced, tuple(value.evaluations)
    return tuple(value) if isinstance(value, list) else value


@dataclass(slots=True)
class Whole:
    """A job as it was saved whole: all that rows alone don't change."""

    record: tuple[Any, ...]
    state: tuple[Any, ...]
    stride: int
    buckets: int

    @classmethod
    def of(cls, record: JobRecord, state: BookState) -> "Whole":
        """The job as it is now."""
        lasting = tuple(map(_frozen, _state_lasts(state)))
        return cls(_record_lasts(record), lasting, state.curve.stride, len(state.curve.buckets))

    def moved(self, record: JobRecord, state: BookState) -> str | None:
        """What has changed since, as a record keeps it beside the whole; None where rows alone can't have done that.

        Snapshots are the same when nothing but time and progress differs, as everywhere.
        """
        now = Whole.of(record, state)
        if (now.state, now.stride, now.record) != (self.state, self.stride, self.record) or now.buckets < self.buckets:
            return None
        self.record = now.record  # the same, and no answer of before is kept for it
        since = max(0, self.buckets - 1)
        curve = state.curve.buckets[since:]
        return text_of(Moved(state.feed, state.pace, state.last_loss, state.ticks, since, curve))


def packed(state: BookState) -> str:
    """The whole state as a record keeps it."""
    return text_of(state)


def unpacked(record: JobRecord) -> BookState:
    """The state that a record keeps; a new one where it keeps none.

    Raises:
        ValueError, TypeError, KeyError: it is not what `packed` and `Whole.moved` make.
    """
    state = codec.decode(BookState, value_of(record.feed)) if record.feed is not None else BookState()
    if record.moved is not None:
        moved = codec.decode(Moved, value_of(record.moved))
        state.feed, state.pace, state.last_loss, state.ticks = moved.feed, moved.pace, moved.last_loss, moved.ticks
        state.curve.buckets[moved.since :] = moved.buckets
    return state
