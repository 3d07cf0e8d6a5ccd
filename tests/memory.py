"""A store of one job in a list, for properties that try thousands of histories."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from watcher.domain.alerts import Subject
from watcher.domain.observations import EvalRow, TrainRow
from watcher.service.jsontext import text_of, value_of
from watcher.service.known import RowKey, key_of
from watcher.service.records import JobKey


class Memory:
    """What a store keeps of one job: enough to load its book again."""

    def __init__(self) -> None:
        self.observations: list[tuple[int, Any]] = []
        self.dead: list[tuple[int, int]] = []
        self.states: list[Any] = []
        self.alerts: dict[str, Any] = {}
        self.told: list[Any] = []
        self.record: Any = None

    def save_states(self, _subject: Subject, states: Sequence[Any]) -> None:
        self.states = [(s.rule, s.fingerprint, value_of(text_of(s.state))) for s in states]

    def save_job(self, record: Any) -> None:
        self.record = replace(record)

    def move_job(self, _key: JobKey, **moved: Any) -> None:
        self.record = replace(self.record, **moved)

    def append(self, _key: JobKey, first: int, observations: Sequence[Any]) -> None:
        self.observations += enumerate(observations, first)

    def supersede(self, _key: JobKey, from_step: int, *, before_seq: int) -> None:
        self.observations = [
            (seq, o)
            for seq, o in self.observations
            if seq >= before_seq or not isinstance(o, TrainRow) or o.step < from_step
        ]

    def save_alert(self, alert: Any) -> None:
        self.alerts[alert.id] = alert

    def add_transition(self, transition: Any, _facts: Any = None) -> int:
        self.told.append((transition.reason.value, transition.alert.rule, transition.alert.kind, transition.alert.step))
        return len(self.told)

    def enqueue(self, _effects: Any, _now: datetime) -> int:
        return 0

    def latest(self) -> list[Any]:
        newest: dict[tuple[str, str], Any] = {}
        for alert in self.alerts.values():
            known = newest.get((alert.rule, alert.kind))
            if known is None or known.episode < alert.episode:
                newest[alert.rule, alert.kind] = alert
        return list(newest.values())

    # --- as a store is read ---

    async def read(self, work: Callable[[Any], Any]) -> Any:
        return work(_Reads(self))


class _Reads:
    def __init__(self, memory: Memory) -> None:
        self._all = memory.observations

    def row_keys(self, _key: JobKey, *, from_step: int = 0, before: int | None = None) -> list[RowKey]:
        rows = [o for _, o in self._all if isinstance(o, TrainRow | EvalRow)]
        return [key_of(row) for row in rows if from_step <= row.step and (before is None or row.step < before)]

    def observations(self, _key: JobKey) -> list[tuple[int, Any]]:
        return list(self._all)
