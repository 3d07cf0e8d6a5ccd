"""Reading one job: what is due of it is asked of the API and handed to the visit."""

import structlog

from watcher.domain.cadence import OVERLAP_STEPS, Pace, from_step, look_back, wants_detail, wants_metrics
from watcher.domain.observations import Drift, Observation, Row, Snapshot
from watcher.service.book import JobBook
from watcher.service.errors import FailureReason, ProviderError
from watcher.service.ports import Provider, Store
from watcher.service.records import Metrics
from watcher.service.visit import Visit

log = structlog.get_logger(__name__)

REBUILD_ROWS = 20_000
"""Observations that one sweep folds again at most for rules whose version or settings changed."""


class JobReader:
    """Asks for as little as misses nothing. Whoever calls holds the job's lock."""

    def __init__(self, provider: Provider, store: Store) -> None:
        self._provider, self._store = provider, store
        self._rebuild_budget = REBUILD_ROWS

    def begin_sweep(self) -> None:
        """A new budget for rebuilding."""
        self._rebuild_budget = REBUILD_ROWS

    async def look(self, visit: Visit, listed: Snapshot | None, drift: list[Drift], *, detail: bool = False) -> None:
        """Read what is due of one job. Snapshots come before rows, so that rules know the plan.

        Raises:
            ProviderError: a call failed; what was read before it is in the visit.
        """
        book, now = visit.book, visit.now
        if listed is not None and listed.outdated_by(book.snapshot):
            listed = None
        changed = listed is not None and listed != book.record.listed
        if listed is not None:
            if listed.status.terminal and not book.fresh_contact:
                await self._read_to_the_end(visit, drift, listed.merged(book.snapshot))
            visit.take_listed(listed)
        ended = book.record.ended_at
        detail |= ended is None and book.may_be_cancelled
        if detail or wants_detail(
            book.snapshot, changed=changed, read_at=book.record.detail_at, ended_at=ended, now=now
        ):
            await self._read_detail(visit, drift)
        await self._rebuild(visit)
        await self._read_due_metrics(visit, drift, book.snapshot)
        if visit.new_eval and visit.book.record.detail_at != now:
            await self._read_detail(visit, drift)

    async def _read_to_the_end(self, visit: Visit, drift: list[Drift], job: Snapshot) -> None:
        """The last rows of a job that has ended, before its end is taken in: so the end is told with all of them.

        A job that came and went between two sweeps had no row yet: its plan comes before them, as always.
        """
        if visit.book.state.pace.train_step is None:
            answer = await self._provider.get_job(visit.book.key.job_id)
            drift += answer.drift
            visit.take_plan(answer.snapshot, answer.events)
        await self._read_due_metrics(visit, drift, job)

    async def _read_detail(self, visit: Visit, drift: list[Drift]) -> None:
        answer = await self._provider.get_job(visit.book.key.job_id)
        drift += answer.drift
        if answer.bad:
            visit.unreadable["events"] += answer.bad
        visit.take_detail(answer.snapshot, answer.events)

    async def _read_due_metrics(self, visit: Visit, drift: list[Drift], job: Snapshot) -> None:
        """Metrics, where rows may have come. The end of a job is told even if its last rows can't be read."""
        pace = visit.book.state.pace
        if visit.unread or not wants_metrics(pace, job, ended_at=visit.book.record.ended_at, now=visit.now):
            return
        before = (pace.wide_at, pace.looked_back)
        try:
            await self._read_metrics(visit, drift, job)
        except ProviderError as error:
            pace.wide_at, pace.looked_back = before
            if error.reason is FailureReason.NOT_FOUND and pace.train_step is None and pace.eval_step is None:
                return  # a job that has not logged a row yet may have no metrics to be found
            if not job.status.terminal:
                raise
            visit.unread.append(error)

    async def _read_metrics(self, visit: Visit, drift: list[Drift], job: Snapshot) -> None:
        book, pace = visit.book, visit.book.state.pace
        start = from_step(pace, job, visit.now)
        rows = await self._unknown_rows(visit, drift, job, start)
        if not rows and pace.strange is None:  # only now is it known that the job is quiet
            back = look_back(pace, job, book.state.checkpoint_step, visit.now)
            if back is not None and back < start:
                start = back
                rows = await self._unknown_rows(visit, drift, job, start)
        history = await self._history(book) if visit.wants_history(rows) else []
        visit.take_rows(rows, history)
        visit.metrics_read = pace.strange is None  # rows that may be another job's say nothing of this one
        book.fold.in_part = pace.holes.open
        pace.tail = job.raw_status

    async def _unknown_rows(self, visit: Visit, drift: list[Drift], job: Snapshot, start: int) -> list[Row]:
        """What the API has from a step on and was not seen before."""
        book = visit.book
        await self._know_keys(book, start)
        answer = await self._provider.get_metrics(
            book.key.job_id,
            from_step=start,
            last_step=job.steps_completed or book.state.pace.train_step,
            known=book.known,
        )
        drift += answer.drift
        fresh = book.known.unseen(answer.rows)
        if not self._is_believed(book.state.pace, answer, fresh, start):
            log.warning("metrics.answer_strange", account=book.key.account, job=book.key.job_id, rows=len(fresh))
            return []
        self._note_holes(visit, answer, start)
        return fresh

    @staticmethod
    def _is_believed(pace: Pace, answer: Metrics, fresh: list[Row], start: int) -> bool:
        """Whether the rows of an answer are taken for this job's, which metrics do not say.

        They are asked from before the newest that is known, so that one is among them. Where none is, a connection
        has mixed up two answers, or all rows were replaced: that must be seen twice.
        """
        repeats = answer.repeated > 0 or len(fresh) < len(answer.rows)
        expected = pace.train_step is not None and pace.train_step >= start
        before, pace.strange = pace.strange, None
        if repeats or not expected or not fresh or before in [(row.step, row.at_ns) for row in fresh]:
            return True
        pace.strange = (fresh[-1].step, fresh[-1].at_ns)
        return False

    def _note_holes(self, visit: Visit, answer: Metrics, start: int) -> None:
        """Whether a part of the rows could not be made out; known before the others are judged."""
        book, holes = visit.book, visit.book.state.pace.holes
        if answer.torn is None:
            holes.take_whole()
        else:
            account, job, count = book.key.account, book.key.job_id, answer.torn.count
            log.warning("metrics.rows_unreadable", account=account, job=job, count=count)
            newest = max([row.step for row in answer.rows], default=0)
            visit.unreadable["rows"] += count
            if holes.take_torn(answer.torn, start, max(newest, book.state.pace.train_step or 0), OVERLAP_STEPS):
                visit.take_unreadable()
        book.fold.in_part |= holes.open

    async def _know_keys(self, book: JobBook, start: int) -> None:
        if book.known_from is None or start < book.known_from:
            before = book.known_from
            book.known.precede(
                await self._store.read(lambda reads: reads.row_keys(book.key, from_step=start, before=before))
            )
            book.known_from = start

    async def _history(self, book: JobBook) -> list[Observation]:
        return [o for _, o in await self._store.read(lambda reads: reads.observations(book.key))]

    async def _rebuild(self, visit: Visit) -> None:
        """Rules with another version or other settings fold the history anew, within this sweep's budget."""
        if not visit.book.stale or self._rebuild_budget <= 0:
            return
        history = await self._history(visit.book)
        self._rebuild_budget -= len(history)
        visit.rebuild(history)
