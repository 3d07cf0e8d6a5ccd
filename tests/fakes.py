"""Working stand-ins for the ports."""

import asyncio
import heapq
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, TypeVar, cast

from watcher.domain.holes import torn
from watcher.domain.messages import Message
from watcher.domain.observations import Event, Row, Snapshot, Status, TrainRow
from watcher.service.errors import DeliveryError, FailureReason, ProviderError, StoreError
from watcher.service.known import NONE_KNOWN, KnownRows, key_of
from watcher.service.ports import Reads, Store, Writes
from watcher.service.records import Checkpoint, Identity, JobDetail, JobKey, JobRecord, Listing, Metrics

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=UTC)


class FakeClock:
    """A `Clock` that moves only when told to; who sleeps wakes in the order of the times asked for."""

    def __init__(self, start: datetime = START) -> None:
        self._wall = start
        self._monotonic = 0.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._count = 0

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        """Returns when the clock was advanced this far; a sleep of nothing only lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        awake = asyncio.Event()
        self._count += 1
        heapq.heappush(self._sleepers, (self._monotonic + seconds, self._count, awake))
        await awake.wait()

    def advance(self, seconds: float) -> None:
        """Both clocks move on; who slept until then or less is awake, and runs when the loop next does."""
        self._move(self._monotonic + seconds)
        while self._sleepers and self._sleepers[0][0] <= self._monotonic:
            heapq.heappop(self._sleepers)[2].set()

    async def live(self, seconds: float) -> None:
        """As `advance`, but step by step: each sleeper wakes at its own time and runs until it sleeps again."""
        end = self._monotonic + seconds
        await settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self.advance(self._sleepers[0][0] - self._monotonic)
            await settle()
        self.advance(end - self._monotonic)

    def step_wall(self, seconds: float) -> None:
        """Somebody set the wall clock; the monotonic one does not notice."""
        self._wall += timedelta(seconds=seconds)

    @property
    def sleepers(self) -> int:
        """How many are asleep."""
        return len(self._sleepers)

    def _move(self, to: float) -> None:
        self._wall += timedelta(seconds=to - self._monotonic)
        self._monotonic = to


async def settle(rounds: int = 20) -> None:
    """Let every task run until it waits for something that is not the loop itself."""
    for _ in range(rounds):
        await asyncio.sleep(0)


# --- the API ---


@dataclass(slots=True)
class FakeJob:
    """One job on the other side. A test changes its status, rows, events and fields as it likes."""

    job_id: str
    status: Status = Status.RUNNING
    rows: list[Row] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    fields: dict[str, Any] = field(default_factory=dict)
    listed: bool = True
    garbled: bool = False
    """Whether its entry of the list can't be made out."""
    deleted: bool = False
    created_at: datetime = START
    updated_at: datetime = START

    def snapshot(self, now: datetime) -> Snapshot:
        return Snapshot(
            job_id=self.job_id,
            at=now,
            status=self.status,
            raw_status=self.status.value,
            created_at=self.created_at,
            updated_at=self.updated_at,
            **self.fields,
        )


@dataclass(slots=True)
class _Failing:
    error: ProviderError
    job_id: str | None
    times: int | None
    took: bool


@dataclass(frozen=True, slots=True)
class Post:
    """One cancel request: what the API answered, 200 or else."""

    job_id: str
    at: datetime
    status: int


