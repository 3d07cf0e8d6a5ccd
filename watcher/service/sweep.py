"""One pass over one account: list the jobs, look at each that is watched, judge, and commit job by job."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from watcher.domain.alerts import Subject
from watcher.domain.observations import Drift, Snapshot, SweepOutcome
from watcher.domain.restarts import successor_listed
from watcher.domain.rule import SubjectKind
from watcher.service.book import JobBook, load_book, new_book, read_stored
from watcher.service.cancels import CancelDesk
from watcher.service.commit import Committer
from watcher.service.config import AccountConfig, Selection
from watcher.service.errors import FailureReason, ProviderError, StoreError
from watcher.service.ports import Clock, Provider, Store, Telemetry
from watcher.service.reading import JobReader
from watcher.service.records import JobKey, JobRecord
from watcher.service.subjects import Faults, SubjectBook
from watcher.service.visit import Visit

log = structlog.get_logger(__name__)

_BLINDING = frozenset({FailureReason.AUTH, FailureReason.FORBIDDEN, FailureReason.BILLING})


@dataclass(slots=True, kw_only=True)
class SweepReport:
    """How a sweep went. `reason` is None when the account could be seen."""

    account: str
    at: datetime
    reason: str | None = None
    detail: str = ""
    jobs: int = 0
    rows: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def ok(self) -> bool:
        return self.reason is None


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
        self._origins: dict[str, JobRecord] = {}
        """By id of a restarted job: the record of the one that it goes on for."""
        self._account = SubjectBook(Subject(kind=SubjectKind.ACCOUNT, account=config.name), config.rules, store)
        self._sweeping = asyncio.Lock()
        self._started = False
        self._distrust_clock = False

    def distrust_clock(self) -> None:
        """The clock stepped: the next sweep concludes nothing from the passing of time and confirms no breach."""
        self._distrust_clock = True

    async def run(self) -> SweepReport:
        """One sweep.

        Raises:
            StoreError: the store cannot be read or written; nothing was decided.
        """
        async with self._sweeping:
            now, begun = self._clock.now(), self._clock.monotonic()
            report = SweepReport(account=self.config.name, at=now)
            drift = list[Drift]()
            await self._start()
            await self._cancels.refresh(now)
            self._reader.begin_sweep()
            try:
                listing = await self._provider.list_jobs()
            except ProviderError as error:
                report.reason, report.detail = error.reason.value, str(error)
            else:
                drift += listing.drift
                if listing.bad:
                    log.warning("list.entries_unreadable", account=self.config.name, count=listing.bad)
                await self._visit_all(listing.jobs, set(listing.bad_ids), report, drift, now)
            await self._conclude(report, drift, now)
            self._telemetry.sweep(self.config.name, report.reason, self._clock.monotonic() - begun, report.rows)
            self._distrust_clock = False
            return report

    async def look_again(self, job_id: str) -> tuple[JobBook, Visit] | None:
        """A one-job sweep, right before an effect: reads everything anew, judges and commits; None when not watched.

        The caller holds the job's lock (see `locked`).

        Raises:
            ProviderError: the job can't be seen now.
            StoreError: what was seen could not be committed.
        """
        book = self._books.get(job_id)
        if book is None:
            return None
        visit = Visit(book, self._clock.now(), link=self.config.link)
        try:
            await self._reader.look(visit, None, [], detail=True)
        except ProviderError as error:
            visit.blind = error.reason.value
            raise
        finally:  # what was seen before a failing call is folded, so it is committed
            self._cancels.follow(visit)
            visit.finish(judge_time=not self._distrust_clock)
            await self._commit(visit)
        return book, visit

    async def commit(self, visit: Visit) -> None:
        """Commit a visit that somebody else made under the job's lock.

        Raises:
            StoreError: it is not stored, and the job's book is thrown away.
        """
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
            await self._start()

    # --- jobs ---

    async def _start(self) -> None:
        if self._started:
            return
        records = await self._store.read(lambda reads: reads.jobs(self.config.name))
        for record in records:
            selection = self.config.select(record.snapshot)
            if record.successor:
                self._origins[record.successor] = record
            if record.closed:
                self._closed.add(record.key.job_id)
            elif selection is not None:
                await self._restore(record.key, selection)
        self._started = True

    async def _restore(self, key: JobKey, selection: Selection) -> JobBook | None:
        stored = await self._store.read(lambda reads: read_stored(reads, key))
        if stored is None or stored.record.closed:
            return None
        now = self._clock.now()
        book, told = load_book(stored, selection, now)
        self._books[key.job_id] = book
        if told:
            await self._commit(Visit(book, now, link=self.config.link, transitions=told))
        return book

    async def _open(self, listed: Snapshot, now: datetime) -> JobBook | None:
        """The book of a job that is not in memory: new, or thrown away after a failed commit."""
        selection = self.config.select(listed)
        if selection is None:
            return None
        key = JobKey(self.config.name, listed.job_id)
        book = await self._restore(key, selection)
        if book is not None:
            return book
        if self._ended_long_ago(listed, now):
            await self._record_silently(listed, selection, now)
            return None
        return self._books.setdefault(listed.job_id, new_book(key, listed, selection, now))

    async def _visit_all(
        self, listed: tuple[Snapshot, ...], unreadable: set[str], report: SweepReport, drift: list[Drift], now: datetime
    ) -> None:
        seen = {job.job_id for job in listed} | unreadable
        self._link_restarts(listed)
        work = [self._visit_listed(job, report, drift, now) for job in listed if job.job_id not in self._closed]
        work += [self._visit_missing(job_id, report, now) for job_id in list(self._books) if job_id not in seen]
        results = await asyncio.gather(*work, return_exceptions=True)
        store_errors = [r for r in results if isinstance(r, StoreError)]
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, StoreError):
                raise result
        if store_errors and len(store_errors) == len(results):
            raise store_errors[0]

    def _link_restarts(self, listed: tuple[Snapshot, ...]) -> None:
        """Restarted jobs and those that go on for them, so that people see one story. A veto goes over with it."""
        for book in self._books.values():
            if book.state.restarted_at is None:
                continue
            if book.record.successor is None:
                taken = set(self._origins)
                book.record.successor = successor_listed(book.snapshot, book.state.restarted_at, listed, taken)
            if book.record.successor is not None:
                self._origins[book.record.successor] = book.record

    def _continue(self, book: JobBook) -> JobBook:
        """What a job takes over from the one that it goes on for."""
        origin = self._origins.get(book.key.job_id)
        if origin is not None:
            book.origin = origin.key.job_id
            book.record.keep |= origin.keep
        return book

    async def _visit_listed(self, listed: Snapshot, report: SweepReport, drift: list[Drift], now: datetime) -> None:
        book = self._books.get(listed.job_id) or await self._open(listed, now)
        if book is None:
            return
        self._continue(book)
        report.jobs += 1
        async with book.lock:
            if book.record.closed:
                return
            visit = Visit(book, now, link=self.config.link)
            await self._look_guarded(visit, listed, report, drift)
            await self._finish(visit, report)

    async def _visit_missing(self, job_id: str, report: SweepReport, now: datetime) -> None:
        """A job that the list does not show any more: gone only when the API says 404 for it."""
        book = self._books[job_id]
        report.jobs += 1
        async with book.lock:
            visit = Visit(book, now, link=self.config.link)
            try:
                await self._reader.look(visit, None, [], detail=True)
            except ProviderError as error:
                if error.reason is FailureReason.NOT_FOUND:
                    visit.take_gone()
                else:
                    self._note_failure(visit, error, report)
            await self._finish(visit, report)

    async def _finish(self, visit: Visit, report: SweepReport) -> None:
        self._cancels.follow(visit)
        visit.finish(judge_time=not self._distrust_clock)
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
        except BaseException as error:
            # What is in memory is ahead of the store: the job is read again from the store in the next sweep.
            self._books.pop(job_id, None)
            if isinstance(error, StoreError):
                self._faults.report("store", job_id, f"what was seen of {job_id} could not be stored: {error}")
            raise
        visit.committed()
        self._faults.over("store", job_id)
        for transition in visit.transitions:
            self._telemetry.alert(transition.alert.rule, transition.reason.value)
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

    # --- looking at one job ---

    async def _look_guarded(self, visit: Visit, listed: Snapshot, report: SweepReport, drift: list[Drift]) -> None:
        try:
            await self._reader.look(visit, listed, drift)
        except ProviderError as error:
            self._note_failure(visit, error, report)

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
            report.reason = _reason_of(report.failed, report.jobs)
        if report.reason is not None and not report.detail:
            report.detail = f"{sum(report.failed.values())} of {report.jobs} jobs could not be read"
        outcome = SweepOutcome(at=now, reason=report.reason, detail=report.detail)
        await self._account.take([*drift, outcome], now)
        await self._faults.flush()
        if report.reason is not None:
            log.warning("sweep.failed", account=self.config.name, reason=report.reason, detail=report.detail)


def _reason_of(failed: Counter[str], jobs: int) -> str | None:
    """Why the account counts as not seen: a key or balance problem anywhere, or more than half of the jobs unread."""
    blinding = [reason for reason in failed if reason in _BLINDING]
    if blinding:
        return blinding[0]
    if failed and 2 * sum(failed.values()) > jobs:
        return failed.most_common(1)[0][0]
    return None


SweeperOf = Callable[[str], Sweeper | None]
"""The sweeper of an account by name."""
