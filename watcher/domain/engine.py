"""The fold over one subject: every observation goes through every rule that sees it, and verdicts step the alerts.

The daemon and `watcher replay` both run this, row by row, so the size of batches, restarts and repetitions change
nothing. The caller owns order and persistence (see `feed.py`), and is told of each rule that crashed.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from watcher.domain.alerts import (
    Alert,
    AlertState,
    Subject,
    Transition,
    TransitionReason,
    continued,
    fire,
    resolve,
)
from watcher.domain.cells import CRASHED, NOT_JUDGED, REBUILDING, Cell, Crash, Plan, plan_of
from watcher.domain.life import AT_ONCE, Life, Waiting
from watcher.domain.observations import EvalRow, Observation, TrainRow, steps_after
from watcher.domain.rule import Rule
from watcher.domain.verdicts import Breach, Finding, Unknown, Verdict, findings_of

ENDED = TransitionReason.ENDED
_ROWS = (TrainRow, EvalRow)
IN_PART = "some rows could not be made out"

AlertKey = tuple[str, str]
"""(rule, kind)."""


@dataclass(slots=True)
class Fold:
    """All rules on one subject, and the newest episode of each alert.

    `confirmations` counts, for each alert, the sweeps with fresh data in which its finding held: the cancel policy asks
    for two. It is not kept over a restart, which costs one sweep and can never cancel too early.
    """

    subject: Subject
    cells: list[Cell]
    alerts: dict[AlertKey, Alert] = field(default_factory=dict)
    last_step: int | None = None
    confirmations: dict[AlertKey, int] = field(default_factory=dict)
    crashes: list[Crash] = field(default_factory=list)
    lives: Mapping[str, Life] = field(default_factory=dict)
    """By rule, where its alerts do not fire and end at once."""
    tick: Callable[[], float] = lambda: 0.0
    """Seconds that never go back, for whoever wants to know what each rule costs."""
    spent: dict[str, float] = field(default_factory=dict)
    """Seconds by rule, by `tick`, since somebody took them out."""
    crippled: bool = False
    """Whether a rule crashed: it is blind until a restart."""
    in_part: bool = False
    """Whether rows that were there could not be made out: what rules do not find in the others ends no alert."""
    _held: dict[AlertKey, int] = field(default_factory=dict)
    _pending: dict[AlertKey, Waiting] = field(default_factory=dict)
    _leaving: dict[AlertKey, datetime] = field(default_factory=dict)
    """Since when the finding of a firing alert is gone."""
    _doubted: set[AlertKey] = field(default_factory=set)
    """Alerts whose finding is not seen in a part of the rows: whether it is gone can't be told."""
    _plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self._plan = plan_of(self.cells)

    @classmethod
    def of(cls, subject: Subject, rules: Sequence[Rule], lives: Mapping[str, Life] | None = None) -> "Fold":
        """A fold that has observed nothing."""
        return cls(subject, [Cell.of(rule) for rule in rules], lives=lives or {})

    # --- observing ---

    def observe(self, observation: Observation, now: datetime) -> list[Transition]:
        """One observation through every rule that sees it, each judged after it."""
        return self.observe_all([observation], now)

    def observe_all(self, observations: Sequence[Observation], now: datetime) -> list[Transition]:
        """As if they were observed one by one; what is told has their order.

        They go through one rule after the other, since rules know nothing of each other: where they took turns at each
        row, calling and timing them took nearly as long as their work.

        Rules that watch time are judged when a sweep's observations are all in, by `judge_all`: in the middle of a
        backlog the newest row they know of would look old.
        """
        steps, known = steps_after(self.last_step, observations), len(self.alerts)
        told: list[tuple[int, Transition]] = []
        for cell, numbers, seen in self._dealt(observations):
            if cell.rule.timed:
                self._fold(cell, seen)
                continue
            rest = zip(numbers, seen, strict=True)
            while (turn := self._until_turn(cell, rest, now)) is not None:
                number, verdict = turn
                self.last_step = steps[number]
                rows = int(isinstance(observations[number], _ROWS))
                told += [(number, transition) for transition in self._turn(cell, verdict, now, rows=rows)]
        self.last_step = steps[-1] if steps else self.last_step
        return self._in_order(told, known) if told else []

    def observe_silently(self, observations: Iterable[Observation]) -> None:
        """History: states change, nothing is judged and no alert changes. Follow it with `judge_all`."""
        observations = list(observations)
        for cell, _, seen in self._dealt(observations):
            self._fold(cell, seen)
        self.last_step = next(reversed(steps_after(self.last_step, observations)), self.last_step)

    def judge_all(self, now: datetime, *, timed: bool = True) -> list[Transition]:
        """Every verdict as of now, after history was folded; without `timed`, all but those that watch time."""
        return self._judge_cells([cell for cell in self.cells if timed or not cell.rule.timed], now)

    def judge_timed(self, now: datetime) -> list[Transition]:
        """The verdicts that time alone can change, at the end of a sweep; alerts that wait have seen one sweep more."""
        for key, waiting in self._pending.items():
            waiting.sweeps += key not in self._doubted
        begun = set(self._pending)
        unsettled = {rule for rule, _ in (*self._pending, *self._leaving, *self._doubted)}
        more = [cell for cell in self.cells if cell.rule.timed or cell.rule.name in unsettled] if unsettled else None
        told = self._judge_cells(more or self._cells(self._plan.timed), now)
        for key in self._pending.keys() - begun:  # found by a rule that is judged only now: this is its first sweep
            self._pending[key].sweeps += 1
        return told

    def restart(self, step: int, kept: Iterable[Observation]) -> None:
        """A new attempt from `step`, or a late row: rules fold again over what is kept; alerts that fired stay.

        A firing alert is then held until the new attempt has passed the step at which it fired: before that its rule
        can't have seen what made it fire.
        """
        for key, alert in self.alerts.items():
            if self._is_firing(key) and alert.step is not None and alert.step >= step and self._is_of_rows(alert.rule):
                self._held[key] = max(alert.step, self._held.get(key, alert.step))
        self.last_step = None
        for cell in self.cells:
            if cell.usable:
                cell.start_anew()
        self.observe_silently(kept)

    def rebuild(self, rules: set[str], history: Iterable[Observation]) -> None:
        """Fold the named rules anew over the whole history; they are judged with the next observation or sweep."""
        cells = [cell for cell in self.cells if cell.rule.name in rules]
        for cell in cells:
            cell.start_anew()
        history = list(history)
        for cell in self._timed(cells):
            if cell.usable:
                self._fold(cell, [o for o in history if isinstance(o, cell.rule.sees)])
        for cell in cells:
            for key in [k for k in self.confirmations if k[0] == cell.rule.name]:
                del self.confirmations[key]

    def confirm(self) -> None:
        """A sweep with fresh data is over: count it for every finding that holds, start again for those that do not."""
        breaches = [(cell.rule.name, cell.verdict) for cell in self.cells if isinstance(cell.verdict, Breach)]
        holding = [(rule, finding.kind) for rule, breach in breaches for finding in breach.findings]
        self.confirmations = {key: self.confirmations.get(key, 0) + 1 for key in holding}

    # --- asking ---

    def finding(self, key: AlertKey) -> Finding | None:
        """What the rule finds now, or None when it is clear or unknown."""
        rule, kind = key
        for cell in self.cells:
            if cell.rule.name == rule:
                return next((f for f in findings_of(cell.verdict) if f.kind == kind), None)
        return None

    def unknown(self, rule: str) -> bool:
        """Whether the rule can't tell at the moment."""
        unknown = any(cell.rule.name == rule and isinstance(cell.verdict, Unknown) for cell in self.cells)
        return unknown or rule in {name for name, _ in self._doubted}

    def doubt(self, rule: str) -> str:
        """Why the rule can't tell; empty when it can, or has only not judged yet since the start."""
        verdicts = [c.verdict for c in self.cells if c.rule.name == rule and c.verdict is not NOT_JUDGED]
        why = [verdict.reason for verdict in verdicts if isinstance(verdict, Unknown)]
        return next(iter(why), IN_PART if rule in {name for name, _ in self._doubted} else "")

    def firing(self) -> list[Alert]:
        """Alerts that are firing, oldest first."""
        return sorted([a for a in self.alerts.values() if a.state is AlertState.FIRING], key=lambda a: a.starts_at)

    def close(self, now: datetime, note: str) -> list[Transition]:
        """The subject is not watched any more: every firing alert is over."""
        over = [key for key, alert in self.alerts.items() if alert.state is not AlertState.RESOLVED]
        return [self._end(key, now, ENDED, note) for key in over]

    def retire(self, now: datetime, note: str) -> list[Transition]:
        """No row will come that says anything: rules that follow rows are asked no more, and their alerts are over."""
        over = [k for k, a in self.alerts.items() if a.state is not AlertState.RESOLVED and self._is_of_rows(k[0])]
        told = [self._end(key, now, ENDED, note) for key in over]
        self.cells = [c for c in self.cells if not self._is_of_rows(c.rule.name)]
        self._plan = plan_of(self.cells)
        return told

    def adopt(self, alerts: Iterable[Alert], now: datetime) -> list[Transition]:
        """Take over stored alerts. One whose rule is not configured any more is over."""
        names = {cell.rule.name for cell in self.cells}
        told = []
        for alert in alerts:
            self.alerts[alert.rule, alert.kind] = alert
            if alert.state is AlertState.PENDING:
                self._pending[alert.rule, alert.kind] = Waiting(alert.starts_at)
            if alert.rule not in names and alert.state is not AlertState.RESOLVED:
                told.append(
                    self._end((alert.rule, alert.kind), now, ENDED, "the rule was taken out of the configuration")
                )
        return told

    # --- state ---

    def held(self) -> list[tuple[str, str, int]]:
        """(rule, kind, step) of the alerts that another attempt has not passed yet."""
        return [(rule, kind, step) for (rule, kind), step in self._held.items()]

    def hold(self, alerts: Iterable[tuple[str, str, int]]) -> None:
        """Take over what `held` gave."""
        self._held = {(rule, kind): step for rule, kind, step in alerts if self._is_firing((rule, kind))}

    def dump(self) -> list[tuple[str, str, Any]]:
        """(rule, fingerprint, state) of each rule whose state can be trusted; the state goes on changing."""
        return [(c.rule.name, c.fingerprint, c.state) for c in self.cells if c.usable]

    def load(self, states: Iterable[tuple[str, str, Any]]) -> set[str]:
        """Take over stored states, as JSON values.

        Returns the rules that must be rebuilt from history, whose verdict is unknown.
        """
        stored = {(rule, mark): state for rule, mark, state in states}
        stale = set()
        for cell in self.cells:
            state = stored.get((cell.rule.name, cell.fingerprint))
            if state is None or not cell.load(state):
                cell.verdict = REBUILDING
                stale.add(cell.rule.name)
        return stale

    # --- inside ---

    def _in_order(self, told: list[tuple[int, Transition]], known: int) -> list[Transition]:
        """What rules told one after the other, and the alerts beyond so many, as if they had taken turns."""
        told.sort(key=itemgetter(0))
        new = list(self.alerts)[known:]
        for key in dict.fromkeys((transition.alert.rule, transition.alert.kind) for _, transition in told):
            if key in new:
                self.alerts[key] = self.alerts.pop(key)
        return [transition for _, transition in told]

    def _dealt(
        self, observations: Sequence[Observation]
    ) -> Iterator[tuple[Cell, Sequence[int], Sequence[Observation]]]:
        """Each rule that is in order, with what it sees and its numbers; what is done with them is put down to it."""
        kinds = frozenset(map(type, observations))
        everything = range(len(observations))
        for cell in self._timed(self._cells(self._plan.seeing(kinds))):
            if cell.usable and len(kinds) == 1:
                yield cell, everything, observations
            elif cell.usable:
                numbers = [n for n in everything if isinstance(observations[n], cell.rule.sees)]
                yield cell, numbers, [observations[n] for n in numbers]

    def _cells(self, places: tuple[int, ...]) -> list[Cell]:
        cells = self.cells
        return [cells[place] for place in places]

    def _fold(self, cell: Cell, observations: Iterable[Observation]) -> None:
        try:
            cell.fold(observations)
        except Exception as error:  # noqa: BLE001 - a rule that raises blinds itself on this subject, nothing else
            self._crashed(cell, error)

    def _until_turn(
        self, cell: Cell, rest: Iterator[tuple[int, Observation]], now: datetime
    ) -> tuple[int, Verdict] | None:
        try:
            return cell.until_turn(rest, now, waiting=self._waiting)
        except Exception as error:  # noqa: BLE001 - as above
            self._crashed(cell, error)
            return None

    @property
    def _waiting(self) -> bool:
        """Whether an alert's life depends on a verdict that stays what it is."""
        return bool(self._held or self._pending or self._leaving or self._doubted)

    def _judge_cells(self, cells: Iterable[Cell], now: datetime) -> list[Transition]:
        told: list[Transition] = []
        for cell in self._timed(cells):
            if not cell.usable:
                continue
            try:
                verdict = cell.judge(now)
            except Exception as error:  # noqa: BLE001 - as above
                self._crashed(cell, error)
                continue
            if verdict is not cell.verdict or self._waiting:
                told += self._turn(cell, verdict, now)
        return told

    def _timed(self, cells: Iterable[Cell]) -> Iterator[Cell]:
        """Each in turn; what is done with it is put down to its rule."""
        tick, spent = self.tick, self.spent
        begun = tick()
        for cell in cells:
            yield cell
            now, name = tick(), cell.rule.name
            spent[name] = spent.get(name, 0.0) + now - begun
            begun = now

    def _is_of_rows(self, rule: str) -> bool:
        """Whether a rule follows the rows: what watches time, status or events has nothing to wait for in them."""
        return any(c.rule.name == rule and TrainRow in c.rule.sees and not c.rule.timed for c in self.cells)

    def _turn(self, cell: Cell, verdict: Verdict, now: datetime, *, rows: int = 0) -> list[Transition]:
        """What follows from a verdict for the rule's alerts."""
        cell.verdict, rule = verdict, cell.rule.name
        if isinstance(verdict, Unknown):
            return []
        told: list[Transition] = []
        findings = {f.kind: f for f in findings_of(verdict)}
        for kind, finding in findings.items():
            self._held.pop((rule, kind), None)
            self._leaving.pop((rule, kind), None)
            self._doubted.discard((rule, kind))
            if not self._is_firing((rule, kind)):
                told += self._begin(rule, finding, now, rows)
        gone = [k for k, a in self.alerts.items() if k[0] == rule and k[1] not in findings and a.ends_at is None]
        for key in gone:
            told += self._leave(key, now)
        return told

    def _begin(self, rule: str, finding: Finding, now: datetime, rows: int) -> list[Transition]:
        """Fire, fire again, or wait until the finding has held for long enough."""
        key, life = (rule, finding.kind), self.lives.get(rule, AT_ONCE)
        if self.in_part and self._is_of_rows(rule):
            finding = replace(finding, evidence=(*finding.evidence, ("judged on a part", IN_PART)))
        known, waiting = self.alerts.get(key), self._pending.get(key)
        if waiting is None and known is not None and known.ends_at is not None and now - known.ends_at < life.grace:
            alert = continued(known, finding)
            return [self._set(key, alert, TransitionReason.AGAIN, now)]
        if waiting is None:
            alert = fire(known, finding, subject=self.subject, rule=rule, now=now)
            if not life.waits:
                return [self._set(key, alert, TransitionReason.FIRST, now)]
            self._pending[key] = Waiting(now, rows=rows)
            return [self._set(key, replace(alert, state=AlertState.PENDING), TransitionReason.PENDING, now)]
        waiting.rows += rows
        if known is None or not life.ripe(waiting, now):
            return []
        del self._pending[key]
        step = finding.step if self.last_step is None else self.last_step
        alert = replace(continued(known, finding), starts_at=now, step=step)
        return [self._set(key, alert, TransitionReason.FIRST, now)]

    def _leave(self, key: AlertKey, now: datetime) -> list[Transition]:
        """The finding is gone: a pending alert was none, a firing one ends when it was gone for long enough.

        Where a part of the rows is not known, that is not known either.
        """
        if self.in_part and self._is_of_rows(key[0]):
            self._doubted.add(key)
            return []
        self._doubted.discard(key)
        if self._pending.pop(key, None) is not None:
            return [self._end(key, now, ENDED, "it did not last")]
        if key in self._held and (self.last_step is None or self.last_step <= self._held[key]):
            return []
        since = self._leaving.setdefault(key, now)
        if now - since < self.lives.get(key[0], AT_ONCE).keep_firing_for:
            return []
        return [self._end(key, now, TransitionReason.RESOLVED, "no longer found")]

    def _set(self, key: AlertKey, alert: Alert, reason: TransitionReason, now: datetime) -> Transition:
        self.alerts[key] = alert
        return Transition(alert=alert, reason=reason, at=now)

    def _end(self, key: AlertKey, now: datetime, reason: TransitionReason, note: str) -> Transition:
        for waits in (self._held, self._pending, self._leaving, self.confirmations):
            waits.pop(key, None)
        self._doubted.discard(key)
        alert = resolve(self.alerts[key], now)
        self.alerts[key] = alert
        return Transition(alert=alert, reason=reason, at=now, note=note)

    def _is_firing(self, key: AlertKey) -> bool:
        alert = self.alerts.get(key)
        return alert is not None and alert.state is AlertState.FIRING

    def _crashed(self, cell: Cell, error: Exception) -> None:
        cell.crash = type(error).__name__
        cell.verdict = CRASHED
        self.crippled = True
        self.crashes.append(Crash(cell.rule.name, self.subject, error))
