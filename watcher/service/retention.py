"""What is kept of the past: rows of jobs that ended are thinned, and what was told long ago is forgotten.

Nothing of a job that may still change is touched, and neither is anything that still waits to be done. Each
transaction is small, so that sweeps never wait long for the writer.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from watcher.domain.feed import Feed
from watcher.domain.packed import Ints
from watcher.service.bookstate import packed, unpacked
from watcher.service.ports import Clock, Store, Writes
from watcher.service.records import JobKey, JobRecord

log = structlog.get_logger(__name__)

_THINNED, _SKETCHED = "retention:thinned_until", "retention:sketched_until"
_SKETCH = 1
"""Train rows that are kept in the end, beside those that tell most: the curve of the lists stays with the record."""
_OVERLAP = timedelta(days=3)
"""A job may be closed so long after its end, for late events and refunds: it is looked at again for that time."""
_JOBS, _BATCH = 200, 1000
"""Jobs thinned in one run, and rows forgotten in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long what is kept.

    `rows` is how long after its end a job keeps all its rows; then it has at most `keep_rows` train rows, evenly
    spread, the first one that is no number and the lowest among them. After `history` only the first and last are
    left with those. Evaluations, events, alerts, proposals and the job itself stay. `history` is also how long
    deliveries, decisions, ended silences and old episodes of alerts on accounts and on the watcher are kept.
    """

    rows: timedelta = timedelta(days=30)
    keep_rows: int = 500
    history: timedelta = timedelta(days=90)


class Retention:
    """Run now and then. The policy may be replaced between two runs."""

    def __init__(self, store: Store, clock: Clock, policy: RetentionPolicy) -> None:
        self._store, self._clock = store, clock
        self.policy = policy

    async def run(self) -> None:
        """Thin and forget what is due.

        Raises:
            StoreError: the rest is done in a later run.
        """
        now, policy = self._clock.now(), self.policy
        thinned = await self._thin(_THINNED, now - policy.rows, policy.keep_rows)
        thinned += await self._thin(_SKETCHED, now - max(policy.rows, policy.history), _SKETCH)
        forgotten = await self._forget(now - policy.history)
        if thinned or forgotten:
            log.info("retention.applied", jobs_thinned=thinned, rows_forgotten=forgotten)

    async def _thin(self, mark: str, cutoff: datetime, keep: int) -> int:
        since = await self._store.read(lambda reads: reads.meta(mark))
        begin = datetime.fromisoformat(since) - _OVERLAP if since else None
        if begin is not None and begin >= cutoff:
            begin = None  # it was set by a clock that was ahead
        due = await self._store.read(lambda reads: reads.ended_jobs(begin, cutoff, keep_rows=keep, limit=_JOBS))
        for key in due:
            await self._thin_one(key, keep)
        if len(due) < _JOBS:
            await self._store.write(lambda tx: tx.set_meta(mark, cutoff.isoformat()))
        return len(due)

    async def _thin_one(self, key: JobKey, keep: int) -> None:
        def work(tx: Writes) -> None:
            tx.thin(key, keep)
            record = tx.job(key)
            if record is not None and record.closed:
                tx.save_job(_at_rest(record))

        await self._store.write(work)

    async def _forget(self, before: datetime) -> int:
        total = 0
        while count := await self._store.write(lambda tx: tx.forget(before, limit=_BATCH)):
            total += count
        return total


def _at_rest(record: JobRecord) -> JobRecord:
    """The same without what only a job needs that still changes."""
    try:
        state = unpacked(record)
    except (ValueError, TypeError, KeyError):
        return record  # not ours to mend; whoever reads it tells
    state.feed = Feed(attempt_step=state.feed.attempt_step, attempt_ns=state.feed.attempt_ns)
    del state.ticks[1:-1]
    state.events, state.held, state.refusals_told, state.guards = [], [], [], []
    state.pace.gaps_ns = Ints()
    return replace(record, feed=packed(state), moved=None, listed=None)
