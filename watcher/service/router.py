"""From transitions to outbox rows: who is told what and when, decided and marked in one transaction."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from watcher.domain import codec
from watcher.domain.alerts import Alert, AlertState, Transition
from watcher.domain.compose import compose, compose_many, message_key
from watcher.domain.facts import JobFacts
from watcher.domain.groups import Decision, Group, Item, Member, Telling, add_news, flush, storm
from watcher.domain.messages import Message
from watcher.domain.muting import Muted, muted_by
from watcher.domain.routing import Route, Routing, group_key, is_told, labels, matching_routes
from watcher.service.people import held_until
from watcher.service.ports import Clock, Reads, Receivers, Store, Writes
from watcher.service.records import AlertQuery, Effect, NewEffect, StoredTransition

log = structlog.get_logger(__name__)

BATCH = 500
NOBODY = "nobody:"
"""Stands before a receiver's name as the target of what can be addressed to nobody."""
_ALL = 100_000


class Router:
    """Addresses what the sweeps decided. The configuration may be replaced between two runs."""

    def __init__(self, *, store: Store, clock: Clock, routing: Routing, receivers: Receivers) -> None:
        self._store, self._clock = store, clock
        self.routing, self.receivers = routing, receivers
        self.due_in: timedelta | None = None
        """How long after the last run the first of the groups that wait is due; None also when that run failed."""

    async def run(self, *, hurry: bool = False) -> int:
        """Route everything that waits and is due; returns how many effects were new.

        With `hurry` news do not wait for others to join them: for the last run of a process.

        Raises:
            StoreError: nothing was routed; it waits.
        """
        total, self.due_in = 0, None
        while True:
            now = self._clock.now()
            waits, due_at = await self._store.read(lambda reads, now=now: _waits(reads, now, hurry))  # type: ignore[misc]
            done = _Done(due_at=due_at)
            if waits:
                done = await self._store.write(lambda tx, now=now: _Run(self, tx, now, hurry=hurry).work())  # type: ignore[misc]
            total += done.made
            if done.taken < BATCH:
                self.due_in = None if done.due_at is None else done.due_at - self._clock.now()
                return total


@dataclass(frozen=True, slots=True, kw_only=True)
class _Done:
    """How many transitions were consumed, how many effects made, and when the first group is due now."""

    taken: int = 0
    made: int = 0
    due_at: datetime | None


def _waits(reads: Reads, now: datetime, hurry: bool) -> tuple[bool, datetime | None]:  # noqa: FBT001
    """Whether there is anything to do, and when the first group is due."""
    due_at = reads.first_flush()
    waits = (
        (due_at is not None and due_at <= now)
        or bool(reads.unconsumed(1))
        or (hurry and any(group.has_news for group in reads.groups()))
    )
    return waits, due_at


