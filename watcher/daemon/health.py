"""Whether the process makes progress, and whether it sees and delivers: what the probes and the service manager ask."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from watcher.service.errors import StoreError
from watcher.service.ports import Clock, Store
from watcher.service.records import Pulse

STUCK = 30.0
"""Seconds without a beat of the event loop or the writer thread after which the process counts as stuck."""
OLDEST_DUE = timedelta(minutes=5)
MISSED_INTERVALS = 3


@dataclass(slots=True)
class _Account:
    interval: timedelta
    since: datetime
    swept_at: datetime | None = None
    useful_at: datetime | None = None
    useful_tick: float | None = None
    """The same on the monotonic clock: how long it is ago must not depend on where the other one was stepped to."""
    reason: str = "no sweep yet"


@dataclass(slots=True)
class Health:
    """Collects signs of life. `beat` is called by the event loop, a useful sweep is one that saw the account."""

    clock: Clock
    store: Store
    _accounts: dict[str, _Account] = field(default_factory=dict)
    _loop_beat: float = 0.0
    _writer_beat: float = 0.0
    _store_error: str = ""
    _started_at: datetime | None = None

    def watch(self, account: str, interval: timedelta) -> None:
        """An account is swept from now on."""
        known = self._accounts.setdefault(account, _Account(interval, self.clock.now()))
        known.interval = interval
        self._started_at = self._started_at or self.clock.now()
        self._loop_beat = self._writer_beat = self.clock.monotonic()

    def forget(self, account: str) -> None:
        """An account is swept no more."""
        self._accounts.pop(account, None)

    def swept(self, account: str, reason: str | None, *, unsure: float = 0.0) -> None:
        """A sweep is over; `reason` is None when the account could be seen, up to so many seconds ago."""
        known = self._accounts.get(account)
        if known is None:
            return  # taken out of the configuration while it was swept
        known.swept_at = self.clock.now()
        if reason is None:
            known.useful_at = known.swept_at - timedelta(seconds=unsure)
            known.useful_tick, known.reason = self.clock.monotonic() - unsure, ""
        else:
            known.reason = reason

    def unseen(self) -> list[str]:
        """Accounts whose newest sweep did not see them, or that had none yet."""
        return [name for name, account in self._accounts.items() if account.reason]

    @property
    def swept_all_once(self) -> bool:
        """Whether every account had its first sweep, good or not."""
        return all(account.swept_at for account in self._accounts.values())

    @property
    def pulses(self) -> Mapping[str, Pulse]:
        """How the sweeps of each account go."""
        return {
            name: Pulse(
                interval=account.interval,
                swept_at=account.swept_at or account.since,
                useful_at=account.useful_at or account.since,
                reason=account.reason,
            )
            for name, account in self._accounts.items()
        }

    @property
    def writes(self) -> bool:
        """Whether the newest write to the store went well."""
        return not self._store_error

    def not_stored(self, error: str) -> None:
        """A sweep's work did not go to the store; the next beat tells whether that is over.

        A sweep that went well tells nothing: it may have had nothing to write.
        """
        self._store_error = error

    async def beat(self) -> None:
        """The event loop runs, and the writer thread answers, if only to say that it can't write."""
        self._loop_beat = self.clock.monotonic()
        try:
            await self.store.write(lambda tx: tx.set_meta("beat", self.clock.now().isoformat()))
        except StoreError as error:
            self._store_error = str(error)
        else:
            self._store_error = ""
        self._writer_beat = self.clock.monotonic()

    def alive(self) -> list[str]:
        """Why the process counts as stuck; empty when it makes progress. Nothing outside the process matters."""
        now = self.clock.monotonic()
        parts = (("event loop", self._loop_beat), ("writer thread", self._writer_beat))
        return [f"the {part} made no progress for {now - beat:.0f} s" for part, beat in parts if now - beat > STUCK]

    async def asked(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a command that asks over the control socket."""
        return {"alive": self.alive(), "ready": await self.ready()}

    async def ready(self) -> list[str]:
        """Why the watcher does not see, store or deliver; empty when it does."""
        reasons = self.alive()
        now, tick = self.clock.now(), self.clock.monotonic()
        for name, account in self._accounts.items():
            limit = max((MISSED_INTERVALS * account.interval).total_seconds(), 1.0)
            if account.useful_tick is None or tick - account.useful_tick > limit:
                why = account.reason or "sweeps are late"
                reasons.append(f"account {name}: no useful sweep within {limit:.0f} s ({why})")
        if self._store_error:
            reasons.append("the store does not write")
        try:
            counts = await self.store.read(lambda reads: reads.outbox_counts(now))
        except StoreError:
            reasons.append("the store does not read")
        else:
            if counts.oldest_due_at is not None and now - counts.oldest_due_at > OLDEST_DUE:
                age = (now - counts.oldest_due_at).total_seconds()
                reasons.append(f"the oldest notification waits for its delivery for {age:.0f} s")
        return reasons
