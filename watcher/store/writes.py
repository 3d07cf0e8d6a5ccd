"""The writes of the port, as statements on one connection inside one transaction.

Upserts and `RETURNING` are spelled as SQLite and PostgreSQL both have them. Many rows go in one statement.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Table, and_, bindparam, delete, func, or_, select, update
from sqlalchemy.dialects.sqlite import Insert, insert

from watcher.domain.alerts import Alert, Subject, Transition
from watcher.domain.observations import Observation
from watcher.service.errors import StoreError
from watcher.service.jsontext import text_of
from watcher.service.records import (
    JobKey,
    JobRecord,
    NewEffect,
    OutboxRow,
    OutboxState,
    StateRecord,
)
from watcher.store import rows, schema
from watcher.store.connected import STORABLE, Ready, hot, sql_of
from watcher.store.proposals import ProposalWrites
from watcher.store.pruning import PruningWrites
from watcher.store.reads import SqlReads
from watcher.store.series import to_row
from watcher.store.telling import TellingWrites
from watcher.store.values import dump, micros

_jobs, _obs, _outbox = schema.jobs.c, schema.observations.c, schema.outbox.c
_DUE, _CLAIMED, _DONE, _DEAD = (state.value for state in OutboxState)


def _upsert(table: Table, *unique: str, sticky: Iterable[str] = ()) -> Insert:
    """An insert that changes the row when it is there already; a sticky boolean that is true stays so."""
    statement = insert(table)
    fixed = {*unique, *(c.name for c in table.primary_key if c.autoincrement)}
    changed: dict[str, Any] = {c.name: statement.excluded[c.name] for c in table.c if c.name not in fixed}
    changed |= {name: or_(table.c[name], statement.excluded[name]) for name in sticky}
    return statement.on_conflict_do_update(index_elements=list(unique), set_=changed)


# `keep` is a person's veto. A sweep that read the job before the veto must not take it away when it saves the job.
_SAVE_JOB = Ready(
    _upsert(schema.jobs, "account", "job_id", sticky=["keep"]).returning(_jobs.id),
    [column.key for column in schema.jobs.columns if column is not schema.jobs.autoincrement_column],
)
_MOVE_JOB = hot(schema.moves, _upsert(schema.moves, "job"))
_REST_JOB = Ready(delete(schema.moves).where(schema.moves.c.job == bindparam("its_job")))
_KEEP = update(schema.jobs).where(_jobs.account == bindparam("its_account"), _jobs.job_id == bindparam("its_job_id"))
_APPEND = hot(schema.observations, insert(schema.observations))
_number = _obs.seq // schema.SPAN
_ADD_SPANS = Ready(
    insert(schema.spans).from_select(
        ["job", "number", "high"],
        select(_obs.job, _number, func.max(_obs.step))
        .where(_obs.job == bindparam("its_job"), _obs.seq >= schema.unspanned(bindparam("its_job")))
        .where(_obs.seq < bindparam("end"))
        .group_by(_obs.job, _number)
        .having(func.max(_obs.step).is_not(None)),
    )
)
_SUPERSEDE = (
    update(schema.observations)
    .where(_obs.job == bindparam("its_job"), _obs.step >= bindparam("from_step"), _obs.seq < bindparam("before"))
    .values(superseded=True)
)
_states = schema.rule_states.c
# In their places, where most fit as they are: dropped and added anew, a dozen of them changed twice as many pages.
_SAVE_STATES = hot(schema.rule_states, _upsert(schema.rule_states, "subject", "rule"))
_SAVED_RULES = sql_of(select(_states.rule).where(_states.subject == bindparam("its_subject")))
_DROP_STATES = delete(schema.rule_states).where(
    _states.subject == bindparam("its_subject"), _states.rule.not_in(bindparam("rules", expanding=True))
)
_SAVE_ALERT = _upsert(schema.alerts, "id")
_ADD_TRANSITION = insert(schema.transitions).returning(schema.transitions.c.id)
_CONSUME = (
    update(schema.transitions)
    .where(schema.transitions.c.id == bindparam("its_id"))
    .values(consumed_at=bindparam("now"))
)
_ENQUEUE = insert(schema.outbox).on_conflict_do_nothing(index_elements=["key"])
_SAVE_META = _upsert(schema.meta, "name")

# The lanes with open rows, found by seeking in the index of open rows from one lane to the next: a backlog of many rows
# for a dead receiver must not make every claim read all of it.
_any, _next, _first = (schema.outbox.alias(name) for name in ("any_row", "next_row", "first_row"))
_start = select(func.min(_any.c.lane).label("lane")).where(schema.OPEN_EFFECT).cte("lanes", recursive=True)
_further = select(func.min(_next.c.lane)).where(schema.OPEN_EFFECT, _next.c.lane > _start.c.lane)
_lanes = _start.union_all(select(_further.scalar_subquery()).where(_start.c.lane.is_not(None)))
_head = select(func.min(_first.c.id)).where(schema.OPEN_EFFECT, _first.c.lane == _lanes.c.lane)
_heads = select(_head.scalar_subquery()).where(_lanes.c.lane.not_in(bindparam("busy", expanding=True)))
# Said so, because for `state = 'due'` SQLite would read all due rows instead of the few heads.
_is_due = _outbox.state.not_in([_CLAIMED, _DONE, _DEAD])
_claimable = (
    select(_outbox.id)
    .where(_outbox.id.in_(_heads), _is_due, _outbox.next_at <= bindparam("now"))
    .order_by(_outbox.next_at, _outbox.id)
    .limit(bindparam("limit"))
)
_CLAIM = (
    update(schema.outbox)
    .where(_outbox.id.in_(_claimable), _is_due)
    .values(state=_CLAIMED, claimed_at=bindparam("now"))
    .returning(*_outbox)
)
_own_head = select(func.min(_first.c.id)).where(schema.OPEN_EFFECT, _first.c.lane == bindparam("its_lane"))
_CLAIM_NEXT = (
    update(schema.outbox)
    .where(_outbox.id == _own_head.scalar_subquery(), _is_due, _outbox.next_at <= bindparam("now"))
    .values(state=_CLAIMED, claimed_at=bindparam("now"))
    .returning(*_outbox)
)
_ROW = _outbox.id == bindparam("its_id")
_OPEN = or_(_outbox.state == _DUE, _outbox.state == _CLAIMED)
# What was delivered stays done, whoever comes late with another opinion; a delivery told late counts even so.
_FINISH = update(schema.outbox).where(_ROW, _outbox.state != _DONE).values(state=_DONE, done_at=bindparam("now"))
_RETRY = (
    update(schema.outbox)
    .where(_ROW, _OPEN)
    .values(
        state=_DUE,
        attempts=_outbox.attempts + 1,
        next_at=bindparam("next"),
        error=bindparam("why"),
        claimed_at=None,
    )
)
_PARK = update(schema.outbox).where(_ROW, _OPEN).values(state=_DEAD, done_at=bindparam("now"), error=bindparam("why"))
_REQUEUE = (
    update(schema.outbox)
    .where(_ROW, _outbox.state == _DEAD)
    .values(state=_DUE, attempts=0, next_at=bindparam("now"), claimed_at=None, done_at=None)
)
_RELEASE = update(schema.outbox).where(_outbox.state == _CLAIMED).values(state=_DUE, claimed_at=None)
_CLAMP = (
    update(schema.outbox)
    .where(_outbox.state == _DUE, _outbox.next_at > bindparam("latest"))
    .values(next_at=bindparam("latest"))
)
_OPEN_ROW = select(schema.outbox).where(and_(_ROW, _OPEN))
_REPLACED = (
    update(schema.outbox)
    .where(_ROW)
    .values(state=_DONE, done_at=func.coalesce(_outbox.claimed_at, _outbox.next_at), error=bindparam("why"))
)


def _new_row(effect: NewEffect, now: datetime) -> dict[str, Any]:
    return {
        "key": effect.key,
        "effect": effect.effect.value,
        "lane": effect.lane,
        "receiver": effect.receiver,
        "target": effect.target,
        "payload": dump(effect.payload),
        "state": _DUE,
        "attempts": 0,
        "created_at": micros(now),
        "next_at": micros(effect.next_at),
        "error": "",
    }


class SqlWrites(SqlReads, TellingWrites, ProposalWrites, PruningWrites):
    """`Writes` on a connection whose transaction somebody else begins and ends."""

    def save_job(self, record: JobRecord) -> None:
        """Insert or replace, but a `keep` that is set stays set: only `set_keep` takes it away."""
        number: int = self._run_ready(_SAVE_JOB, rows.job_to_row(record)).fetchone()[0]
        self._job_ids[record.key] = number
        if record.moved is None or record.updated_at is None:
            self._run_ready(_REST_JOB, {"its_job": number})
        else:
            self._move(number, record.last_seq, record.updated_at, record.moved)

    def move_job(self, key: JobKey, *, last_seq: int, updated_at: datetime, moved: str) -> None:
        """In place of what moved it before.

        Raises:
            StoreError: the job was never saved.
        """
        self._move(self._saved_number(key), last_seq, updated_at, moved)

    def _move(self, job: int, last_seq: int, updated_at: datetime, moved: str) -> None:
        self._run_hot(_MOVE_JOB, [(job, last_seq, micros(updated_at), moved)])

    def _saved_number(self, key: JobKey) -> int:
        job = self._job_number(key)
        if job is None:
            raise StoreError(f"something of a job that was never saved: {key.account}/{key.job_id}")
        return job

    def append(self, key: JobKey, first_seq: int, observations: Sequence[Observation]) -> None:
        """Number them from first_seq on.

        Raises:
            StoreError: the job was never saved.
        """
        job = self._saved_number(key)
        self._run_hot(_APPEND, [to_row(job, seq, seen) for seq, seen in enumerate(observations, first_seq)])
        span = (first_seq + len(observations)) // schema.SPAN
        if span > first_seq // schema.SPAN:
            self._run_ready(_ADD_SPANS, {"its_job": job, "end": span * schema.SPAN})

    def supersede(self, key: JobKey, from_step: int, *, before_seq: int) -> None:
        parameters = {"its_job": self._job_number(key), "from_step": from_step, "before": before_seq}
        self._run(_SUPERSEDE, parameters)

    def save_states(self, subject: Subject, states: Sequence[StateRecord]) -> None:
        rules = {state.rule for state in states}
        with STORABLE:
            saved = self._driver.execute(_SAVED_RULES, (subject.key,)).fetchall()
        if not rules.issuperset(rule for (rule,) in saved):
            self._run(_DROP_STATES, {"its_subject": subject.key, "rules": [*rules]})
        self._run_hot(_SAVE_STATES, [(subject.key, s.rule, s.fingerprint, text_of(s.state)) for s in states])

    def save_alert(self, alert: Alert) -> None:
        """Insert or replace, by id."""
        self._run(_SAVE_ALERT, rows.alert_to_row(alert))

    def add_transition(self, transition: Transition, facts: Any = None) -> int:  # noqa: ANN401 - JSON
        number: int = self._run(_ADD_TRANSITION, rows.transition_to_row(transition, facts)).scalar_one()
        return number

    def consume(self, transition_ids: Sequence[int], now: datetime) -> None:
        if transition_ids:
            self._run(_CONSUME, [{"its_id": number, "now": micros(now)} for number in transition_ids])

    def enqueue(self, effects: Sequence[NewEffect], now: datetime) -> int:
        return self._insert_effects([_new_row(effect, now) for effect in effects])

    def _insert_effects(self, new: list[dict[str, Any]]) -> int:
        if not new:
            return 0
        return self._run(_ENQUEUE.execution_options(preserve_rowcount=True), new).rowcount

    def claim(self, now: datetime, *, busy_lanes: Iterable[str] = (), limit: int = 50) -> list[OutboxRow]:
        """In order of id."""
        parameters = {"now": micros(now), "busy": sorted(busy_lanes), "limit": limit}
        claimed = [rows.effect_from_row(row) for row in self._run(_CLAIM, parameters)]
        return sorted(claimed, key=lambda row: row.id)

    def claim_next(self, lane: str, now: datetime) -> OutboxRow | None:
        row = self._run(_CLAIM_NEXT, {"its_lane": lane, "now": micros(now)}).first()
        return None if row is None else rows.effect_from_row(row)

    def finish(self, row_id: int, now: datetime) -> None:
        self._run(_FINISH, {"its_id": row_id, "now": micros(now)})

    def retry(self, row_id: int, next_at: datetime, error: str) -> None:
        self._run(_RETRY, {"its_id": row_id, "next": micros(next_at), "why": error})

    def park(self, row_id: int, now: datetime, error: str) -> None:
        self._run(_PARK, {"its_id": row_id, "now": micros(now), "why": error})

    def requeue(self, row_id: int, now: datetime) -> bool:
        """A dead letter is due again, with all its attempts before it."""
        return self._run(_REQUEUE, {"its_id": row_id, "now": micros(now)}).rowcount == 1

    def readdress(self, row_id: int, targets: Sequence[str]) -> int:
        """One new row for each target, in the target's lane; the old one stays as done, so that its key stays taken.

        Returns how many were new; 0 when there are no targets or the row is not open, and then nothing changed.
        """
        row = self._run(_OPEN_ROW, {"its_id": row_id}).mappings().first()
        if row is None or not targets:
            return 0
        same = {name: value for name, value in row.items() if name not in ("id", "claimed_at", "done_at")}
        same |= {"state": _DUE, "attempts": 0}
        self._run(_REPLACED, {"its_id": row_id, "why": f"readdressed to {len(targets)} targets"})
        return self._insert_effects(
            [same | {"key": f"{row['key']}:{target}", "lane": target, "target": target} for target in targets]
        )

    def release_claims(self) -> int:
        return self._run(_RELEASE).rowcount

    def clamp_due(self, latest: datetime) -> int:
        self.clamp_groups(latest)
        return self._run(_CLAMP, {"latest": micros(latest)}).rowcount

    def set_keep(self, key: JobKey, *, keep: bool) -> None:
        self._run(_KEEP.values(keep=keep), {"its_account": key.account, "its_job_id": key.job_id})

    def set_meta(self, name: str, value: str) -> None:
        self._run(_SAVE_META, {"name": name, "value": value})
