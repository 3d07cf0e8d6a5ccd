"""Folds over what is not a job: an account, and the watcher itself with its faults."""

import asyncio
import traceback
from collections.abc import Iterable, Sequence
from datetime import datetime

import structlog

from watcher.domain.alerts import WATCHER, AlertState, Subject, Transition
from watcher.domain.cells import Crash
from watcher.domain.engine import Fold
from watcher.domain.observations import Fault, Observation
from watcher.domain.phrasing import slug
from watcher.domain.rule import Rule
from watcher.service.errors import StoreError
from watcher.service.ports import Clock, Store, Telemetry, Writes
from watcher.service.records import StateRecord

log = structlog.get_logger(__name__)

_OF_A_PROCESS = frozenset({"rule_crash", "job", "store", "reload", "clock", "cancel_rate"})
"""Kinds of faults that end with the process that saw them: if they are still true, they are seen again."""


class SubjectBook:
    """The fold of one account or of the watcher; its observations are not kept, only the states of its rules."""

    def __init__(self, subject: Subject, rules: Sequence[Rule], store: Store) -> None:
        self.subject, self._rules, self._store = subject, rules, store
        self._fold: Fold | None = None

    async def take(self, observations: Iterable[Observation], now: datetime) -> list[Transition]:
        """Fold and judge, and commit when an alert changed.

        Raises:
            StoreError: nothing was committed; what was observed is forgotten and comes again.
        """
        fold = await self._load(now)
        told = fold.observe_all(list(observations), now)
        if told:
            try:
                await self._store.write(lambda tx: self._write(tx, fold, told))
            except BaseException:
                self._fold = None
                raise
        return told

    async def _load(self, now: datetime) -> Fold:
        if self._fold is not None:
            return self._fold
        fold = Fold.of(self.subject, self._rules)
        states, alerts = await self._store.read(
            lambda reads: (reads.states(self.subject), reads.latest_alerts(self.subject)),
        )
        orphaned = fold.adopt(alerts, now)
        stale = fold.load((s.rule, s.fingerprint, s.state) for s in states)
        fold.rebuild(stale, ())  # there is no history to fold: such a rule starts anew
        if orphaned:
            await self._store.write(lambda tx: self._write(tx, fold, orphaned))
        self._fold = fold
        return fold

    def _write(self, tx: Writes, fold: Fold, told: Sequence[Transition]) -> None:
        tx.save_states(self.subject, [StateRecord(rule=r, fingerprint=f, state=s) for r, f, s in fold.dump()])
        for transition in told:
            tx.save_alert(transition.alert)
            tx.add_transition(transition)


class Faults:
    """What is wrong with the watcher itself: told by an alert of its own, and kept until the store takes it."""

    def __init__(self, rules: Sequence[Rule], store: Store, clock: Clock, telemetry: Telemetry) -> None:
        self._rules = tuple(rules)
        self._book = SubjectBook(WATCHER, rules, store)
        self._store, self._clock, self._telemetry = store, clock, telemetry
        self._waiting = list[Fault]()
        self._open: set[str] = set()
        self._flushing = asyncio.Lock()

    def adopt(self, rules: Sequence[Rule]) -> None:
        """Judge by other rules from now on; their states are read again from the store."""
        if tuple(rules) != self._rules:
            self._rules = tuple(rules)
            self._book = SubjectBook(WATCHER, rules, self._store)

    async def begin(self) -> None:
        """A new process: faults of the one before are over, except what is still true (a dead letter stays dead).

        Raises:
            StoreError: the alerts could not be read.
        """
        for kind, key in await self.recall():
            if kind in _OF_A_PROCESS:
                self.over(kind, key)

    async def recall(self) -> list[tuple[str, str]]:
        """Know the faults that the process before has told of, so that what ends now ends them: (kind, key) of each.

        Raises:
            StoreError: the alerts could not be read.
        """
        alerts = await self._store.read(lambda reads: reads.latest_alerts(WATCHER))
        firing = [alert.kind.partition(":") for alert in alerts if alert.state is AlertState.FIRING]
        self._open |= {_name(kind, key) for kind, _, key in firing}
        return [(kind, key) for kind, _, key in firing]

    def report(self, kind: str, key: str, detail: str) -> None:
        """A fault began, or goes on. `detail` holds no secret and no text of the API."""
        self._telemetry.fault(kind)
        log.error("watcher.fault_seen", kind=kind, key=key, detail=detail)
        if _name(kind, key) not in self._open:
            self._open.add(_name(kind, key))
            self._waiting.append(Fault(at=self._clock.now(), kind=kind, key=key, detail=detail))

    def over(self, kind: str, key: str) -> None:
        """A fault has ended; nothing happens when it was not open."""
        if self._open and _name(kind, key) in self._open:
            self._open.discard(_name(kind, key))
            self._waiting.append(Fault(at=self._clock.now(), kind=kind, key=key, detail="", over=True))

    def crashed(self, crash: Crash) -> None:
        """A rule raised: the traceback goes to the log, the alert names the rule and the kind of error."""
        text = "".join(traceback.format_exception(crash.error))
        log.error("rule.crashed", rule=crash.rule, subject=crash.subject.name, traceback=text)
        where = f"on {crash.subject.name}: {type(crash.error).__name__}; that rule is blind there until a restart"
        self.report("rule_crash", crash.rule, f"rule {crash.rule} failed {where}")

    async def flush(self) -> None:
        """Hand what was reported to the alerts. What the store does not take waits for the next time."""
        async with self._flushing:  # sweeps and the delivery pump call it at the same time
            taken = list(self._waiting)
            if not taken:
                return
            try:
                told = await self._book.take(taken, self._clock.now())
            except StoreError as error:
                log.error("watcher.fault_not_stored", reason=str(error), waiting=len(taken))
                return
            del self._waiting[: len(taken)]
            for transition in told:
                self._telemetry.alert(transition.alert.rule, transition.reason.value)


def _name(kind: str, key: str) -> str:
    """What tells faults apart, as the kinds of their alerts do."""
    return slug(f"{kind}:{key}" if key else kind)
