"""One pass over one account: list the jobs, look at each that is watched, judge, and commit job by job."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from watcher.domain.alerts import Subject, TransitionReason
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.observations import Drift, Snapshot, SweepOutcome
from watcher.domain.rule import SubjectKind
from watcher.service.book import JobBook, new_book
from watcher.service.cancels import CancelDesk
from watcher.service.commit import Committer
from watcher.service.config import AccountConfig, Selection
from watcher.service.counting import count
from watcher.service.errors import FailureReason, ProviderError, StoreError
from watcher.service.loading import load_book, read_stored
from watcher.service.ports import Clock, Provider, Store, Telemetry
from watcher.service.reading import JobReader
from watcher.service.records import JobKey, JobRecord, ProposalState
from watcher.service.report import SweepReport
from watcher.service.restarted import Restarts
from watcher.service.subjects import Faults, SubjectBook
from watcher.service.visit import Visit
from watcher.service.waits import Waits

log = structlog.get_logger(__name__)


class Sweeper:
    """Sweeps one account. Holds the books of its open jobs; one sweep at a time, one change of a job at a time."""

    def __init__(
        self,
        *,
        config: AccountConfig,
        provider: Provider,
        store: Store,
        clock: Clock,
        committer: Committer,
        cancels: CancelDesk,
        faults: Faults,
        telemetry: Telemetry,
    ) -> None:
        self.config = config
        self._provider, self._store, self._clock = provider, store, clock
        self._reader = JobReader(provider, store)
        self._committer, self._cancels, self._faults, self._telemetry = committer, cancels, faults, telemetry
        self._books: dict[str, JobBook] = {}
        self._closed: set[str] = set()
        self._waits = Waits()
        self.restarts = Restarts()
        self._account = SubjectBook(Subject(kind=SubjectKind.ACCOUNT, account=config.name), config.rules, store)
        self._sweeping = asyncio.Lock()
        self._started = False
        self._unloaded: set[str] = set()
        """Open jobs that are in the store and not in memory: at the start, and after a failure on the way."""
        self._locks: dict[str, asyncio.Lock] = {}
        """Of jobs whose books were put away by a reload."""
        self._listed_at = 0.0
        self._clock_steps = self._steps_settled = 0

    def distrust_clock(self) -> None:
        """The clock stepped: the next whole sweep concludes nothing from the passing of time and confirms no breach."""
        self._clock_steps += 1

    async def run(self) -> SweepReport:
        """One sweep.

        Raises:
            StoreError: the store cannot be read or written; nothing was decided.
        """
        async with self._sweeping:
            now, begun, steps = self._clock.now(), self._clock.monotonic(), self._clock_steps
            report = SweepReport(account=self.config.name, at=now)
            drift = list[Drift]()
            await self._load_open()
            await self._cancels.refresh(now, self.config.name)
            self._reader.begin_sweep()
            self._listed_at = self._clock.monotonic()
            try:
                listing = await self._provider.list_jobs()
            except ProviderError as error:
                report.reason, report.detail = error.reason.value, str(error)
                await self._tend_unseen(error, now)
            else:
                drift += listing.drift
                if listing.bad:
                    log.warning("list.entries_unreadable", account=self.config.name, count=listing.bad)
                await self._visit_all(listing.jobs, set(listing.bad_ids), report, drift, now)
            await self._conclude(report, drift, now)
            self._telemetry.sweep(self.config.name, report.reason, self._clock.monotonic() - begun, report.rows)
            self._steps_settled = steps
            return report

    async def look_again(self, job_id: str) -> tuple[JobBook, Visit] | None:
        """A one-job sweep, right before an effect: reads everything anew, judges and commits; None when not watched.

        The caller holds the job's lock (see `locked`).

        Raises:
            ProviderError: the job can't be seen now.
            StoreError: what was seen could not be committed.
        """
        book = self._books.get(job_id)
        if book is None or not book.lock.locked():
            return None  # thrown away while the caller waited for its lock
        visit, failure = self._visit(book, self._clock.now()), None
        with self._thrown_away(book):
            try:
                await self._reader.look(visit, None, [], detail=True)
            except ProviderError as error:  # what was seen before it is folded, so it is committed
                visit.blind, failure = error.reason.value, error
            book.looked_at = self._clock.monotonic()
            self._cancels.follow(visit)
            visit.finish(sweep=False)
            await self._commit(visit)
        if failure is not None:
            raise failure
        return book, visit

    async def commit(self, visit: Visit) -> None:
        """Commit a visit that somebody else made under the job's lock.

        Raises:
            StoreError: it is not stored, and the job's book is thrown away.
        """
        with self._thrown_away(visit.book):
            await self._commit(visit)

    def locked(self, job_id: str) -> asyncio.Lock | None:
        """The lock of a watched job."""
        book = self._books.get(job_id)
        return book.lock if book else None

    def book(self, job_id: str) -> JobBook | None:
        """The book of a watched job; whoever changes it holds its lock."""
        return self._books.get(job_id)

    async def load(self) -> None:
        """Read the open jobs of the store, so that effects left over from a crash find their jobs."""
        async with self._sweeping:
            await self._load_open()
            await self._account.take((), self._clock.now())

    @asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """Between two sweeps, with nobody in the midst of a job."""
        async with self._sweeping, AsyncExitStack() as held:
            for book in list(self._books.values()):
                await held.enter_async_context(book.lock)
            yield

    def adopt(self, config: AccountConfig, provider: Provider) -> None:
        """Go on with another configuration, as a new process would: everything is read again from the store.

        The caller holds `paused`. Whoever waits for a job's lock gets that of its next book.
        """
        if config.rules != self.config.rules:
            self._account = SubjectBook(self._account.subject, config.rules, self._store)
        self.config, self._provider, self._reader = config, provider, JobReader(provider, self._store)
        self._locks |= {job_id: book.lock for job_id, book in self._books.items()}
        for known in (self._books, self._closed, self._unloaded):
            known.clear()
        self._started = False

    # --- jobs ---

    async def _load_open(self) -> None:
        """Bring into memory what is in the store. A job that can't be loaded is told, and tried again next time."""
        if not self._started:
            records = await self._store.read(lambda reads: reads.jobs(self.config.name))
            for record in reversed(records):  # the newest wait is the last one noted
                self._waits.note(record)
                self.restarts.note(record)
                (self._closed if record.closed else self._unloaded).add(record.key.job_id)
            self._started = True
        for job_id in sorted(self._unloaded):
            if await self._guarded(job_id, self._restore(JobKey(self.config.name, job_id))) is None:
                self._unloaded.discard(job_id)

    async def _restore(self, key: JobKey) -> None:
        stored = await self._store.read(lambda reads: read_stored(reads, key))
        if stored is None or stored.record.closed:
            return
        now, selection = self._clock.now(), self.config.select(stored.record.snapshot)
        book, told = load_book(stored, selection or _unwatched(stored.record), now)
        visit = Visit(book, now, link=self.config.link, transitions=told)
        if selection is None and book.proposal is not None and book.proposal.state is ProposalState.PROPOSED:
            note = "Not cancelled after all: the job is not watched any more."
            self._cancels.end(visit, ProposalState.WITHDRAWN, TransitionReason.CANCEL_WITHDRAWN, note)
        await self._commit(visit)
        if selection is not None:
            book.lock = self._locks.pop(key.job_id, book.lock)
            self._books[key.job_id] = book

    async def _open(self, listed: Snapshot, now: datetime) -> JobBook | None:
        """The book of a job that is seen for the first time; None when it is not watched, or could not be loaded."""
        selection = self.config.select(listed)
        if selection is None or listed.job_id in self._unloaded:
            return None
        key = JobKey(self.config.name, listed.job_id)
        if self._ended_long_ago(listed, now):
            await self._record_silently(listed, selection, now)
            return None
        return self._books.setdefault(listed.job_id, new_book(key, listed, selection, now))

    async def _visit_all(
        self, listed: tuple[Snapshot, ...], unreadable: set[str], report: SweepReport, drift: list[Drift], now: datetime
    ) -> None:
        jobs = {job.job_id: job for job in listed}
        self.restarts.link(self._books.values(), listed)
        missing = [job_id for job_id in self._books if job_id not in jobs and job_id not in unreadable]
        work = [(i, self._visit_listed(job, report, drift, now)) for i, job in jobs.items() if i not in self._closed]
        work += [(job_id, self._visit_missing(job_id, report, now)) for job_id in missing]
        failures = await asyncio.gather(*(self._guarded(job_id, visiting) for job_id, visiting in work))
        if failures and all(isinstance(failure, StoreError) for failure in failures):
            raise failures[0] or StoreError

    async def _guarded(self, job_id: str, work: Coroutine[Any, Any, None]) -> Exception | None:
        """What work on one job failed with: told, and no other job's business."""
        try:
            with self._committer.coming():
                await work
        except StoreError as error:
            return error
        except Exception as error:
            log.exception("job.visit_crashed", job_id=job_id, account=self.config.name)
            self._faults.report("job", job_id, f"looking at {job_id} failed: {type(error).__name__}")
            return error
        return None

    @contextmanager
    def _thrown_away(self, book: JobBook) -> Iterator[None]:
        """Whatever fails in here leaves the book ahead of the store: it is thrown away and loaded again."""
        try:
            yield
        except BaseException:
            if self._books.get(book.key.job_id) is book:
                del self._books[book.key.job_id]
                self._unloaded.add(book.key.job_id)
            raise

    def _visit(self, book: JobBook, now: datetime) -> Visit:
        visit = Visit(book, now, link=self.config.link)
        book.fold.tick = self._clock.monotonic
        if self._clock_steps != self._steps_settled:
            visit.blind = "clock"
        return visit

    async def _visit_listed(self, listed: Snapshot, report: SweepReport, drift: list[Drift], now: datetime) -> None:
        if listed.status.waiting:
            listed = replace(listed, usual_wait_seconds=self._waits.usual)
        book = self._books.get(listed.job_id) or await self._open(listed, now)
        if book is None:
            return
        self.restarts.go_on(book)
        report.jobs += 1
        async with book.lock:
            if self._books.get(listed.job_id) is not book:
                return  # closed, or thrown away, while we waited for it
            visit = self._visit(book, now)
            with self._thrown_away(book):
                try:
                    # A list that was asked for before somebody looked at the job is older than what is known.
                    newest = listed if book.looked_at <= self._listed_at else None
                    await self._reader.look(visit, newest, drift)
                except ProviderError as error:
                    self._note_failure(visit, error, report)
                await self._finish(visit, report)

    async def _tend_unseen(self, error: ProviderError, now: datetime) -> None:
        """Nothing is seen of any job: what people were told of a cancel must not stay as it is for long."""
        for job_id, book in list(self._books.items()):
            if book.proposal is not None and book.proposal.state is ProposalState.PROPOSED:
                await self._guarded(job_id, self._visit_unseen(book, error, now))

    async def _visit_unseen(self, book: JobBook, error: ProviderError, now: datetime) -> None:
        async with book.lock:
            if self._books.get(book.key.job_id) is not book:
                return
            visit = self._visit(book, now)
            visit.blind = visit.blind or error.reason.value
            with self._thrown_away(book):
                self._cancels.consider(visit)
                await self._commit(visit)

    async def _visit_missing(self, job_id: str, report: SweepReport, now: datetime) -> None:
        """A job that the list does not show any more: gone only when the API says 404 for the job itself."""
        book = self._books[job_id]
        report.jobs += 1
        async with book.lock:
            if self._books.get(job_id) is not book:
                return
            visit = self._visit(book, now)
            with self._thrown_away(book):
                try:
                    await self._reader.look(visit, None, [], detail=True)
                except ProviderError as error:
                    if error.reason is FailureReason.NOT_FOUND and book.record.detail_at != now:
                        visit.take_gone()
                    else:
                        self._note_failure(visit, error, report)
                await self._finish(visit, report)

    async def _finish(self, visit: Visit, report: SweepReport) -> None:
        for error in visit.unread:
            report.failed[error.reason.value] += 1
        self._cancels.follow(visit)
        visit.finish()
        if visit.book.record.first_running_at == visit.now:
            self._waits.note(visit.book.record)
        self._cancels.consider(visit)
        report.rows += visit.rows
        for crash in visit.book.fold.crashes:
            self._faults.crashed(crash)
        visit.book.fold.crashes.clear()
        await self._commit(visit)

    async def _commit(self, visit: Visit) -> None:
        if not visit.changed:
            return
        job_id = visit.book.key.job_id
        try:
            await self._committer.commit(visit.write)
        except StoreError as error:
            self._faults.report("store", job_id, f"what was seen of {job_id} could not be stored: {error}")
            raise
        visit.committed()
        self._faults.over("store", job_id)
        self._faults.over("job", job_id)
        count(self._telemetry, visit)
        for transition in visit.transitions:
            log.info(
                "alert.changed",
                job_id=job_id,
                rule=transition.alert.rule,
                kind=transition.alert.kind,
                why=transition.reason.value,
                step=transition.alert.step,
            )
        if visit.book.record.closed:
            self._books.pop(job_id, None)
            self._closed.add(job_id)

    def _ended_long_ago(self, job: Snapshot, now: datetime) -> bool:
        if not job.status.terminal:
            return False
        ended = job.updated_at or job.started_at or job.created_at
        return ended is None or now - ended > self.config.lookback

    async def _record_silently(self, job: Snapshot, selection: Selection, now: datetime) -> None:
        book = new_book(JobKey(self.config.name, job.job_id), job, selection, now)
        record = book.record
        record.silent = record.closed = True
        record.ended_at = job.updated_at or now
        record.health = "done"
        await self._committer.commit(lambda tx: tx.save_job(record))
        self._closed.add(job.job_id)

    def _note_failure(self, visit: Visit, error: ProviderError, report: SweepReport) -> None:
        visit.blind = error.reason.value
        report.failed[error.reason.value] += 1
        log.warning(
            "job.not_seen",
            job_id=visit.book.key.job_id,
            account=self.config.name,
            reason=error.reason.value,
            retryable=error.retryable,
        )

    # --- the account ---

    async def _conclude(self, report: SweepReport, drift: list[Drift], now: datetime) -> None:
        if report.reason is None:
            report.reason = report.blinding()
        if report.reason is not None and not report.detail:
            report.detail = f"{sum(report.failed.values())} of {report.jobs} jobs could not be read"
        outcome = SweepOutcome(at=now, reason=report.reason, detail=report.detail)
        for transition in await self._account.take([*drift, outcome], now):
            self._telemetry.alert(transition.alert.rule, transition.reason.value)
        await self._faults.flush()
        if report.reason is not None:
            log.warning("sweep.failed", account=self.config.name, reason=report.reason, detail=report.detail)


def _unwatched(record: JobRecord) -> Selection:
    """For a job that the configuration does not select any more: no rules, and no cancels."""
    return Selection(name=record.selection, rules=(), policy=CancelPolicy())


SweeperOf = Callable[[str], Sweeper | None]
"""The sweeper of an account by name."""
