"""What listings show of a job's state, kept between two looks: of many jobs, few change from one to the next."""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from watcher.domain import eta
from watcher.domain.curve import sparkline
from watcher.domain.observations import Status
from watcher.service.book import SPARKLINE_WIDTH
from watcher.service.bookstate import BookState, unpacked
from watcher.service.records import JobRecord

MOST = 20_000
"""States remembered: about half a kilobyte each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """The state of a job's book in short. `ticks` are (step, at_ns) of the oldest and newest row of its speed."""

    train_step: int | None = None
    loss: float | None = None
    best_eval: float | None = None
    best_eval_step: int | None = None
    checkpoint_step: int | None = None
    fresh_at: datetime | None = None
    ticks: tuple[tuple[int, int], tuple[int, int]] | None = None
    sparkline: str = ""
    price_nano: int | None = None
    seconds_per_step: float | None = None
    restarted: bool = False


class _Memory:
    """By a digest of the state's text, so that nothing old is ever shown; the longest unused is forgotten first."""

    def __init__(self) -> None:
        self._known: OrderedDict[bytes, Shown] = OrderedDict()
        self._lock = threading.Lock()  # two threads read the store

    def of(self, record: JobRecord, feed: str) -> Shown:
        digest = hashlib.blake2b(f"{feed}{record.moved}".encode(), digest_size=16).digest()
        with self._lock:
            known = self._known.get(digest)
            if known is not None:
                self._known.move_to_end(digest)
                return known
        shown = _shown(unpacked(record))
        with self._lock:
            self._known[digest] = shown
            while len(self._known) > MOST:
                self._known.popitem(last=False)
        return shown


_memory = _Memory()


def shown_of(record: JobRecord) -> Shown:
    """What is shown of a job's state."""
    return Shown() if record.feed is None else _memory.of(record, record.feed)


def _shown(state: BookState) -> Shown:
    return Shown(
        train_step=state.pace.train_step,
        loss=state.last_loss,
        best_eval=state.best_eval,
        best_eval_step=state.best_eval_step,
        checkpoint_step=state.checkpoint_step,
        fresh_at=state.pace.new_row_at,
        ticks=(state.ticks[0], state.ticks[-1]) if state.ticks else None,
        sparkline=sparkline(state.curve.values(), SPARKLINE_WIDTH),
        price_nano=state.price_nano,
        seconds_per_step=state.seconds_per_step,
        restarted=state.restarted,
    )


def training_left(record: JobRecord, shown: Shown, now: datetime) -> timedelta | None:
    """The time to the last planned step at the job's own pace over its newest rows; None where it is not known."""
    if record.snapshot.status is not Status.RUNNING or shown.ticks is None:
        return None
    (first_step, first_ns), (last_step, last_ns) = shown.ticks
    return eta.left_by_steps(
        first_step=first_step,
        first_ns=first_ns,
        last_step=last_step,
        last_ns=last_ns,
        planned=record.snapshot.total_steps,
        now=now,
    )


def time_left(record: JobRecord, shown: Shown, now: datetime) -> timedelta | None:
    """By the job's own pace over its newest rows, else as the API estimates it; None for one that is deleted."""
    job = record.snapshot
    if record.gone:
        return None
    left = training_left(record, shown, now)
    if left is not None or job.status.terminal:
        return left
    return eta.left_by_api(job.eta_seconds, job.started_at, now)
