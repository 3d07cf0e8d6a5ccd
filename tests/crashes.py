"""An app that dies at a chosen store write, API call or send, or meets an error there.

The world outside lives on while apps die: each next one opens the store from its file and goes on at the time at which
the one before it died.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from tests.fakes import START
from tests.leaks import CANARY
from tests.outside import RECEIVERS, Delivered, World
from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.messages import Message
from watcher.domain.observations import Snapshot
from watcher.domain.routing import Route, Routing
from watcher.domain.rule import SubjectKind
from watcher.notify.formats import text
from watcher.service.cancels import CancelDesk
from watcher.service.commit import Committer
from watcher.service.config import AccountConfig, Selection
from watcher.service.dispatcher import Dispatcher
from watcher.service.errors import StoreError
from watcher.service.perform import CancelPerformer
from watcher.service.ports import NoTelemetry, Reads, Writes
from watcher.service.records import Checkpoint, Identity, JobDetail, Listing, Metrics
from watcher.service.router import Router
from watcher.service.subjects import Faults
from watcher.service.sweep import Sweeper
from watcher.service.windows import RESTARTED, Windows
from watcher.settings import load_settings
from watcher.store.sqlite import SqliteStore, open_store

ACCOUNT = "main"
_SETTINGS = load_settings(None, {"TOGETHER_API_KEY": CANARY}, docker_secrets=Path("/nowhere"))
_PATIENCE = 200
T = TypeVar("T")


class Crash(BaseException):
    """The process is dead: whoever still runs in it gets nothing done any more."""


@dataclass(slots=True)
class Deaths:
    """Counts the points at which a process can die, or meet an error, and lets it happen at some of them.

    `at` holds how many points each process lives through; when it is used up, processes live on. `errors` holds points
    at which a call fails, with what it raises.
    """

    at: list[int] = field(default_factory=list)
    errors: dict[int, Exception] = field(default_factory=dict)
    points: list[str] = field(default_factory=list)
    dead: asyncio.Event = field(default_factory=asyncio.Event)

    def point(self, name: str) -> None:
        """Here the process may die. Raises Crash when it does, or has, and the error that it is to meet."""
        self.check()
        self.points.append(name)
        if error := self.errors.pop(len(self.points) - 1, None):
            raise error
        if self.at and len(self.points) > self.at[0]:
            self.at.pop(0)
            self.dead.set()
            raise Crash(name)

    def check(self) -> None:
        """Raises Crash when the process is dead."""
        if self.dead.is_set():
            raise Crash


class WatchedStore:
    """The store of one process: it may die right before a transaction, and right after it was committed."""

    def __init__(self, inner: SqliteStore, deaths: Deaths) -> None:
        self._inner, self._deaths = inner, deaths

    async def write(self, work: Callable[[Writes], T]) -> T:
        self._deaths.point("before a write")
        result = await self._inner.write(work)
        self._deaths.point("after a write")
        return result

    async def read(self, work: Callable[[Reads], T]) -> T:
        self._deaths.check()
        return await self._inner.read(work)

    async def aclose(self) -> None:
        await self._inner.aclose()


class WatchedProvider:
    """The API as one process reaches it."""

    def __init__(self, world: World, deaths: Deaths) -> None:
        self._world, self._deaths = world, deaths

    async def _call(self, name: str, answer: Callable[[], T]) -> T:
        self._deaths.point(f"before {name}")
        await asyncio.sleep(0)
        self._deaths.check()
        result = answer()
        self._deaths.point(f"after {name}")
        return result

    async def whoami(self) -> Identity:
        return Identity()

    async def list_jobs(self) -> Listing:
        world = self._world
        return await self._call("list", lambda: Listing(jobs=tuple(world.snapshot(job) for job in world.scripts)))

    async def get_job(self, job_id: str) -> JobDetail:
        world = self._world
        return await self._call("job", lambda: JobDetail(snapshot=world.snapshot(job_id), events=world.events(job_id)))

    async def get_metrics(self, job_id: str, *, from_step: int = 0, **_: object) -> Metrics:
        """Everything, known or not: there are no windows here."""
        return await self._call("metrics", lambda: Metrics(rows=self._world.rows(job_id, from_step)))

    async def get_checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        del job_id
        return ()

    async def cancel(self, job_id: str) -> Snapshot:
        await self._call("cancel", lambda: self._world.cancel(job_id))
        return self._world.snapshot(job_id)

    async def delete(self, job_id: str, *, force: bool = False) -> str:
        raise AssertionError(f"nobody deletes: {job_id} {force}")

    async def aclose(self) -> None:
        pass


class WatchedTarget:
    """A receiver's only target, as one process reaches it."""

    scheme = "json"
    counts = True
    takes_pictures = False

    def __init__(self, receiver: str, world: World, deaths: Deaths) -> None:
        self.id = self.receiver = receiver
        self._world, self._deaths = world, deaths

    async def deliver(self, message: Message, picture: bytes | None = None) -> None:  # noqa: ARG002
        self._deaths.point("before a send")
        await asyncio.sleep(0)
        self._deaths.check()
        world, body = self._world, text.render(message)
        world.delivered.append(Delivered(self.receiver, world.life, message, body, world.clock.now()))
        self._deaths.point("after a send")


