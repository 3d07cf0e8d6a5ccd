"""APScheduler behind the few calls that the daemon needs: interval jobs, re-timing, and a stop that cancels nothing."""

import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

_SPREAD = 0.1
"""Share of the interval by which first runs are spread, so that many accounts do not start at one instant."""


class Schedule:
    """Interval jobs on wall time. A job that is still running is not started again, and a late one runs at once."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._scheduler = AsyncIOScheduler(
            timezone="UTC",
            # The default grace of one second drops runs after a stall: a late sweep is better than none.
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )
        self._intervals: dict[str, timedelta] = {}

    def every(
        self,
        name: str,
        interval: timedelta,
        work: Callable[[], Awaitable[None]],
        *,
        first: datetime,
        spread: bool = False,
    ) -> None:
        """Run `work` every interval, from `first` on (a little later where jobs are to be spread)."""
        if spread:
            first += self._rng.uniform(0, _SPREAD) * min(interval, timedelta(seconds=10))
        self._intervals[name] = interval
        self._scheduler.add_job(
            work, "interval", seconds=interval.total_seconds(), id=name, next_run_time=first, replace_existing=True
        )

    def drop(self, name: str) -> None:
        """Run a job no more; a run under way goes on."""
        del self._intervals[name]
        self._scheduler.remove_job(name)

    def interval(self, name: str) -> timedelta | None:
        """How often a job runs; None when there is none of that name."""
        return self._intervals.get(name)

    def start(self) -> None:
        """Begin; needs a running event loop."""
        self._scheduler.start()

    def retime(self, now: datetime) -> None:
        """The wall clock stepped: every job runs next within one interval from now."""
        for name in self._intervals:
            self._scheduler.modify_job(name, next_run_time=now)

    def run_now(self, name: str, now: datetime) -> None:
        """Bring the next run of one job forward."""
        self._scheduler.modify_job(name, next_run_time=now)

    def pause(self) -> None:
        """Start nothing more; what runs goes on."""
        if self._scheduler.running:
            self._scheduler.pause()

    def stop(self) -> None:
        """End for good. APScheduler cancels coroutines that still run here: drain before this."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
