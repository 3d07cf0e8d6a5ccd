"""A drill: one marked message through the whole real path, from a stored transition to the receivers' services.

Its alert is over before it is told, so it never counts as one that fires. A target that refuses it for good is a dead
letter as any other, and told as one: the drill has found what it looks for.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from watcher.domain.alerts import WATCHER, Alert, Transition, TransitionReason, fire, resolve
from watcher.domain.groups import Timing
from watcher.domain.matching import Matcher
from watcher.domain.routing import Route, Routing
from watcher.domain.verdicts import Finding, Severity
from watcher.service.consent import Person
from watcher.service.errors import ConfigError
from watcher.service.ports import Clock, Receivers, Store, Target, Writes
from watcher.service.records import Act, JobKey, OutboxRow, OutboxState

RULE = "drill"
_SOON = 0.05
_NEWEST = 2000
_AT_ONCE = Timing(group_wait=timedelta(0), group_interval=timedelta(0), repeat_interval=None)
_WHAT = "This is a drill: somebody tests whether messages arrive. Nothing is wrong, and nothing needs to be done."
_LATE = "a drill is not sent later"


def with_drills(routing: Routing, receivers: Sequence[str]) -> Routing:
    """The same routing, with drills sent where they are meant to go, whatever the routes of alerts say."""
    every = (_kind(None), tuple(receivers))
    ways = [every, *((_kind(name), (name,)) for name in receivers)]
    return replace(routing, routes=(*(_route(kind, names) for kind, names in ways), *routing.routes))


def _route(kind: str, receivers: tuple[str, ...]) -> Route:
    only = {"rule": RULE, "account": "", "kind": kind}
    return Route(
        receivers=receivers,
        matchers=tuple(Matcher(label, (glob,)) for label, glob in only.items()),
        group_by=("rule", "kind"),
        timing=_AT_ONCE,
    )


def _kind(receiver: str | None) -> str:
    return f"receiver:{receiver}" if receiver else RULE


@dataclass(slots=True)
class Drill:
    """Holds drills, one at a time. `push` lets the router and the dispatcher do what is due."""

    store: Store
    clock: Clock
    receivers: Callable[[], Receivers]
    push: Callable[[], Awaitable[object]]

    async def run(self, receiver: str | None, patience: float, person: Person) -> dict[str, Any]:
        """Tell all receivers, or one of them, and say for each target what came of it within `patience` seconds.

        Who asked is in the audit before anything is sent.

        Raises:
            ConfigError: there is no such receiver.
            StoreError: the drill could not be stored.
        """
        targets = _targets(self.receivers(), receiver)
        begun, deadline = self.clock.now(), self.clock.monotonic() + patience
        alert = await self.store.write(lambda tx: _announce(tx, _kind(receiver), begun, person))
        rows = dict[tuple[str, str], OutboxRow]()
        while self.clock.monotonic() < deadline:
            await self.push()
            await self.clock.sleep(_SOON)
            rows = await self._rows(alert)
            if all((t.receiver, t.id) in rows and _settled(rows[t.receiver, t.id]) for t in targets):
                break
        now = self.clock.now()
        await self.store.write(lambda tx: _conclude(tx, alert, list(rows.values()), now))
        results = [_result(target, rows.get((target.receiver, target.id)), begun, now) for target in targets]
        return {"passed": all(result["ok"] for result in results), "alert": alert.id, "targets": results}

    async def _rows(self, alert: Alert) -> dict[tuple[str, str], OutboxRow]:
        newest = await self.store.read(lambda reads: reads.outbox(limit=_NEWEST))
        ours = [row for row in newest if isinstance(row.payload, dict) and row.payload.get("alert_id") == alert.id]
        return {(row.receiver, row.target): row for row in ours}


def _targets(receivers: Receivers, name: str | None) -> list[Target]:
    names = receivers.names()
    if name is not None and name not in names:
        raise ConfigError(f"receiver {name!r} is not defined; expected one of: {', '.join(sorted(names))}")
    return [target for known in names if name in (None, known) for target in receivers.targets(known)]


def _announce(tx: Writes, kind: str, now: datetime, person: Person) -> Alert:
    """The alert, kept as over, and its transition, as that of any alert that fires."""
    finding = Finding(kind=kind, severity=Severity.INFO, reason=_WHAT, evidence=(), notice=True)
    before = next((a for a in tx.latest_alerts(WATCHER) if (a.rule, a.kind) == (RULE, kind)), None)
    alert = fire(before, finding, subject=WATCHER, rule=RULE, now=now)
    tx.save_alert(resolve(alert, now))
    tx.add_transition(Transition(alert=alert, reason=TransitionReason.FIRST, at=now, note="Drill: no action needed."))
    tx.add_audit(person.audit(Act.DRILL, JobKey("", ""), now, outcome=f"alert {alert.id}, {kind}"))
    return alert


def _conclude(tx: Writes, alert: Alert, rows: list[OutboxRow], now: datetime) -> None:
    """Nothing of a drill is sent later, and nothing of it is repeated."""
    for row in rows:
        if row.state is OutboxState.DUE:
            tx.park(row.id, now, f"{_LATE}; {row.error}" if row.error else _LATE)
    tx.add_transition(Transition(alert=resolve(alert, now), reason=TransitionReason.ENDED, at=now))


def _settled(row: OutboxRow) -> bool:
    """Whether it is known if the target takes messages now: the first failure is an answer too."""
    return row.state in (OutboxState.DONE, OutboxState.DEAD) or (row.state is OutboxState.DUE and row.attempts > 0)


def _result(target: Target, row: OutboxRow | None, begun: datetime, now: datetime) -> dict[str, Any]:
    ended = row.done_at if row is not None and row.done_at is not None else now
    ok = row is not None and row.state is OutboxState.DONE
    return {
        "receiver": target.receiver,
        "scheme": target.scheme,
        "target": target.id,
        "ok": ok,
        "reason": "" if ok else _why(row),
        "seconds": round((ended - begun).total_seconds(), 3),
    }


def _why(row: OutboxRow | None) -> str:
    if row is None:
        return "no message was made in time: is it silenced, or has another receiver the same address?"
    if row.error:
        return row.error
    return "not answered in time" if row.state is OutboxState.CLAIMED else "waits behind earlier messages"
