"""What the services are told of the configuration: plain values, made by the composition root."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.life import Life
from watcher.domain.observations import Snapshot
from watcher.domain.rule import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The rules and the cancel policy of the jobs that one part of the configuration selects."""

    name: str
    rules: tuple[Rule, ...]
    policy: CancelPolicy
    lives: Mapping[str, Life] = field(default_factory=dict)
    """By rule, where its alerts do not fire and end at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig:
    """One account: `select` gives the selection that watches a job, or None when none does."""

    name: str
    interval: timedelta
    lookback: timedelta
    select: Callable[[Snapshot], Selection | None]
    rules: tuple[Rule, ...]
    """Rules on the account itself."""
    link: str = ""
    """Form of a page about a job, with `{job_id}` in it."""
    labels: dict[str, str] = field(default_factory=dict)
