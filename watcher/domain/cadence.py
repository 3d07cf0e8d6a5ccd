"""What to ask the API for, and when: the smallest number of calls that misses nothing (see the fetch windows below)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from watcher.domain.holes import Holes
from watcher.domain.observations import EvalRow, Row, Snapshot, Status, TrainRow
from watcher.domain.packed import Ints

OVERLAP_STEPS = 50
"""Metrics are asked at least this many steps back, so that a row that was held up is still seen."""
DETAIL_EVERY = timedelta(minutes=10)
"""A job whose list entry does not change is still read this often."""
FOLLOW_CLOSELY = timedelta(minutes=3)
"""So long after its end a job is read in every sweep: upload and refund events follow within seconds to minutes."""
FOLLOW = timedelta(minutes=15)
"""So long after its end a job is followed at least: longer than any rule waits for late events or a name."""
FOLLOW_REFUND = timedelta(hours=25)
"""A job that is owed a refund is followed past the 24 h after which a missing refund is told."""
QUIET_PACES = 3
"""A job without a new row for so many of its own paces is asked once from its last checkpoint."""
_GAPS = 15
_RECENT, _QUIET, _PACES = timedelta(minutes=2), timedelta(minutes=5), 5


@dataclass(slots=True)
class Pace:
    """How far a job's rows have come, and how fast they come. Timestamps are Unix nanoseconds as logged by the API."""

    train_step: int | None = None
    eval_step: int | None = None
    eval_spacing: int | None = None
    newest_at_ns: int = 0
    gaps_ns: Ints = field(default_factory=Ints)
    new_row_at: datetime | None = None
    looked_back: bool = False
    wide_at: datetime | None = None
    tail: str = ""
    """The status in which metrics were last read, once training was over: one read in each is enough."""
    holes: Holes = field(default_factory=Holes)
    strange: tuple[int, int] | None = None
    """(step, at_ns) of a row of the newest answer, where that was not believed: it held none of the known rows."""

    def take(self, rows: Sequence[Row], now: datetime) -> None:
        """New rows were observed."""
        newest = self.newest_at_ns
        for row in rows:
            at_ns = row.at_ns
            if isinstance(row, TrainRow):
                if at_ns > newest > 0:
                    self.gaps_ns.append(at_ns - newest)
                self.train_step = row.step
            else:
                if self.eval_step is not None and row.step > self.eval_step:
                    self.eval_spacing = row.step - self.eval_step
                self.eval_step = row.step
            if at_ns > newest:
                newest = at_ns
        del self.gaps_ns[:-_GAPS]
        self.newest_at_ns = newest
        self.new_row_at, self.looked_back = now, False

    def restart(self, rows: list[Row]) -> None:
        """Only these rows still count."""
        trains = [r.step for r in rows if isinstance(r, TrainRow)]
        evals = [r.step for r in rows if isinstance(r, EvalRow)]
        self.train_step = trains[-1] if trains else None
        self.eval_step = evals[-1] if evals else None

    @property
    def usual_gap(self) -> timedelta | None:
        """The median time between the newest rows."""
        return timedelta(microseconds=median(self.gaps_ns) / 1000) if self.gaps_ns else None


def recent_for(gap: timedelta | None) -> timedelta:
    """How old the newest row may be right before a cancel: two minutes and five of the job's own gaps."""
    return _RECENT + _PACES * (gap or timedelta())


def quiet_after(gap: timedelta | None) -> timedelta:
    """Without a new row for five minutes and five gaps a proposal waits for two fresh sweeps, and people are told."""
    return _QUIET + _PACES * (gap or timedelta())


def from_step(pace: Pace, job: Snapshot, now: datetime) -> int:
    """The first step to ask metrics from, by the reference: min(last train step, step after the last eval), less 50.

    While no eval is due yet by the plan's own spacing, the eval part can't bring anything and is left out, except once
    every ten minutes in case the spacing is not even: else a poll would cost a whole eval interval each time.
    """
    wide = _eval_is_due(pace, job)
    if job.n_evals and pace.train_step is not None:
        wide = wide or pace.wide_at is None or now - pace.wide_at >= DETAIL_EVERY
        pace.wide_at = now if wide else pace.wide_at
    return _start(pace, wide=wide)


def next_from(pace: Pace, job: Snapshot) -> int:
    """The first step of the windows that follow, as far as it is known; one in ten minutes may begin earlier."""
    return _start(pace, wide=_eval_is_due(pace, job))


def _start(pace: Pace, *, wide: bool) -> int:
    if pace.train_step is None:
        return 0
    start = pace.train_step
    if wide:
        start = min(start, 0 if pace.eval_step is None else pace.eval_step + 1)
    start = max(0, start - OVERLAP_STEPS)
    return start if pace.holes.ask_from is None else min(start, pace.holes.ask_from)


def _eval_is_due(pace: Pace, job: Snapshot) -> bool:
    """By the plan's own spacing, or because that is not known."""
    if not job.n_evals:
        return False
    spacing = job.eval_steps or pace.eval_spacing
    if spacing is None and job.total_steps:
        spacing = job.total_steps // job.n_evals
    if spacing is None or pace.train_step is None:
        return True
    return pace.train_step >= (pace.eval_step or 0) + spacing


def look_back(pace: Pace, job: Snapshot, checkpoint_step: int | None, now: datetime) -> int | None:
    """The step to ask from when a running job has gone quiet, once: its rows may be those of another attempt."""
    gap = pace.usual_gap
    if job.status is not Status.RUNNING or pace.looked_back or gap is None or pace.new_row_at is None:
        return None
    if now - pace.new_row_at < QUIET_PACES * gap:
        return None
    pace.looked_back = True
    return checkpoint_step or 0


def wants_metrics(pace: Pace, job: Snapshot, *, ended_at: datetime | None, now: datetime) -> bool:
    """Whether rows may have come: in every sweep while it trains, and once in each state after that.

    Where some could not be made out, that is tried again: else what fires on the others would fire on.
    """
    if job.status.waiting:
        return False
    if job.status in (Status.RUNNING, Status.UNRECOGNISED) or pace.tail != job.raw_status:
        return True
    return pace.holes.open and (ended_at is None or now - ended_at < FOLLOW_CLOSELY)


def wants_detail(
    job: Snapshot, *, changed: bool, read_at: datetime | None, ended_at: datetime | None, now: datetime
) -> bool:
    """Whether to read the job itself, with its events."""
    if changed or read_at is None or now - read_at >= DETAIL_EVERY:
        return True
    return job.status.terminal and ended_at is not None and now - ended_at < FOLLOW_CLOSELY


def followed_out(*, ended_at: datetime, owed_refund: bool, now: datetime) -> bool:
    """Whether a terminal job's late events are in, as far as anybody can tell."""
    return now - ended_at >= (FOLLOW_REFUND if owed_refund else FOLLOW)


def ended_long_ago(job: Snapshot, lookback: timedelta, now: datetime) -> bool:
    """Whether a job that is seen for the first time ended so long ago that nobody is told of it."""
    if not job.status.terminal:
        return False
    ended = job.updated_at or job.started_at or job.created_at
    return ended is None or now - ended > lookback