class FakeProvider:
    """A `Provider` over jobs in memory. `calls` is what was asked, `posts` are the cancels with their answers.

    A cancel that is taken moves the job to cancel_requested; `settle_cancels` moves it to cancelled.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.jobs: dict[str, FakeJob] = {}
        self.calls: list[tuple[str, str]] = []
        self.posts: list[Post] = []
        self.before_cancel: Callable[[FakeJob], None] = lambda _job: None
        self.spoils: Callable[[Row], bool] = lambda _row: False
        """Which rows can't be made out in an answer."""
        self.closed = False
        self._failing: dict[str, list[_Failing]] = {}

    def add(self, job: FakeJob) -> FakeJob:
        self.jobs[job.job_id] = job
        return job

    def fail(
        self,
        call: str,
        error: ProviderError,
        *,
        job_id: str | None = None,
        times: int | None = None,
        took: bool = False,
    ) -> None:
        """Let a call (`list`, `job`, `metrics`, `cancel`) fail from now on; with `took` it has its effect before."""
        self._failing.setdefault(call, []).append(_Failing(error, job_id, times, took))

    def mend(self) -> None:
        """Every call works again."""
        self._failing.clear()

    @property
    def taken(self) -> list[Post]:
        """Cancels that were answered with 200."""
        return [post for post in self.posts if post.status == HTTPStatus.OK]

    def settle_cancels(self) -> None:
        """Jobs whose cancel was taken are cancelled now."""
        for job in self.jobs.values():
            if job.status is Status.CANCEL_REQUESTED:
                job.status, job.updated_at = Status.CANCELLED, self.clock.now()

    async def whoami(self) -> Identity:
        return Identity(project_id="proj", project_name="Project")

    async def list_jobs(self) -> Listing:
        self._ask("list")
        listed = [job for job in self.jobs.values() if job.listed and not job.deleted]
        bad = tuple(job.job_id for job in listed if job.garbled)
        jobs = tuple(self._listed(job) for job in listed if not job.garbled)
        return Listing(jobs=jobs, bad=len(bad), bad_ids=bad)

    async def get_job(self, job_id: str) -> JobDetail:
        job = self._job("job", job_id)
        return JobDetail(snapshot=job.snapshot(self.clock.now()), events=tuple(job.events))

    async def get_metrics(
        self,
        job_id: str,
        *,
        from_step: int = 0,
        last_step: int | None = None,  # noqa: ARG002
        known: KnownRows = NONE_KNOWN,
    ) -> Metrics:
        asked = [row for row in self._job("metrics", job_id).rows if row.step >= from_step]
        read = [None if self.spoils(row) else row for row in asked]
        rows = tuple(row for row in read if row is not None and not _is_known(row, known))
        repeated = len(read) - len(rows) - read.count(None)
        return Metrics(rows=rows, torn=torn(read) if None in read else None, repeated=repeated)

    async def get_checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        self._job("checkpoints", job_id)
        return ()

    async def cancel(self, job_id: str) -> Snapshot:
        self.before_cancel(self.jobs[job_id])
        failing = self._take_failing("cancel", job_id)
        if failing is not None and not failing.took:
            self.posts.append(Post(job_id, self.clock.now(), failing.error.status or 0))
            raise failing.error
        job = self._job("cancel", job_id)
        if job.status not in _CANCELLABLE:
            self.posts.append(Post(job_id, self.clock.now(), 400))
            raise ProviderError(FailureReason.CLIENT, f"a {job.status.value} job", status=400)
        job.status, job.updated_at = Status.CANCEL_REQUESTED, self.clock.now()
        self.posts.append(Post(job_id, self.clock.now(), 200))
        if failing is not None:
            raise failing.error
        return job.snapshot(self.clock.now())

    async def delete(self, job_id: str, *, force: bool = False) -> str:  # noqa: ARG002
        raise AssertionError(f"the daemon deletes {job_id}")

    async def aclose(self) -> None:
        self.closed = True

    def _listed(self, job: FakeJob) -> Snapshot:
        """The list says less than the job itself."""
        return replace(job.snapshot(self.clock.now()), method=None, n_evals=None)

    def _job(self, call: str, job_id: str) -> FakeJob:
        self._ask(call, job_id)
        job = self.jobs.get(job_id)
        if job is None or job.deleted:
            raise ProviderError(FailureReason.NOT_FOUND, "no such job", status=404)
        return job

    def _ask(self, call: str, job_id: str = "") -> None:
        self.calls.append((call, job_id))
        failing = self._take_failing(call, job_id)
        if failing is not None:
            raise failing.error

    def _take_failing(self, call: str, job_id: str) -> _Failing | None:
        for failing in self._failing.get(call, []):
            if failing.job_id in (None, job_id):
                if failing.times is not None:
                    failing.times -= 1
                    if failing.times <= 0:
                        self._failing[call].remove(failing)
                return failing
        return None


