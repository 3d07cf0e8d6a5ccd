"""The only part that acts: claims effects of the outbox, performs them, and records the outcome after it happened."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

import structlog

from watcher.domain import codec
from watcher.domain.messages import Message
from watcher.service.album import AHEAD, Album, Subject, may_wait, subject_of
from watcher.service.errors import DeliveryError, ProviderError, StoreError
from watcher.service.perform import CancelPerformer
from watcher.service.ports import Clock, Pictures, Provider, Receivers, Store, Target, Telemetry, Writes
from watcher.service.records import Effect, OutboxRow
from watcher.service.subjects import Faults
from watcher.service.windows import Windows

log = structlog.get_logger(__name__)

FIRST_WAIT = 5.0
"""Seconds after the first failure; each further one doubles it."""
LONGEST_WAIT = 600.0
"""Seconds between two tries at most, so that a receiver that is back is served within ten minutes."""
GIVE_UP = timedelta(hours=72)
"""After so long a row is parked as a dead letter, which raises an alert of its own."""


def backoff(attempts: int, rng: random.Random, retry_after: float | None) -> float:
    """Seconds to wait after `attempts` failures: doubling, with jitter, never less than the receiver asked for."""
    wait: float = min(LONGEST_WAIT, FIRST_WAIT * 2.0 ** min(attempts, 16))
    return max(wait * rng.uniform(0.5, 1.0), min(retry_after or 0.0, GIVE_UP.total_seconds()))


class Dispatcher:
    """Performs effects, one lane at a time each: a slow target delays nobody else, and order within a lane is kept."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        receivers: Receivers,
        performer: CancelPerformer,
        windows: Windows,
        provider_of: Callable[[str], Provider | None],
        faults: Faults,
        telemetry: Telemetry,
        rng: random.Random,
        pictures: Pictures | None = None,
        veto_link: Callable[[Message], str] = lambda _message: "",
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self.receivers, self.pictures = receivers, pictures
        self._store, self._clock, self._performer, self._provider_of = store, clock, performer, provider_of
        self._windows = windows
        self._faults, self._telemetry, self._rng, self._done = faults, telemetry, rng, done
        self._veto_link = veto_link
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._next: dict[str, OutboxRow] = {}
        """Of a lane the row that was claimed when the one before it was recorded."""
        self._going_on = set[str]()
        """Lanes that are past the first message of a burst."""
        self._pauses, self._album = 0, Album()
        self.delivered = 0

    async def run_due(self) -> int:
        """Start everything that is due and not under way; returns how many were started.

        Raises:
            StoreError: nothing was claimed.
        """
        busy = list(self._lanes)
        rows = await self._store.write(lambda tx: tx.claim(self._clock.now(), busy_lanes=busy))
        for row in rows:
            self._lanes[row.lane] = asyncio.create_task(self._run(row))
        return len(rows)

    def halt(self) -> None:
        """No lane goes on by itself any more; sends under way go on."""
        self._pauses += 1

    @contextmanager
    def paused(self) -> Iterator[None]:
        """As after `halt`, for a while."""
        self.halt()
        try:
            yield
        finally:
            self._pauses -= 1

    async def run_until_idle(self) -> None:
        """Perform what is due now until nothing is: for one-off commands."""
        while await self.run_due() or self._lanes:
            await self.settle()

    async def settle(self) -> None:
        """Wait for what is under way."""
        if self._lanes:
            await asyncio.wait(list(self._lanes.values()))

    async def _run(self, row: OutboxRow) -> None:
        try:
            await self._perform(row)
        except StoreError as error:
            await self._again(row, str(error), None)
        except Exception:
            log.exception("outbox.effect_crashed", key=row.key, effect=row.effect.value)
            await self._again(row, "internal error", None)
        finally:
            self._lanes.pop(row.lane, None)
            following = self._next.pop(row.lane, None)
            if following is None:
                self._going_on.discard(row.lane)
                self._album.leave(row.lane)
                self._done()
            else:
                self._going_on.add(row.lane)
                self._lanes[row.lane] = asyncio.create_task(self._run(following))

    async def _record(self, work: Callable[[Writes], object]) -> None:
        """Write an outcome, however long the store takes to come back: what happened is not done again."""
        while True:
            try:
                await self._store.write(work)
            except StoreError as error:
                log.error("outbox.outcome_not_stored", reason=str(error))
                await self._clock.sleep(FIRST_WAIT)
            else:
                return

    async def _perform(self, row: OutboxRow) -> None:
        match row.effect:
            case Effect.NOTIFY:
                await self._notify(row)
            case Effect.CANCEL:
                await self._cancel(row)

    # --- notifications ---

    async def _notify(self, row: OutboxRow) -> None:
        target = self.receivers.target(row.target)
        if target is None:
            await self._readdress(row)
            return
        message = codec.decode(Message, row.payload)
        picture = await self._picture(row, message, target)
        try:
            # The link is a key to the veto: it is made anew for every send, and no database holds it. A console, whose
            # lines end in logs, gets none.
            veto = self._veto_link(message) if target.counts else ""
            await target.deliver(replace(message, veto=veto), picture)
        except DeliveryError as error:
            await self._not_delivered(row, target, error)
            return
        self.delivered += 1
        self._telemetry.notification(row.receiver, "ok")
        await self._delivered(row, message, target)
        self._faults.over("dead_letter", row.target)
        log.info("notification.delivered", key=row.key, receiver=row.receiver, target=row.target, scheme=target.scheme)

    async def _delivered(self, row: OutboxRow, message: Message, target: Target) -> None:
        """Recorded, and the lane goes on: what comes next is claimed in the same transaction, never before it.

        So a lane costs one transaction a message, and after a crash at most its one message may have been sent without
        a record of it. An announcement begins its veto window in that transaction too.
        """
        begun, following = list[bool](), list[OutboxRow | None]()

        def record(tx: Writes) -> None:
            now = self._clock.now()
            tx.finish(row.id, now)
            begun[:] = [target.counts and self._windows.begin_in(tx, message)]
            following[:] = [None if self._pauses else tx.claim_next(row.lane, now)]

        await self._record(record)
        if following[-1] is not None:
            self._next[row.lane] = following[-1]
        if begun[-1]:
            self._windows.begun(message)

    async def _picture(self, row: OutboxRow, message: Message, target: Target) -> bytes | None:
        if self.pictures is None or not target.takes_pictures:
            return None
        subject, lane, wait = subject_of(row, message), row.lane, may_wait(row, self._clock.now())
        if subject and lane in self._going_on and wait == 0:
            return self._album.ready(lane, subject)  # and nothing more is begun for a lane so late
        behind = await self._next_subjects(row)
        self._album.want(self.pictures, lane, [s for s in (subject, *behind) if s])
        if subject is None:
            return None
        alone = not behind and lane not in self._going_on
        too_long = None if alone or wait is None else self._clock.sleep(wait)
        return await self._album.picture(lane, subject, too_long)

    async def _next_subjects(self, row: OutboxRow) -> list[Subject | None]:
        """What the lane's next messages are about."""
        try:
            behind = await self._store.read(lambda reads: reads.behind(row, AHEAD))
            return [subject_of(later, codec.decode(Message, later.payload)) for later in behind]
        except (StoreError, TypeError, ValueError, KeyError, AttributeError):
            return []  # whoever can't be read is told of when its turn comes

    async def _not_delivered(self, row: OutboxRow, target: Target, error: DeliveryError) -> None:
        self._telemetry.notification(row.receiver, error.reason.value)
        log.warning(
            "notification.failed",
            key=row.key,
            receiver=row.receiver,
            target=row.target,
            scheme=target.scheme,
            reason=error.reason.value,
            permanent=error.permanent,
            attempt=row.attempts + 1,
            detail=str(error),
        )
        if error.permanent or self._clock.now() - row.created_at >= GIVE_UP:
            await self._park(row, str(error))
        else:
            await self._again(row, str(error), error.retry_after)

    async def _readdress(self, row: OutboxRow) -> None:
        """A reload removed the target: the receiver's present targets take over, else it is a dead letter."""
        targets = [target.id for target in self.receivers.targets(row.receiver)]
        if targets:
            await self._record(lambda tx: tx.readdress(row.id, targets))
            self._faults.over("dead_letter", row.target)  # its letters are in other hands now
            log.info("notification.readdressed", key=row.key, receiver=row.receiver, targets=len(targets))
        else:
            await self._park(row, "the receiver has no targets any more")

    async def _park(self, row: OutboxRow, why: str) -> None:
        await self._record(lambda tx: tx.park(row.id, self._clock.now(), why))
        what = f"a notification to receiver {row.receiver} (target {row.target or 'none'})"
        if row.effect is not Effect.NOTIFY:
            what = f"the effect {row.key}"
        self._faults.report("dead_letter", row.target or row.lane, f"{what} was given up: {why}")

    # --- cancels ---

    async def _cancel(self, row: OutboxRow) -> None:
        provider = self._provider_of(row.lane.split(":", 2)[1])
        if provider is None:
            await self._park(row, "its account is not configured any more")
            return
        try:
            later = await self._performer.perform(row, provider)
        except ProviderError as error:
            await self._again(row, f"the job can't be seen: {error.reason.value}", error.retry_after)
            return
        if later is None:
            await self._record(lambda tx: tx.finish(row.id, self._clock.now()))
        else:
            await self._record(lambda tx: tx.retry(row.id, later.at, later.reason))

    async def _again(self, row: OutboxRow, why: str, retry_after: float | None) -> None:
        at = self._wait_until(row, retry_after)
        await self._record(lambda tx: tx.retry(row.id, at, why))

    def _wait_until(self, row: OutboxRow, retry_after: float | None) -> datetime:
        return self._clock.now() + timedelta(seconds=backoff(row.attempts, self._rng, retry_after))
