"""From transitions to outbox rows: who is told what, decided and marked in one transaction."""

from datetime import datetime

import structlog

from watcher.domain import codec
from watcher.domain.compose import compose, message_key
from watcher.domain.facts import JobFacts
from watcher.domain.routing import Routing, receivers
from watcher.service.ports import Clock, Receivers, Store, Writes
from watcher.service.records import Effect, NewEffect, StoredTransition

log = structlog.get_logger(__name__)

BATCH = 500


class Router:
    """Addresses what the sweeps decided. The configuration may be replaced between two runs."""

    def __init__(self, *, store: Store, clock: Clock, routing: Routing, receivers: Receivers) -> None:
        self._store, self._clock = store, clock
        self.routing, self.receivers = routing, receivers

    async def run(self) -> int:
        """Route everything that waits; returns how many effects were new.

        Raises:
            StoreError: nothing was routed; it waits.
        """
        total = 0
        while True:
            now = self._clock.now()
            taken, effects = await self._store.write(lambda tx, now=now: self._route_some(tx, now))  # type: ignore[misc]
            total += effects
            if taken < BATCH:
                return total

    def _route_some(self, tx: Writes, now: datetime) -> tuple[int, int]:
        waiting = tx.unconsumed(BATCH)
        effects = [effect for stored in waiting for effect in self._effects(stored, now)]
        count = tx.enqueue(effects, now)
        tx.consume([stored.id for stored in waiting], now)
        return len(waiting), count

    def _effects(self, stored: StoredTransition, now: datetime) -> list[NewEffect]:
        facts = codec.decode(JobFacts, stored.facts) if stored.facts is not None else None
        made = []
        for receiver in receivers(self.routing, stored.transition, facts):
            targets = self.receivers.targets(receiver)
            if not targets:
                log.error("route.receiver_empty", receiver=receiver, alert=stored.transition.alert.id)
            for target in targets:
                key = message_key(stored.id, stored.transition, target.id)
                made.append(
                    NewEffect(
                        key=key,
                        effect=Effect.NOTIFY,
                        lane=target.id,
                        receiver=receiver,
                        target=target.id,
                        payload=codec.encode(compose(stored.transition, facts, key)),
                        next_at=now,
                    )
                )
        return made
