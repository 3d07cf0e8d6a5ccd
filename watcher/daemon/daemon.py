"""The daemon's loops: sweeps on a schedule, a delivery pump woken by commits, and a check of the clock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

import structlog

from watcher.daemon.health import Health
from watcher.daemon.schedule import Schedule
from watcher.daemon.sdnotify import SdNotify
from watcher.service.digests import Digests
from watcher.service.dispatcher import LONGEST_WAIT, Dispatcher
from watcher.service.errors import StoreError
from watcher.service.ports import Clock, Store
from watcher.service.retention import Retention
from watcher.service.router import Router
from watcher.service.subjects import Faults
from watcher.service.sweep import Sweeper
from watcher.service.windows import RESTARTED, STEPPED, Windows

log = structlog.get_logger(__name__)

CLOCK_EVERY = 5.0
CLOCK_STEP = 5.0
"""Seconds by which wall time and monotonic time may differ between two checks before the clock counts as stepped."""
DRAIN = 20.0
"""Seconds that sends under way are given at the end; what is not done by then is sent again after the next start."""
HOLD_EVERY, HOLD_FOR, LONGEST_HOLD = 5.0, 15.0, 300.0
"""Seconds: while it drains, the service manager is asked this often for this much more time, and after how long not."""
_TICK = timedelta(seconds=1)
_BEAT = timedelta(seconds=5)
_DIGEST = timedelta(seconds=30)
_RETENTION, _FIRST_RETENTION = timedelta(hours=1), timedelta(minutes=5)
"""How often the past is thinned; first when what was missed has been caught up with."""


class Part(Protocol):
    """Something with a start and an end: the web server, the control socket."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(slots=True, kw_only=True)