class _Run:
    """One transaction of the router."""

    def __init__(self, router: Router, tx: Writes, now: datetime, *, hurry: bool) -> None:
        self._hurry, self._hurried = hurry, set[str]()
        self._routing, self._receivers, self._tx, self._now = router.routing, router.receivers, tx, now
        self._stored: dict[int, StoredTransition] = {}
        self._groups: dict[str, Group] = {}
        self._silences = tx.silences(now)
        self._firing: dict[str, dict[str, str]] | None = None
        """Of alerts that can inhibit others."""
        self._decided: list[Decision] = []

    def work(self) -> _Done:
        waiting = self._tx.unconsumed(BATCH)
        for stored in waiting:
            self._stored[stored.id] = stored
            self._address(stored)
        self._tx.consume([stored.id for stored in waiting], self._now)
        due = self._tx.groups_due(self._now)
        if self._hurry:
            due += [group for group in self._tx.groups() if group.has_news]
        for group in due:
            self._groups.setdefault(group.key, group)
        self._hurried = self._stormy()
        made = self._send(self._flush())
        return _Done(taken=len(waiting), made=made, due_at=self._tx.first_flush())

    def _stormy(self) -> set[str]:
        """Receivers with more news at once than they get messages: what waits for them joins the one message.

        At once is what is due, and what is first told within a `group_wait`: the failures of one sweep come one by one.
        """
        due = {g.receiver for g in self._groups.values() if g.has_news and self._is_due(g)}
        if not due:
            return due
        soon = self._now + max(route.timing.group_wait for route in self._routing.routes)
        near = {group.key: group for group in self._tx.groups_due(soon)} | self._groups
        count = Counter(g.receiver for g in near.values() if g.has_news and (g.told_at is None or self._is_due(g)))
        stormy = {receiver for receiver in due if count[receiver] > self._routing.storm}
        if stormy:
            for group in self._tx.groups():
                if group.receiver in stormy and group.has_news:
                    self._groups.setdefault(group.key, group)
        return stormy

    def _is_due(self, group: Group) -> bool:
        return group.flush_at is not None and group.flush_at <= self._now

    def _address(self, stored: StoredTransition) -> None:
        """Put a transition into the group of each receiver that is to be told of it."""
        transition, alert = stored.transition, stored.transition.alert
        seen = labels(alert, _facts(stored))
        told = set[str]()
        for place in matching_routes(self._routing, seen):
            route = self._routing.routes[place]
            if not is_told(transition, route):
                self._let_go(stored, seen, route)
                continue
            for receiver in route.receivers:
                if receiver in told:
                    continue
                told.add(receiver)
                group = self._group(group_key(receiver, route, seen), receiver, route)
                member = Member(alert_id=alert.id, labels=seen, notice=alert.notice)
                add_news(
                    group,
                    route.timing,
                    member=member,
                    transition_id=stored.id,
                    reason=transition.reason,
                    now=self._now,
                )

    def _let_go(self, stored: StoredTransition, seen: dict[str, str], route: Route) -> None:
        """An end that is not told: the alert is not repeated any more all the same."""
        for receiver in route.receivers:
            group = self._known(group_key(receiver, route, seen))
            member = group.members.get(stored.transition.alert.id) if group else None
            if member is not None and stored.transition.alert.ends_at is not None:
                member.firing = False

    def _known(self, key: str) -> Group | None:
        if key not in self._groups:
            found = self._tx.group(key)
            if found is None:
                return None
            self._groups[key] = found
        return self._groups[key]

    def _group(self, key: str, receiver: str, route: Route) -> Group:
        known = self._known(key)
        if known is None:
            known = self._groups[key] = Group(key=key, receiver=receiver, route=route.id)
        return known

    def _flush(self) -> list[Telling]:
        tellings, decisions = list[Telling](), list[Decision]()
        for group in self._groups.values():
            route = self._routing.route(group.route)
            hurried = self._hurry or group.receiver in self._hurried
            if self._is_due(group) or (hurried and group.has_news):
                self._let_go_unseen(group)
                result = flush(
                    group,
                    route.timing,
                    now=self._now,
                    muted=lambda member, route=route: self._muted(member, route),  # type: ignore[misc]
                    acknowledged=lambda alert_id: held_until(self._tx, alert_id, self._now),
                    escalate_to=route.escalate_to,
                )
                tellings += result.tellings
                decisions += result.decisions
            if group.members:
                self._tx.save_group(group)
            else:
                self._tx.drop_group(group.key)
        self._decided = decisions
        return storm(tellings, self._routing.storm)

    def _let_go_unseen(self, group: Group) -> None:
        """An end goes where the labels of today lead: after a reload or another label, that may be another group."""
        for member in group.members.values():
            if member.firing and not member.news and not member.notice:
                alert = self._tx.alert(member.alert_id)
                member.firing = alert is not None and alert.state is AlertState.FIRING

    def _muted(self, member: Member, route: Route) -> Muted | None:
        if self._firing is None:
            firing = self._tx.alerts(AlertQuery(firing_only=True, limit=_ALL))
            seen_of = {alert.id: labels(alert, self._newest_facts(alert)) for alert in firing}
            causes = [inhibition.can_be_caused_by for inhibition in self._routing.inhibitions]
            self._firing = {key: seen for key, seen in seen_of.items() if any(cause(seen) for cause in causes)}
        return muted_by(
            member.labels,
            silences=self._silences,
            inhibitions=self._routing.inhibitions,
            firing=(seen for alert_id, seen in self._firing.items() if alert_id != member.alert_id),
            mute_times=route.mute_times,
            now=self._now,
        )

    def _newest_facts(self, alert: Alert) -> JobFacts | None:
        """Read only where an inhibition asks for more of the job than its id."""
        if not self._routing.inhibits_by_facts:
            return None
        history = self._tx.transitions(alert.id)
        return _facts(history[-1]) if history else None

    # --- outbox rows ---

    def _send(self, tellings: Sequence[Telling]) -> int:
        effects, keys = list[NewEffect](), dict[tuple[str, str, str], list[str]]()
        for telling in tellings:
            targets = self._targets(telling)
            told = [t for t in (self._told(item) for item in telling.items) if t is not None]
            for target in targets if told else ():
                key = message_key(telling.group, self._now.isoformat(), telling.items, target)
                for _, alert_id, reason in telling.items:
                    keys.setdefault((alert_id, telling.receiver, f"told: {reason}"), []).append(key)
                effects.append(
                    NewEffect(
                        key=key,
                        effect=Effect.NOTIFY,
                        lane=target,
                        receiver=telling.receiver,
                        target=target,
                        payload=codec.encode(self._message(told, key, clear=telling.clear)),
                        next_at=self._now,
                    )
                )
        self._tx.add_decisions(
            [(d, key) for d in self._decided for key in keys.get((d.alert_id, d.receiver, d.what), [""])]
        )
        return self._tx.enqueue(effects, self._now)

    def _targets(self, telling: Telling) -> list[str]:
        """Where the telling goes: a receiver that a reload took away is replaced by that of the last route.

        Where nobody is left at all it still becomes a row, which ends among the dead letters: kept, shown, and told.
        """
        found = self._receivers.targets(telling.receiver)
        if not found:
            log.error("route.receiver_gone", receiver=telling.receiver)
            last = self._routing.routes[-1].receivers
            found = [target for name in last for target in self._receivers.targets(name)]
        return [target.id for target in found] or [f"{NOBODY}{telling.receiver}"]

    def _message(self, told: Sequence[tuple[Transition, JobFacts | None]], key: str, *, clear: bool) -> Message:
        if len(told) == 1:
            return compose(*told[0], key)
        return compose_many(told, key, self._now, clear=clear)

    def _told(self, item: Item) -> tuple[Transition, JobFacts | None] | None:
        """The transition that an item tells of, or the newest of its alert for a reminder."""
        number, alert_id, reason = item
        stored = self._stored.get(number) if number is not None else None
        if stored is None:
            history = self._tx.transitions(alert_id)
            stored = next((s for s in history if s.id == number), history[-1] if history else None)
        if stored is None:
            return None
        if number is None:
            alert = self._tx.alert(alert_id) or stored.transition.alert
            return Transition(alert=alert, reason=reason, at=self._now), _facts(stored)
        return stored.transition, _facts(stored)


def _facts(stored: StoredTransition) -> JobFacts | None:
    """The job as it was then; where that can't be read, the alert is told without it and holds up no other."""
    if stored.facts is None:
        return None
    try:
        return codec.decode(JobFacts, stored.facts)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        log.error("route.facts_unreadable", transition=stored.id, reason=type(error).__name__)
        return None
