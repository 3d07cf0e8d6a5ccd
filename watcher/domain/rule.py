"""The form of a rule: a small frozen class whose settings are its fields, a fold over observations.

A rule is added in one file of `domain/rules/` and one line of `domain/rules/__init__.py`.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from watcher.domain.observations import Observation
from watcher.domain.verdicts import Verdict


class SubjectKind(StrEnum):
    """What a rule looks at, and an alert is about."""

    JOB = "job"
    ACCOUNT = "account"
    WATCHER = "watcher"


class Rule(Protocol):
    """What the engine asks of a rule.

    The state is a plain dataclass of numbers, strings, booleans, lists, tuples, dicts with string keys and other such
    dataclasses (see `codec.py`), small and of constant size; it holds no NaN. `observe` changes it in place; `judge`
    reads it. A rule over rows latches its finding in the state when it fires, with step and onset, and keeps the very
    same object until it recovers: the engine calls `judge` after each row, so it must be cheap, and `now` must not
    matter to it unless `timed` is set.
    """

    version: ClassVar[int]
    """Raised whenever the same observations give another verdict: stored states are then rebuilt."""
    subject: ClassVar[SubjectKind]
    sees: ClassVar[tuple[type, ...]]
    """The observation types that `observe` is called with."""
    timed: ClassVar[bool]
    """Whether the verdict can change with `now` alone; such a rule is judged at the end of every sweep too."""

    @property
    def name(self) -> str:
        """The rule's name in configuration, alerts and metrics: by default that of its kind of rule."""

    def start(self) -> Any:  # noqa: ANN401 - each rule has its own state type
        """The state before anything was observed."""

    def observe(self, state: Any, observation: Observation) -> None: ...  # noqa: ANN401

    def judge(self, state: Any, now: datetime) -> Verdict: ...  # noqa: ANN401