_CANCELLABLE = (Status.PENDING, Status.QUEUED, Status.RUNNING, Status.COMPRESSING, Status.UPLOADING)


def unseen(reason: FailureReason, status: int | None = None, *, maybe_done: bool = False) -> ProviderError:
    """A failed call."""
    retryable = reason in (FailureReason.RATE_LIMITED, FailureReason.SERVER, FailureReason.TIMEOUT)
    return ProviderError(reason, reason.value, retryable=retryable, status=status, maybe_done=maybe_done)


# --- receivers ---


class FakeTarget:
    """A `Target` that records. `failures` are raised first, one a try; `down` at every try; `held` is waited for."""

    counts = True
    takes_pictures = False
    scheme = "fake"

    def __init__(self, target_id: str, receiver: str, clock: FakeClock) -> None:
        self.id, self.receiver = target_id, receiver
        self.messages: list[tuple[datetime, Message]] = []
        self.pictures: list[bytes | None] = []
        self.tries = 0
        self.failures: deque[DeliveryError] = deque()
        self.down: DeliveryError | None = None
        self.held: asyncio.Event | None = None
        self.hanging = 0
        self._clock = clock

    async def deliver(self, message: Message, picture: bytes | None = None) -> None:
        self.tries += 1
        if self.held is not None:
            self.hanging += 1
            await self.held.wait()
            self.hanging -= 1
        if self.failures:
            raise self.failures.popleft()
        if self.down is not None:
            raise self.down
        self.messages.append((self._clock.now(), message))
        self.pictures.append(picture)


class FakeReceivers:
    """`Receivers` that a test changes as a reload would."""

    def __init__(self, *targets: FakeTarget) -> None:
        self.all = list(targets)

    def targets(self, receiver: str) -> list[FakeTarget]:
        return [target for target in self.all if target.receiver == receiver]

    def target(self, target_id: str) -> FakeTarget | None:
        return next((target for target in self.all if target.id == target_id), None)

    def names(self) -> list[str]:
        return sorted({target.receiver for target in self.all})


def _is_known(row: Row, known: KnownRows) -> bool:
    return isinstance(row, TrainRow) and row.at_ns > 0 and known.leading(array("q", key_of(row))) == 1


# --- a store that fails ---


class FlakyStore:
    """A `Store` around another: `broken` refuses every write, `deaf` every read, `poisoned` jobs fail to be saved."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.broken = False
        self.deaf = False
        self.poisoned: set[str] = set()
        self.writes = self.reads = 0

    async def write(self, work: Callable[[Writes], T]) -> T:
        if self.broken:
            raise StoreError("the disk is full")
        self.writes += 1
        return await self._store.write(lambda tx: work(cast("Writes", _PoisonedWrites(tx, self.poisoned))))

    async def read(self, work: Callable[[Reads], T]) -> T:
        if self.deaf:
            raise StoreError("the disk can't be read")
        self.reads += 1
        return await self._store.read(work)

    async def aclose(self) -> None:
        await self._store.aclose()


class _PoisonedWrites:
    """Passes everything on but the saving of a poisoned job."""

    def __init__(self, tx: Writes, poisoned: set[str]) -> None:
        self._tx, self._poisoned = tx, poisoned

    def save_job(self, record: JobRecord) -> None:
        if record.key.job_id in self._poisoned:
            raise StoreError("this job can't be stored")
        self._tx.save_job(record)

    def move_job(self, key: JobKey, *, last_seq: int, updated_at: datetime, moved: str) -> None:
        if key.job_id in self._poisoned:
            raise StoreError("this job can't be stored")
        self._tx.move_job(key, last_seq=last_seq, updated_at=updated_at, moved=moved)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tx, name)
