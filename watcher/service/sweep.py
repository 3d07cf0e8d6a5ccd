"""One pass over one account: list the jobs, look at each that is watched, judge, and commit job by job."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any

import structlog

from watcher.domain.alerts import Subject, TransitionReason
from watcher.domain.cadence import ended_long_ago
from watcher.domain.observations import Drift, Snapshot
from watcher.domain.rule import SubjectKind
from watcher.service.book import JobBook, new_book
from watcher.service.cancels import CancelDesk
from watcher.service.commit import Committer
from watcher.service.config import AccountConfig, Selection
from watcher.service.counting import count
from watcher.service.errors import FailureReason, ProviderError, StoreError
from watcher.service.loading import Loader, Stored, load_book, unwatched
from watcher.service.ports import Clock, Provider, Store, Telemetry
from watcher.service.reading import JobReader
from watcher.service.records import JobKey, ProposalState
from watcher.service.report import SweepReport
from watcher.service.shelf import Shelf
from watcher.service.subjects import Faults, SubjectBook
from watcher.service.turns import Undone, in_turns
from watcher.service.visit import Visit

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
        self._reader, self._loader = JobReader(provider, store), Loader(store)
        self._committer, self._cancels, self._faults, self._telemetry = committer, cancels, faults, telemetry
        self._books: dict[str, JobBook] = {}
        self._shelf = Shelf(store)
        self.restarts = self._shelf.restarts
        self._account = SubjectBook(Subject(kind=SubjectKind.ACCOUNT, account=config.name), config.rules, store)
        self._sweeping = asyncio.Lock()
        self._locks: dict[str, asyncio.Lock] = {}
        """Of jobs whose books were put away by a reload."""
        self._listed_at = 0.0
        self._clock_steps = self._steps_settled = 0
        self._spent: dict[str, float] = {}

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
            report = SweepReport(account=self.config.name, at=now, spent=self._spent)
            drift = list[Drift]()
            await self._shelf.recall(self.config.name)
            await self._load(self._shelf.urgent)
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
                    report.take_unreadable("jobs", listing.bad, next(iter(listing.bad_ids), ""))
                await self._visit_all(listing.jobs, set(listing.bad_ids), report, drift, now)
            await self._conclude(report, drift)
            report.took = self._clock.monotonic() - begun
            report.count(self._telemetry)
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
        with Undone(self._throw_away, book):
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
        with Undone(self._throw_away, visit.book):
            await self._commit(visit)

    def locked(self, job_id: str) -> asyncio.Lock | None:
        """The lock of a watched job."""
        book = self._books.get(job_id)
        return book.lock if book else None

    def book(self, job_id: str) -> JobBook | None:
        """The book of a watched job; whoever changes it holds its lock."""
        return self._books.get(job_id)

    async def load(self, *, urgent: bool = False) -> None:
        """Load the open jobs of the store; with `urgent` those that effects left over from a crash may look for."""
        async with self._sweeping:
            await self._shelf.recall(self.config.name)
            await self._load(self._shelf.urgent if urgent else self._shelf.unloaded)
            await self._account.take((), self._clock.now())

    async def ready(self, job_id: str) -> None:
        """Returns when a job is loaded, if it is open: at once, or when the first sweep after a start is over."""
        if job_id in self._shelf.unloaded:
            async with self._sweeping:
                await self._load({job_id} & self._shelf.unloaded)

    async def idle(self) -> None:
        """Returns when the sweep that is under way is over."""
        async with self._sweeping:
            pass

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
        self._books.clear()
        self._shelf.forget()

    # --- jobs ---

    async def _load(self, jobs: set[str]) -> None:
        """Bring jobs into memory. One that can't be loaded is told, and tried again next time."""
        for job_id in sorted(jobs):
            await self._guarded(job_id, self._restore(job_id))

    async def _restore(self, job_id: str) -> None:
        key = JobKey(self.config.name, job_id)
        stored = await self._loader.read(key)
        if stored is not None and not stored.record.closed:
            await self._take_up(key, stored)
        self._shelf.taken(job_id)

    async def _take_up(self, key: JobKey, stored: Stored) -> None:
        now, selection = self._clock.now(), self.config.select(stored.record.snapshot)
        book, told = load_book(stored, selection or unwatched(stored.record), now)
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
        if selection is None:
            return None
        key = JobKey(self.config.name, listed.job_id)
        if ended_long_ago(listed, self.config.lookback, now):
            await self._record_silently(listed, selection, now)
            return None
        return self._books.setdefault(listed.job_id, new_book(key, listed, selection, now))

    async def _visit_all(
        self, listed: tuple[Snapshot, ...], unreadable: set[str], report: SweepReport, drift: list[Drift], now: datetime
    ) -> None:
        jobs, unloaded = {job.job_id: job for job in listed}, set(self._shelf.unloaded)
        self.restarts.link(self._books.values(), listed)
        seen = jobs.keys() | unreadable
        missing = [job_id for job_id in (*self._books, *unloaded) if job_id not in seen]
        closed = self._shelf.closed
        listings = (
            self._guarded(job.job_id, self._visit_listed(job, report, drift, now))
            for job in jobs.values()
            if job.job_id not in closed
        )
        others = (self._guarded(job_id, self._visit_missing(job_id, report, now)) for job_id in missing)
        failures = await in_turns(chain(listings, others))
        if failures and all(isinstance(failure, StoreError) for failure in failures):
            raise failures[0] or StoreError

    async def _guarded(self, job_id: str, work: Coroutine[Any, Any, None]) -> Exception | None:
        """What work on one job failed with: told, and no other job's business."""
        try:
            with self._committer.coming:
                await work
        except StoreError as error:
            return error
        except Exception as error:
            log.exception("job.visit_crashed", job_id=job_id, account=self.config.name)
            self._faults.report("job", job_id, f"looking at {job_id} failed: {type(error).__name__}")
            return error
        return None

    def _throw_away(self, book: JobBook) -> None:
        """The book is ahead of the store: the job is loaded again."""
        if self._books.get(book.key.job_id) is book:
            del self._books[book.key.job_id]
            self._shelf.put_back(book.key.job_id)

    def _visit(self, book: JobBook, now: datetime) -> Visit:
        visit = Visit(book, now, link=self.config.link)
        book.fold.tick, book.fold.spent = self._clock.monotonic, self._spent
        if self._clock_steps != self._steps_settled:
            visit.blind = "clock"
        return visit

    async def _visit_listed(self, listed: Snapshot, report: SweepReport, drift: list[Drift], now: datetime) -> None:
        usual = self._shelf.waits.usual if listed.status.waiting else None
        if usual is not None:
            listed = replace(listed, usual_wait_seconds=usual)
        if listed.job_id in self._shelf.unloaded:
            await self._restore(listed.job_id)
        book = self._books.get(listed.job_id) or await self._open(listed, now)
        if book is None:
            return
        self.restarts.go_on(book)
        report.jobs += 1
        async with book.lock:
            if self._books.get(listed.job_id) is not book:
                return  # closed, or thrown away, while we waited for it
            visit = self._visit(book, now)
            with Undone(self._throw_away, book):
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
            with Undone(self._throw_away, book):
                self._cancels.consider(visit)
                await self._commit(visit)

    async def _visit_missing(self, job_id: str, report: SweepReport, now: datetime) -> None:
        """A job that the list does not show any more: gone only when the API says 404 for the job itself."""
        if job_id in self._shelf.unloaded:
            await self._restore(job_id)
        book = self._books.get(job_id)
        if book is None:
            return
        report.jobs += 1
        async with book.lock:
            if self._books.get(job_id) is not book:
                return
            visit = self._visit(book, now)
            with Undone(self._throw_away, book):
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
            self._shelf.waits.note(visit.book.record)
        self._cancels.consider(visit)
        report.rows += visit.rows
        for what, number in visit.unreadable.items():
            report.take_unreadable(what, number, visit.book.key.job_id)
        for crash in visit.book.fold.crashes:
            self._faults.crashed(crash)
        visit.book.fold.crashes.clear()
        await self._commit(visit)

    async def _commit(self, visit: Visit) -> None:
        if not visit.changed:
            visit.book.forget_old_keys()
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
        if visit.book.record.closed:
            self._books.pop(job_id, None)
            self._shelf.closed.add(job_id)

    async def _record_silently(self, job: Snapshot, selection: Selection, now: datetime) -> None:
        book = new_book(JobKey(self.config.name, job.job_id), job, selection, now)
        record = book.record
        record.silent = record.closed = True
        record.ended_at = job.updated_at or now
        record.health = "done"
        await self._committer.commit(lambda tx: tx.save_job(record))
        self._shelf.closed.add(job.job_id)

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

    async def _conclude(self, report: SweepReport, drift: list[Drift]) -> None:
        if report.reason is None:
            report.reason = report.blinding()
        if report.reason is not None and not report.detail:
            report.detail = f"{sum(report.failed.values())} of {report.jobs} jobs could not be read"
        for transition in await self._account.take([*drift, report.outcome()], report.at):
            self._telemetry.alert(transition.alert.rule, transition.reason.value)
        await self._faults.flush()
        if report.reason is not None:
            log.warning("sweep.failed", account=self.config.name, reason=report.reason, detail=report.detail)


SweeperOf = Callable[[str], Sweeper | None]
"""The sweeper of an account by name."""
