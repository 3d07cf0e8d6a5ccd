"""A scenario in fake time over the whole spine: real store, sweeper, router, dispatcher and cancels; fake outside.

A test says what happens when, what it expects to be told when, and runs:

    scene.at("10m", loss=9)
    scene.expect(between("10m", "11m"), firing("high"))
    await scene.run("15m")

A job logs a row every ten seconds; sweeps come every thirty, deliveries every ten. What is expected is exact: each
thing must be told as often as it is expected, each time within its span.
"""

import asyncio
import inspect
import itertools
import math
import random
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.fakes import START, FakeClock, FakeJob, FakeProvider, FakeReceivers, FakeTarget, FlakyStore
from tests.toys import High
from watcher.domain.alerts import Alert, TransitionReason
from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.messages import Message
from watcher.domain.observations import EvalRow, Event, Status, TrainRow
from watcher.domain.routing import Route, Routing
from watcher.domain.rule import Rule
from watcher.domain.rules.provider_unreachable import ProviderUnreachable
from watcher.domain.rules.watcher_fault import WatcherFault
from watcher.domain.vetolinks import VetoLinks
from watcher.service.cancels import CancelDesk
from watcher.service.commit import Committer
from watcher.service.config import AccountConfig, Selection
from watcher.service.consent import Consent, Person
from watcher.service.dispatcher import Dispatcher
from watcher.service.errors import StoreError
from watcher.service.perform import CancelPerformer
from watcher.service.ports import NoTelemetry, Telemetry
from watcher.service.records import AlertQuery, JobKey, OutboxRow, Proposal
from watcher.service.report import SweepReport
from watcher.service.router import Router
from watcher.service.subjects import Faults
from watcher.service.sweep import Sweeper
from watcher.service.windows import RESTARTED, Windows
from watcher.store.sqlite import open_store

JOB = "ft-1"
ROW_EVERY = 10.0
SWEEP_EVERY = 30.0
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SOMEBODY = Person("ada", "command", "it is fine")
ENFORCE = CancelPolicy(mode=CancelMode.ENFORCE)
LINKS = VetoLinks(b"the key of this scene", "https://watcher.example.com")
PROPOSE = CancelPolicy(mode=CancelMode.PROPOSE, veto_window=timedelta(minutes=5))


def seconds(text: str) -> float:
    """`90s`, `10m`, `1h30m`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    assert parts, text
    assert "".join(f"{n}{u}" for n, u in parts) == text, text
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


@dataclass(frozen=True, slots=True)
class Span:
    """From and to, in seconds of the scene, both included."""

    start: float
    end: float


def between(start: str, end: str) -> Span:
    return Span(seconds(start), seconds(end))


NEVER = Span(math.inf, -math.inf)


@dataclass(frozen=True, slots=True)
class What:
    """Something that is told of a job: a rule's alert and why."""

    reason: TransitionReason
    rule: str | None = None
    subject: str | None = None
    kind: str | None = None

    def matches(self, message: Message) -> bool:
        return (
            message.reason is self.reason
            and self.rule in (None, message.rule)
            and self.subject in (None, message.subject)
            and self.kind in (None, message.kind)
        )


def firing(rule: str, subject: str | None = None, kind: str | None = None) -> What:
    return What(TransitionReason.FIRST, rule, subject, kind)


def resolved(rule: str, subject: str | None = None, kind: str | None = None) -> What:
    return What(TransitionReason.RESOLVED, rule, subject, kind)


def told(reason: TransitionReason, subject: str | None = None) -> What:
    """What became of a cancel."""
    return What(reason, None, subject)


CANCELLED, WOULD_CANCEL = told(TransitionReason.CANCELLED), told(TransitionReason.WOULD_CANCEL)
REFUSED, WITHDRAWN = told(TransitionReason.CANCEL_REFUSED), told(TransitionReason.CANCEL_WITHDRAWN)
OVERTAKEN, FAILED = told(TransitionReason.CANCEL_OVERTAKEN), told(TransitionReason.CANCEL_FAILED)
VETOED, APPROVED = told(TransitionReason.CANCEL_VETOED), told(TransitionReason.CANCEL_APPROVED)
PROPOSED, FROZEN = told(TransitionReason.CANCEL_PROPOSED), told(TransitionReason.CANCEL_FROZEN)


