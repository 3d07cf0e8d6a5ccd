"""One rule on one subject: its state and its verdict, and how observations are folded into them."""

import functools
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from watcher.domain import codec
from watcher.domain.alerts import Subject
from watcher.domain.observations import Observation
from watcher.domain.rule import Rule
from watcher.domain.verdicts import Unknown, Verdict

REBUILDING = Unknown("rebuilding")
NOT_JUDGED = Unknown("not judged yet")
CRASHED = Unknown("rule crashed")


def fingerprint(rule: Rule) -> str:
    """Changes with the rule's version and each of its settings: a stored state of another fingerprint is rebuilt."""
    return _mark(f"{rule.version}:{rule!r}")


@functools.lru_cache(maxsize=1024)
def _mark(text: str) -> str:
    """One for all jobs that a rule watches: thousands of times the same would take a kilobyte each."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(slots=True)
class Cell:
    """One rule on one subject. What the rule raises, `fold`, `until_turn` and `judge` raise."""

    rule: Rule
    fingerprint: str
    state: Any
    verdict: Verdict = NOT_JUDGED
    crash: str = ""

    @classmethod
    def of(cls, rule: Rule) -> "Cell":
        """A rule that has observed nothing."""
        return cls(rule, fingerprint(rule), rule.start())

    @property
    def usable(self) -> bool:
        return not self.crash and self.verdict is not REBUILDING

    def start_anew(self) -> None:
        """Forget everything that was observed."""
        self.state, self.verdict = self.rule.start(), NOT_JUDGED

    def fold(self, observations: Iterable[Observation]) -> None:
        """Observations that the rule sees."""
        observe, state = self.rule.observe, self.state
        for observation in observations:
            observe(state, observation)

    def until_turn(
        self, observations: Iterator[tuple[int, Observation]], now: datetime, *, waiting: bool
    ) -> tuple[int, Verdict] | None:
        """Fold until the verdict is another one than that of the cell, then go on with the same iterator.

        Returns the observation's number and the verdict after it; None when all are folded. With `waiting`, every
        observation counts as a turn.
        """
        observe, judge, state, known = self.rule.observe, self.rule.judge, self.state, self.verdict
        for number, observation in observations:
            observe(state, observation)
            verdict = judge(state, now)
            if verdict is not known or waiting:
                return number, verdict
        return None

    def judge(self, now: datetime) -> Verdict:
        return self.rule.judge(self.state, now)

    def load(self, state: Any) -> bool:  # noqa: ANN401 - JSON
        """Take over a stored state; False when it does not fit, as after a change of the rule without a new version."""
        try:
            self.state = codec.decode(type(self.state), state)
        except (TypeError, ValueError, KeyError, AttributeError):
            return False
        return True


class Plan:
    """Which of some rules see what: one for all jobs that the same kinds of rules watch. Rules are named by place."""

    __slots__ = ("_rules", "_seeing", "timed")

    def __init__(self, rules: Sequence[type[Rule]]) -> None:
        self._rules = rules
        self._seeing: dict[frozenset[type], tuple[int, ...]] = {}
        self.timed = tuple(place for place, rule in enumerate(rules) if rule.timed)

    def seeing(self, kinds: frozenset[type]) -> tuple[int, ...]:
        """Those that see any of these types."""
        if kinds not in self._seeing:
            sees = [any(issubclass(kind, rule.sees) for kind in kinds) for rule in self._rules]
            self._seeing[kinds] = tuple(place for place, does in enumerate(sees) if does)
        return self._seeing[kinds]


def plan_of(cells: Iterable[Cell]) -> Plan:
    """The plan of cells that keep their places."""
    return _plan(tuple(type(cell.rule) for cell in cells))


@functools.cache
def _plan(rules: tuple[type[Rule], ...]) -> Plan:
    return Plan(rules)


@dataclass(frozen=True, slots=True)
class Crash:
    """A rule raised: which one, on what, and the exception's type."""

    rule: str
    subject: Subject
    error: BaseException