class Daemon:
    """Everything that runs, put together by the composition root."""

    sweepers: Sequence[Sweeper]
    router: Router
    dispatcher: Dispatcher
    digests: Digests
    retention: Retention
    windows: Windows
    faults: Faults
    health: Health
    schedule: Schedule
    store: Store
    clock: Clock
    notify: SdNotify
    wake: asyncio.Event
    parts: Sequence[Part] = ()
    close: Sequence[Callable[[], Awaitable[None]]] = ()
    useful: Callable[[], None] = lambda: None
    """Called after each sweep that saw its account."""
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _started: list[Part] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while what is due is routed, claimed or put into a digest."""
    _stopping: bool = False

    async def run(self, stop: asyncio.Event) -> None:
        """Watch until `stop` is set, then drain: sweeps end, decisions are routed, sends under way finish."""
        try:
            await self._begin()
            try:
                await stop.wait()
            finally:
                await self._drain()
        finally:
            await self._end()

    async def _begin(self) -> None:
        await self.store.write(lambda tx: tx.release_claims())
        await self.windows.restart(RESTARTED)
        await self.faults.begin()
        for sweeper in self.sweepers:
            await sweeper.load(urgent=True)
            self.health.watch(sweeper.config.name, sweeper.config.interval)
        for part in self.parts:
            await part.start()
            self._started.append(part)
        self._tasks = [asyncio.create_task(self._pump()), asyncio.create_task(self._check_clock())]
        self._plan()
        self.schedule.start()
        self.notify.ready(f"watching {len(self.sweepers)} account(s)")
        log.info("daemon.started", accounts=[s.config.name for s in self.sweepers])

    def _plan(self) -> None:
        now = self.clock.now()
        for sweeper in self.sweepers:
            self._plan_sweeps(sweeper)
        self.schedule.every("deliver", _TICK, self._wake, first=now)
        self.schedule.every("beat", _BEAT, self._beat, first=now)
        self.schedule.every("retention", _RETENTION, self._retain, first=now + _FIRST_RETENTION)
        self.schedule.every("digest", _DIGEST, self._digest, first=now + _DIGEST)  # what was missed: after a sweep

    def _plan_sweeps(self, sweeper: Sweeper) -> None:
        name, interval, spread = sweeper.config.name, sweeper.config.interval, len(self.sweepers) > 1
        self.schedule.every(_job(name), interval, self._sweep(sweeper), first=self.clock.now(), spread=spread)

    @contextlib.asynccontextmanager
    async def between_sweeps(self) -> AsyncIterator[None]:
        """No sweep, no look at a job, no routing and no new send meanwhile; sends under way go on."""
        async with contextlib.AsyncExitStack() as held:
            for sweeper in self.sweepers:  # these may take long: what is due is delivered meanwhile
                await held.enter_async_context(sweeper.paused())
            await held.enter_async_context(self._turn)
            held.enter_context(self.dispatcher.paused())
            yield

    async def watch(self, sweepers: Sequence[Sweeper]) -> None:
        """From now on these accounts are swept, each at its interval."""
        names = {sweeper.config.name for sweeper in sweepers}
        for left in [s.config.name for s in self.sweepers if s.config.name not in names]:
            self.schedule.drop(_job(left))
            self.health.forget(left)
        self.sweepers = sweepers
        for sweeper in sweepers:
            with contextlib.suppress(StoreError):  # its next sweep tries again
                await sweeper.load()
            name, interval = sweeper.config.name, sweeper.config.interval
            self.health.watch(name, interval)
            if self.schedule.interval(_job(name)) != interval:
                self._plan_sweeps(sweeper)

    def _sweep(self, sweeper: Sweeper) -> Callable[[], Awaitable[None]]:
        async def sweep() -> None:
            if self._stopping:
                return  # the scheduler had handed it over just before it was paused: nobody would wait for its end
            try:
                report = await sweeper.run()
            except StoreError as error:
                # Nothing was decided. The store can't hold an alert about itself: the log and the probes tell it.
                log.error("sweep.not_stored", account=sweeper.config.name, reason=str(error))
                self.health.not_stored(str(error))
                return
            self.health.swept(report.account, report.reason, unsure=report.unsure)
            if report.reason is None:
                self.useful()
            self.wake.set()

        return sweep

    async def _wake(self) -> None:
        self.wake.set()

    async def _digest(self) -> None:
        try:
            async with self._turn:
                made = await self.digests.run()
        except StoreError as error:
            log.error("digest.not_stored", reason=str(error))
        else:
            if made:
                self.wake.set()

    async def _retain(self) -> None:
        try:
            await self.retention.run()
        except StoreError as error:
            log.error("retention.not_stored", reason=str(error))

    async def _beat(self) -> None:
        await self.health.beat()
        if not self.health.alive():
            self.notify.watchdog()
        reasons = await self.health.ready() if self.health.swept_all_once else []
        self.notify.status("; ".join(reasons) if reasons else f"watching {len(self.sweepers)} account(s)")

    async def _pump(self) -> None:
        """Route and dispatch whenever something was committed, when a group is due, and once a second for the rest."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            await self._deliver()
            due_in = self.router.due_in
            if due_in is not None and due_in < _TICK:
                self.schedule.run_now("deliver", self.clock.now() + due_in)

    async def _deliver(self) -> None:
        try:
            async with self._turn:
                await self.faults.flush()
                await self.router.run(hurry=self._stopping)
                if not self._stopping:
                    await self.dispatcher.run_due()
        except StoreError as error:
            log.error("delivery.not_stored", reason=str(error))
        except Exception:
            log.exception("delivery.crashed")

    async def _check_clock(self) -> None:
        """Compare the two clocks: a step makes one sweep conclude nothing, and nothing waits for a time far ahead."""
        wall, mono = self.clock.now(), self.clock.monotonic()
        while True:
            await self.clock.sleep(CLOCK_EVERY)
            now, ticks = self.clock.now(), self.clock.monotonic()
            step = (now - wall).total_seconds() - (ticks - mono)
            wall, mono = now, ticks
            if abs(step) > CLOCK_STEP:
                await self._clock_stepped(step)

    async def _clock_stepped(self, step: float) -> None:
        now = self.clock.now()
        for sweeper in self.sweepers:
            sweeper.distrust_clock()
        self.schedule.retime(now)
        self.faults.report(
            "clock", "step", f"the system clock stepped by {step:+.0f} s; one sweep concludes nothing from it"
        )
        try:
            await self.windows.restart(STEPPED)
            await self.store.write(lambda tx: tx.clamp_due(now + timedelta(seconds=LONGEST_WAIT)))
            await self.faults.flush()
        except StoreError as error:
            log.error("clock.step_not_stored", reason=str(error))
        self.faults.over("clock", "step")

    async def _drain(self) -> None:
        self._stopping = True
        self.notify.stopping("draining")
        log.info("daemon.draining")
        holding = asyncio.create_task(self._hold())
        try:
            await self._finish()
        finally:
            holding.cancel()

    async def _hold(self) -> None:
        """The service manager waits while sweeps and sends come to their end; a drain that hangs it may kill."""
        for _ in range(int(LONGEST_HOLD / HOLD_EVERY)):
            self.notify.extend_timeout(HOLD_FOR)
            await self.clock.sleep(HOLD_EVERY)

    async def _finish(self) -> None:
        self.schedule.pause()
        for sweeper in self.sweepers:
            await sweeper.idle()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._deliver()
        try:
            async with asyncio.timeout(DRAIN):
                await self.dispatcher.run_until_idle()
        except TimeoutError:
            self.dispatcher.halt()
            log.warning("daemon.drain_cut", seconds=DRAIN)
        except StoreError as error:
            log.error("delivery.not_stored", reason=str(error))

    async def _end(self) -> None:
        """Let go of everything, also of what a failing start left open."""
        for part in reversed(self._started):
            await part.stop()
        self.schedule.stop()
        for close in self.close:
            await close()
        log.info("daemon.stopped")


def _job(account: str) -> str:
    """The name of an account's sweeps in the schedule."""
    return f"sweep:{account}"
