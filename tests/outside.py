"""What is outside of the process and remembers everything: time, the API, the receivers, the file of the store.

The world is one account with scripted jobs and two receivers. Watchers come and go in it (see `crashes.py`).
"""

import contextlib
import math
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from tests.fakes import START, FakeClock
from watcher.domain.messages import Message
from watcher.domain.observations import Event, Snapshot, Status, TrainRow
from watcher.service.errors import FailureReason, ProviderError
from watcher.store.sqlite import open_store

RECEIVERS = ("team", "pager")
ROW_SECONDS = 10
"""Every job logs a row this often."""
CANCEL_SECONDS = 15
"""So long a cancelled job goes on as cancel_requested."""
PLAN = 100
_INTENTS = "SELECT 1 FROM proposals WHERE requested_at IS NOT NULL AND id LIKE 'p-%'"


@dataclass(frozen=True, slots=True)
class Script:
    """One job: its loss at each step, the step after which it completes, and the planned one."""

    suffix: str
    loss: Callable[[int], float]
    last: int = PLAN
    plan: int = PLAN

    @property
    def job_id(self) -> str:
        return f"ft-{self.suffix}"


@dataclass(frozen=True, slots=True)
class Post:
    """A cancel request as the API saw it."""

    job_id: str
    taken: bool
    intended: bool
    """Whether the intent stood in the database file when the request came."""
    at: datetime


@dataclass(frozen=True, slots=True)
class Delivered:
    """A message as a receiver got it."""

    receiver: str
    life: int
    message: Message
    body: str
    at: datetime

    @property
    def key(self) -> str:
        return self.body.splitlines()[-1].removeprefix("id: ")

    @property
    def tells(self) -> tuple[str, ...]:
        """What it is about, whenever and under which key it was told; a firing with its numbers."""
        m = self.message
        firing = m.what if m.reason.value == "first" else ""
        return (m.subject, m.rule, m.kind, m.reason.value, firing)


class World:
    """All that is outside of the process: time, the API, the receivers, and the file of the store."""

    def __init__(self, database: Path, scripts: Sequence[Script]) -> None:
        self.clock = FakeClock()
        self.database = database
        self.scripts = {script.job_id: script for script in scripts}
        self.cancelled_at: dict[str, float] = {}
        self.posts: list[Post] = []
        self.delivered: list[Delivered] = []
        self.life = 0
        self.recorded: list[set[str]] = []
        """Per death: the keys that stood in the file as delivered when the process died."""
        self.deaths: list[tuple[datetime, bool]] = []
        """When a process died, and whether the file held an intent to cancel."""

    def elapsed(self, job_id: str) -> float:
        """How long the job has trained: no longer than to its cancel."""
        now = (self.clock.now() - START).total_seconds()
        asked = self.cancelled_at.get(job_id)
        return now if asked is None else min(now, asked + CANCEL_SECONDS)

    def status(self, job_id: str) -> Status:
        asked, now = self.cancelled_at.get(job_id), (self.clock.now() - START).total_seconds()
        if asked is not None:
            return Status.CANCELLED if now >= asked + CANCEL_SECONDS else Status.CANCEL_REQUESTED
        done = now >= self.scripts[job_id].last * ROW_SECONDS
        return Status.COMPLETED if done else Status.RUNNING

    def snapshot(self, job_id: str) -> Snapshot:
        status = self.status(job_id)
        return Snapshot(
            job_id=job_id,
            at=self.clock.now(),
            status=status,
            raw_status=status.value,
            created_at=START,
            started_at=START,
            model="base",
            suffix=self.scripts[job_id].suffix,
            total_steps=self.scripts[job_id].plan,
            output_name="me/model" if status is Status.COMPLETED else None,
        )

    def events(self, job_id: str) -> tuple[Event, ...]:
        found = [Event(type="training_start", at=START)]
        asked = self.cancelled_at.get(job_id)
        if asked is not None:
            found.append(Event(type="cancel_requested", at=START + timedelta(seconds=asked)))
        if self.status(job_id) is Status.COMPLETED:
            found.append(Event(type="job_complete", at=START + timedelta(seconds=self.scripts[job_id].last * 10)))
        return tuple(found)

    def rows(self, job_id: str, from_step: int) -> tuple[TrainRow, ...]:
        script = self.scripts[job_id]
        newest = min(script.last, int(self.elapsed(job_id) // ROW_SECONDS))
        at_ns = int(START.timestamp()) * 10**9
        return tuple(
            TrainRow(step, at_ns + step * ROW_SECONDS * 10**9, script.loss(step), 1.0, 1e-5)
            for step in range(max(from_step, 1), newest + 1)
        )

    def cancel(self, job_id: str) -> None:
        """The POST as the API takes it: 2xx once, then 400."""
        taken = self.status(job_id) is Status.RUNNING
        intents = self.ask_file(_INTENTS)
        self.posts.append(Post(job_id, taken, bool(intents), self.clock.now()))
        if not taken:
            raise ProviderError(FailureReason.CLIENT, status=400)
        self.cancelled_at[job_id] = self.elapsed(job_id)

    def ask_file(self, query: str) -> list[tuple[str, ...]]:
        """What stands in the database, read past the app."""
        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return connection.execute(query).fetchall()

    def died(self) -> None:
        """The process is gone; the next one is another life."""
        self.recorded.append({key for (key,) in self.ask_file("SELECT key FROM outbox WHERE state = 'done'")})
        self.deaths.append((self.clock.now(), bool(self.ask_file(_INTENTS))))
        self.life += 1


def fresh(template: Path, database: Path, scripts: Sequence[Script]) -> World:
    """A world with an empty store: a copy, since making the schema takes longer than all the rest."""
    if not template.exists():
        open_store(template).close()
    shutil.copy(template, database)
    return World(database, scripts)


def nan_from(step: int) -> Callable[[int], float]:
    """A loss that falls, and is no number from a step on."""
    return lambda at: math.nan if at >= step else 2.0 / (1 + at / 10)


def jumps_at(step: int) -> Callable[[int], float]:
    """A loss that falls, and leaves for good at a step."""
    return lambda at: 9.0 + at / 50 if at >= step else 2.0 / (1 + at / 10)


def falls(at: int) -> float:
    """A loss as it should be."""
    return 2.0 / (1 + at / 10)


def told(world: World) -> dict[str, Counter[tuple[str, ...]]]:
    """What each receiver was told, each key counted once."""
    found: dict[str, Counter[tuple[str, ...]]] = {name: Counter() for name in RECEIVERS}
    for key, delivery in {(d.receiver, d.key): d for d in world.delivered}.items():
        found[key[0]][delivery.tells] += 1
    return found
