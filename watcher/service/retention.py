"""What is kept of the past: rows of jobs that ended are thinned, and what was told long ago is forgotten.

Nothing of a job that may still change is touched, and neither is anything that still waits to be done. Each
transaction is small, so that sweeps never wait long for the writer.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from watcher.service.ports import Clock, Store
from watcher.service.records import JobKey

log = structlog.get_logger(__name__)

_MARK = "retention:thinned_until"
_OVERLAP = timedelta(days=3)
"""A job may be closed so long after its end, for late events and refunds: it is looked at again for that time."""
_JOBS, _BATCH = 200, 1000
"""Jobs thinned in one run, and rows forgotten in one transaction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPolicy:
    """How long what is kept.

    `rows` is how long after its end a job keeps all its rows; then it has at most `keep_rows` train rows, evenly
    spread, the first one that is no number and the lowest among them. Evaluations, events, alerts, proposals and the
    job itself stay. `history` is how long deliveries, decisions, ended silences and old episodes of alerts on accounts
    and on the watcher are kept.
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
        thinned = await self._thin(now - policy.rows, policy.keep_rows)
        forgotten = await self._forget(now - policy.history)
        if thinned or forgotten:
            log.info("retention.applied", jobs_thinned=thinned, rows_forgotten=forgotten)

    async def _thin(self, cutoff: datetime, keep: int) -> int:
        since = await self._store.read(lambda reads: reads.meta(_MARK))
        begin = datetime.fromisoformat(since) - _OVERLAP if since else None
        if begin is not None and begin >= cutoff:
            begin = None  # it was set by a clock that was ahead
        due = await self._store.read(lambda reads: reads.ended_jobs(begin, cutoff, keep_rows=keep, limit=_JOBS))
        for key in due:
            await self._thin_one(key, keep)
        if len(due) < _JOBS:
            await self._store.write(lambda tx: tx.set_meta(_MARK, cutoff.isoformat()))
        return len(due)

    async def _thin_one(self, key: JobKey, keep: int) -> None:
        await self._store.write(lambda tx: tx.thin(key, keep))

    async def _forget(self, before: datetime) -> int:
        total = 0
        while count := await self._store.write(lambda tx: tx.forget(before, limit=_BATCH)):
            total += count
        return total