@dataclass(slots=True)
class Course:
    """How a job goes on by itself: the loss of its next rows."""

    loss: float | None = 2.0
    grad_norm: float | None = 1.0
    step: int = 0
    row_at: float = 0.0
    quiet: bool = False


@dataclass(slots=True)
class Scene:
    """The app, what is outside of it, and the script."""

    directory: Path
    rules: tuple[Rule, ...] = (High(),)
    policy: CancelPolicy = field(default_factory=CancelPolicy)
    lookback: timedelta = timedelta(hours=1)
    routing: Routing = field(
        default_factory=lambda: Routing(
            routes=(Route(receivers=("team",), group_by=("account", "job", "rule", "kind")),)
        )
    )
    account_rules: tuple[Rule, ...] = (ProviderUnreachable(),)
    watches: Callable[[str], bool] = lambda _job_id: True
    clock: FakeClock = field(default_factory=FakeClock)
    telemetry: Telemetry = field(default_factory=NoTelemetry)
    provider: FakeProvider = field(init=False)
    team: FakeTarget = field(init=False)
    receivers: FakeReceivers = field(init=False)
    store: FlakyStore = field(init=False)
    faults: Faults = field(init=False)
    desk: CancelDesk = field(init=False)
    windows: Windows = field(init=False)
    sweeper: Sweeper = field(init=False)
    router: Router = field(init=False)
    dispatcher: Dispatcher = field(init=False)
    reports: list[SweepReport] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    cancels_settle: bool = True
    routes: bool = True
    crashes: bool = False
    """Whether looking at a job may fail for a fault of ours: only where the scene plants one."""
    _courses: dict[str, Course] = field(default_factory=dict)
    _script: list[tuple[float, int, Callable[[], Any]]] = field(default_factory=list)
    _expected: list[tuple[Span, What]] = field(default_factory=list)
    _count: "itertools.count[int]" = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.provider = FakeProvider(self.clock)
        self.team = FakeTarget("t-team", "team", self.clock)
        self.receivers = FakeReceivers(self.team)
        self.start()

    # --- the app ---

    def start(self) -> None:
        """Put the app together as it stands in the configuration, over the store's file."""
        self.store = FlakyStore(open_store(self.directory / "watcher.db"))
        self.faults = Faults((WatcherFault(),), self.store, self.clock, self.telemetry)
        self.windows = Windows(self.store, self.clock)
        self.desk = CancelDesk(
            store=self.store,
            windows=self.windows,
            faults=self.faults,
            kill_switch=(self.directory / "no-cancel").exists,
        )
        selection = Selection(name="all", rules=self.rules, policy=self.policy)
        self.sweeper = Sweeper(
            config=AccountConfig(
                name="main",
                interval=timedelta(seconds=SWEEP_EVERY),
                lookback=self.lookback,
                select=lambda job: selection if self.watches(job.job_id) else None,
                rules=self.account_rules,
            ),
            provider=self.provider,
            store=self.store,
            clock=self.clock,
            committer=Committer(self.store, self.clock, lambda: None),
            cancels=self.desk,
            faults=self.faults,
            telemetry=self.telemetry,
        )
        self.router = Router(store=self.store, clock=self.clock, routing=self.routing, receivers=self.receivers)
        performer = CancelPerformer(
            store=self.store,
            clock=self.clock,
            desk=self.desk,
            windows=self.windows,
            sweepers={"main": self.sweeper}.get,
            telemetry=self.telemetry,
        )
        self.dispatcher = Dispatcher(
            store=self.store,
            clock=self.clock,
            receivers=self.receivers,
            performer=performer,
            windows=self.windows,
            provider_of={"main": self.provider}.get,
            faults=self.faults,
            telemetry=self.telemetry,
            veto_link=LINKS.of,
            rng=random.Random(0),  # noqa: S311 - the same waits in every run
        )

    async def restart(self) -> None:
        """The process ends where it is and comes back over the same file."""
        await self.store.aclose()
        self.start()
        await self.store.write(lambda tx: tx.release_claims())
        await self.windows.restart(RESTARTED)
        await self.faults.begin()
        await self.sweeper.load(urgent=True)

    async def reload(self, policy: CancelPolicy) -> None:
        """Another policy for the running process."""
        self.policy = policy
        selection = Selection(name="all", rules=self.rules, policy=policy)
        async with self.sweeper.paused():
            self.sweeper.adopt(replace(self.sweeper.config, select=lambda _job: selection), self.provider)
        await self.sweeper.load()

    async def sweep(self) -> None:
        """One sweep, or what it failed with."""
        try:
            self.reports.append(await self.sweeper.run())
        except StoreError as error:
            self.errors.append(error)
        crashed = [name for name in self.faults._open if name.startswith("job:")]
        assert self.crashes or not crashed, crashed

    async def deliver(self) -> None:
        """What the daemon's pump does, until everything that can go on has done so."""
        try:
            await self.faults.flush()
            if self.routes:
                await self.router.run()
            while await self.dispatcher.run_due():
                await self._calm()
        except StoreError as error:
            self.errors.append(error)

    async def _calm(self) -> None:
        """Wait for what is under way, but not for who hangs or sleeps in fake time."""
        while True:
            waiting = sum(target.hanging for target in self.receivers.all) + self.clock.sleepers
            lanes = list(self.dispatcher._lanes.values())
            if len(lanes) <= waiting:
                return
            await asyncio.wait(lanes, timeout=0.01, return_when=asyncio.FIRST_COMPLETED)

    # --- the script ---

    def job(self, job_id: str = JOB, *, step: int = 0, loss: float | None = 2.0, **fields: Any) -> FakeJob:
        """A job that trains from now on. It may have a past: rows up to `step`, with the loss that it goes on with."""
        status = fields.pop("status", Status.RUNNING)
        planned = fields.pop("total_steps", 200)
        now = self.now
        job = self.provider.add(FakeJob(job_id, status, fields={"total_steps": planned, "suffix": job_id, **fields}))
        job.created_at = job.updated_at = self.clock.now() - timedelta(seconds=step * ROW_EVERY)
        course = Course(loss=loss, step=0, row_at=now - step * ROW_EVERY)
        self._courses[job_id] = course
        if step:
            self._grow(job, course, now - ROW_EVERY)
        course.row_at = now + ROW_EVERY
        return job

    def at(self, when: str, job: str = JOB, *, event: str = "", **changes: Any) -> None:
        """From then on: `loss`, `grad_norm`, `quiet` of the rows, the `status`, an `event`, other fields of the job."""
        self.do(when, lambda: self._change(job, event, changes))

    def do(self, when: str, action: Callable[[], Any]) -> None:
        """Anything at a time; what it returns is awaited where it can be."""
        self._script.append((seconds(when), next(self._count), action))

    def expect(self, span: Span, what: What) -> None:
        self._expected.append((span, what))

    async def run(self, until: str) -> None:
        """Live until then, and check what was expected."""
        end = seconds(until)
        while self.now <= end:
            await self._moment()
            self.clock.advance(ROW_EVERY)
        self._check()

    async def _moment(self) -> None:
        due = sorted(entry for entry in self._script if entry[0] <= self.now)
        self._script = [entry for entry in self._script if entry not in due]
        for _, _, action in due:
            result = action()
            if inspect.isawaitable(result):
                await result
        for job_id, course in self._courses.items():
            self._grow(self.provider.jobs[job_id], course, self.now)
        if self.now % SWEEP_EVERY == 0:
            if self.cancels_settle:
                self.provider.settle_cancels()
            await self.sweep()
        await self.deliver()

    def _grow(self, job: FakeJob, course: Course, until: float) -> None:
        while course.row_at <= until:
            if job.status is Status.RUNNING and not course.quiet:
                course.step += 1
                job.rows.append(self.row(course.step, course.row_at, course.loss, course.grad_norm))
                job.updated_at = START + timedelta(seconds=course.row_at)
            course.row_at += ROW_EVERY

    @staticmethod
    def row(step: int, at: float, loss: float | None, grad_norm: float | None = 1.0) -> TrainRow:
        """A row as logged at a time of the scene, with a little noise that is always the same."""
        noise = 1 + 0.02 * ((step * 7919) % 11 - 5) / 5
        return TrainRow(step, ns(at), None if loss is None else loss * noise, grad_norm, 1e-4)

    def _change(self, job_id: str, event: str, changes: dict[str, Any]) -> None:
        job, course = self.provider.jobs[job_id], self._courses[job_id]
        for name, value in changes.items():
            if name in ("loss", "grad_norm", "quiet", "step"):
                setattr(course, name, value)
            elif name in ("status", "listed", "deleted", "garbled"):
                setattr(job, name, value)
            elif name == "eval_loss":
                job.rows.append(EvalRow(course.step, ns(self.now), value))
            else:
                job.fields[name] = value
        if "status" in changes:
            job.updated_at = self.clock.now()
        if event:
            job.events.append(Event(type=event, at=self.clock.now(), message=event))

    # --- what came of it ---

    @property
    def now(self) -> float:
        """Seconds of the scene, whatever somebody did to the wall clock."""
        return self.clock.monotonic()

    @property
    def messages(self) -> list[Message]:
        return [message for _, message in self.team.messages]

    def _check(self) -> None:
        for what in dict.fromkeys(what for _, what in self._expected):
            spans = sorted((span for span, w in self._expected if w == what and span != NEVER), key=lambda s: s.start)
            times = [(at - START).total_seconds() for at, message in self.team.messages if what.matches(message)]
            summary = "\n".join(summary_of(at, message) for at, message in self.team.messages)

            assert len(times) == len(spans), f"{what} was told at {times}, expected in {spans}; told:\n{summary}"
            for time, span in zip(times, spans, strict=True):
                assert span.start <= time <= span.end, f"{what} was told at {time}; told:\n{summary}"

    async def alerts(self, job_id: str | None = JOB) -> list[Alert]:
        return await self.store.read(lambda reads: reads.alerts(AlertQuery(job_id=job_id)))

    async def proposals(self, job_id: str = JOB) -> list[Proposal]:
        return await self.store.read(lambda reads: reads.proposals(key=JobKey("main", job_id)))

    async def outbox(self) -> list[OutboxRow]:
        return await self.store.read(lambda reads: reads.outbox())

    @property
    def consent(self) -> Consent:
        return Consent(store=self.store, clock=self.clock, sweepers=lambda: [self.sweeper], telemetry=self.telemetry)

    async def veto(self, job_id: str = JOB, person: Person = SOMEBODY, **meant: str) -> dict[str, Any]:
        return await self.consent.veto(job_id, person, **meant)

    async def lift(self, job_id: str = JOB, person: Person = SOMEBODY) -> dict[str, Any]:
        return await self.consent.lift(job_id, person)

    async def approve(self, job_id: str = JOB, person: Person = SOMEBODY, **meant: str) -> dict[str, Any]:
        return await self.consent.approve(job_id, person, **meant)

    def refusals(self, job_id: str = JOB) -> list[str]:
        """Why the policy does not cancel, as the page shows it."""
        book = self.sweeper.book(job_id)
        return [] if book is None else [refusal.reason for refusal in book.refusals.values()]

    def of(self, what: What) -> Sequence[Message]:
        return [message for message in self.messages if what.matches(message)]


def ns(at: float) -> int:
    """Unix nanoseconds of a time of the scene."""
    return round((START.timestamp() + at) * 1e9)


def summary_of(at: datetime, message: Message) -> str:
    when = (at - START).total_seconds()
    what = f"{message.reason.value}  {message.subject}  {message.rule}/{message.kind}"
    return f"{when:>8.0f}  {what}: {message.action or message.what}"


@asynccontextmanager
async def scene(directory: Path, **settings: Any) -> AsyncIterator[Scene]:
    """A scene whose store is closed at the end."""
    made = Scene(directory, **settings)
    try:
        yield made
    finally:
        for target in made.receivers.all:
            if target.held is not None:
                target.held.set()
        await made._calm()
        await made.store.aclose()