class WatchedReceivers:
    def __init__(self, world: World, deaths: Deaths) -> None:
        self._targets = {name: WatchedTarget(name, world, deaths) for name in RECEIVERS}

    def targets(self, receiver: str) -> Sequence[WatchedTarget]:
        return (self._targets[receiver],)

    def target(self, target_id: str) -> WatchedTarget | None:
        return self._targets.get(target_id)

    def names(self) -> Sequence[str]:
        return RECEIVERS


class Life:
    """One process: everything is built anew, over the file that the one before it left."""

    def __init__(self, world: World, deaths: Deaths, policy: CancelPolicy) -> None:
        self.world, self.deaths = world, deaths
        self._strangers = asyncio.all_tasks()
        self.inner = open_store(world.database)
        self.store = WatchedStore(self.inner, deaths)
        clock, quiet, receivers = world.clock, NoTelemetry(), WatchedReceivers(world, deaths)
        provider = WatchedProvider(world, deaths)
        self.faults = Faults(_SETTINGS.rules_on(SubjectKind.WATCHER), self.store, clock, quiet)
        self.windows = Windows(self.store, clock)
        desk = CancelDesk(store=self.store, windows=self.windows, faults=self.faults, kill_switch=lambda: False)
        selection = Selection(name="all", rules=_SETTINGS.rules_for(_SETTINGS.jobs[0]), policy=policy)
        self.sweeper = Sweeper(
            config=AccountConfig(
                name=ACCOUNT,
                interval=timedelta(seconds=30),
                lookback=timedelta(hours=1),
                select=lambda _: selection,
                rules=_SETTINGS.rules_on(SubjectKind.ACCOUNT),
            ),
            provider=provider,
            store=self.store,
            clock=clock,
            committer=Committer(self.store, clock, lambda: None),
            cancels=desk,
            faults=self.faults,
            telemetry=quiet,
        )
        sweepers = {ACCOUNT: self.sweeper}
        performer = CancelPerformer(
            store=self.store,
            clock=clock,
            desk=desk,
            windows=self.windows,
            sweepers=sweepers.get,
            telemetry=quiet,
        )
        routing = Routing(routes=(Route(receivers=RECEIVERS),))
        self.router = Router(store=self.store, clock=clock, routing=routing, receivers=receivers)
        self.dispatcher = Dispatcher(
            store=self.store,
            clock=clock,
            receivers=receivers,
            performer=performer,
            windows=self.windows,
            provider_of={ACCOUNT: provider}.get,
            faults=self.faults,
            telemetry=quiet,
            rng=random.Random(1),  # noqa: S311 - repeatable
        )

    async def start(self) -> None:
        """As the daemon does."""
        await self.store.write(lambda tx: tx.release_claims())
        await self.windows.restart(RESTARTED)
        await self.faults.begin()
        await self.sweeper.load(urgent=True)

    async def turn(self) -> None:
        """One sweep and the delivery of what is due; a store that fails is met as the daemon meets it."""
        with contextlib.suppress(StoreError):
            await self.sweeper.run()
        with contextlib.suppress(StoreError):
            await self.faults.flush()
            await self.router.run()
            await self._deliver()

    async def _deliver(self) -> None:
        """What waits for the store to come back sleeps: its time passes."""
        delivering = asyncio.ensure_future(self.dispatcher.run_until_idle())
        while not (await asyncio.wait({delivering}, timeout=0.01))[0]:
            if self.world.clock.sleepers:
                self.world.clock.advance(1)
        await delivering

    async def end(self) -> None:
        """Let go of the file. What still runs of a dead process is swept away; it can't do anything any more."""
        left = asyncio.all_tasks() - self._strangers
        for _ in range(_PATIENCE):
            if not left:
                break
            for task in left:
                task.cancel()
            # Those that wait for a thread of the store end only when it does.
            _, left = await asyncio.wait(left, timeout=0.05)
        assert not left
        await self.inner.aclose()


async def live(
    world: World, deaths: Deaths, policy: CancelPolicy, turns: Sequence[float], *, outage: float = 0.0
) -> None:
    """Sweep at each of these times, in seconds from the start; a process that dies is followed by another.

    That one starts `outage` seconds later, and goes on with the sweep in which the other died.
    """
    asyncio.get_running_loop().set_exception_handler(_but_crashes)
    todo = list(turns)
    while todo:
        life = Life(world, deaths, policy)
        deaths.points, deaths.dead = [], asyncio.Event()
        running = asyncio.ensure_future(_turns(life, todo))
        dying = asyncio.ensure_future(deaths.dead.wait())
        await asyncio.wait({running, dying}, return_when=asyncio.FIRST_COMPLETED)
        dead = deaths.dead.is_set()
        if not dead:
            await running
        await life.end()
        if dead:
            world.died()
            world.clock.advance(outage)


def _but_crashes(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Nobody asks how the tasks of a dead process ended."""
    if not isinstance(context.get("exception"), Crash):
        loop.default_exception_handler(context)


async def _turns(life: Life, todo: list[float]) -> None:
    await life.start()
    while todo:
        now = (life.world.clock.now() - START).total_seconds()
        life.world.clock.advance(max(0.0, todo[0] - now))
        await life.turn()
        todo.pop(0)


ENFORCE = CancelPolicy(mode=CancelMode.ENFORCE, never=("protected*",))
