"""The reads of the port, as statements on one connection inside one transaction."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import Connection, and_, bindparam, case, func, or_, select

from watcher.domain.alerts import Alert, AlertState, Subject
from watcher.domain.observations import Observation
from watcher.service.records import (
    AlertQuery,
    Effect,
    JobKey,
    JobRecord,
    KnownJob,
    OutboxCounts,
    OutboxRow,
    OutboxState,
    StateRecord,
    StoredTransition,
)
from watcher.store import rows, schema
from watcher.store.connected import STORABLE, Ready, sql_of
from watcher.store.proposals import ProposalReads
from watcher.store.pruning import PruningReads
from watcher.store.series import EVAL, LOGGED, from_row
from watcher.store.telling import TellingReads
from watcher.store.values import load, micros, moment_or_none

_jobs, _alerts, _outbox = schema.jobs.c, schema.alerts.c, schema.outbox.c
_obs, _states, _transitions, _meta = schema.observations.c, schema.rule_states.c, schema.transitions.c, schema.meta.c

_THIS_JOB = and_(_jobs.account == bindparam("account"), _jobs.job_id == bindparam("job_id"))
_moves = schema.moves.c
_WHOLE = select(schema.jobs, _moves.last_seq.label("moved_seq"), _moves.updated_at.label("moved_at"), _moves.moved)
_WHOLE = _WHOLE.outerjoin_from(schema.jobs, schema.moves)
_JOB = _WHOLE.where(_THIS_JOB)
_JOB_ID = sql_of(select(_jobs.id).where(_THIS_JOB))  # asked at every poll
_NEWEST = (func.coalesce(_jobs.created_at, _jobs.first_seen_at).desc(), _jobs.first_seen_at.desc(), _jobs.id.desc())
_JOBS = _WHOLE.order_by(*_NEWEST)
_KNOWN_JOBS = (
    select(
        _jobs.job_id,
        _jobs.created_at,
        _jobs.first_seen_at,
        _jobs.first_running_at,
        _jobs.ended_at,
        _jobs.closed,
        _jobs.successor,
    )
    .where(_jobs.account == bindparam("account"))
    .order_by(*_NEWEST)
)
_OBSERVATIONS = (
    select(_obs.seq, _obs.kind, _obs.step, _obs.at_ns, _obs.loss, _obs.grad_norm, _obs.lr, _obs.flags, _obs.payload)
    .where(_obs.job == bindparam("job"), _obs.seq > bindparam("after"), _obs.superseded.is_(False))
    .order_by(_obs.seq)
)
_LOG = _OBSERVATIONS.where(_obs.kind.in_(LOGGED))
_span = schema.spans.c
_HIGHEST = 2**63 - 1
_KEY = select(case((_obs.kind == EVAL, -1 - _obs.step), else_=_obs.step), _obs.at_ns).where(
    _obs.job == bindparam("job"), _obs.step.between(bindparam("from_step"), bindparam("last"))
)
_IN_SPANS = _KEY.where(
    _span.job == bindparam("job"),
    _span.high >= bindparam("from_step"),
    _obs.seq.between(_span.number * schema.SPAN, (_span.number + 1) * schema.SPAN - 1),
)
_AFTER_SPANS = _KEY.where(_obs.seq >= schema.unspanned(bindparam("job")))
_ROW_KEYS = Ready(_IN_SPANS.union_all(_AFTER_SPANS))
_STATES = (
    select(_states.rule, _states.fingerprint, _states.state)
    .where(_states.subject == bindparam("subject"))
    .order_by(_states.id)
)
_ALERTS = select(schema.alerts).order_by(_alerts.starts_at.desc(), _alerts.seq.desc()).limit(bindparam("limit"))
_ALERT = select(schema.alerts).where(_alerts.id == bindparam("id"))
_newer = schema.alerts.alias("newer")
_LATEST = (
    select(schema.alerts)
    .where(
        _alerts.account == bindparam("account"),
        _alerts.job_id == bindparam("job_id"),
        _alerts.subject_kind == bindparam("kind"),
        ~select(_newer.c.seq)
        .where(
            _newer.c.account == _alerts.account,
            _newer.c.job_id == _alerts.job_id,
            _newer.c.subject_kind == _alerts.subject_kind,
            _newer.c.rule == _alerts.rule,
            _newer.c.kind == _alerts.kind,
            _newer.c.episode > _alerts.episode,
        )
        .exists(),
    )
    .order_by(_alerts.rule, _alerts.kind)
)
_UNCONSUMED = select(schema.transitions).where(schema.UNCONSUMED).order_by(_transitions.id).limit(bindparam("limit"))
_OF_ALERT = select(schema.transitions).where(_transitions.alert_id == bindparam("id")).order_by(_transitions.id)
_is_ripe = and_(_outbox.state == OutboxState.DUE.value, _outbox.next_at <= bindparam("now"))
_COUNTS = select(_outbox.state, func.count(), func.sum(case((_is_ripe, 1), else_=0))).group_by(_outbox.state)
# A notification is due from its first moment on, however often it failed; a cancel may wait by intention.
_is_notice = _outbox.effect == Effect.NOTIFY.value
_OLDEST = select(func.min(case((_is_notice, _outbox.created_at), else_=_outbox.next_at))).where(
    _outbox.state.in_([OutboxState.DUE.value, OutboxState.CLAIMED.value]), or_(_is_notice, _is_ripe)
)
_EFFECTS = select(schema.outbox).order_by(_outbox.id.desc()).limit(bindparam("limit"))
_BEHIND = (
    select(schema.outbox)
    .where(schema.OPEN_EFFECT, _outbox.lane == bindparam("its_lane"), _outbox.id > bindparam("its_id"))
    .order_by(_outbox.id)
    .limit(bindparam("limit"))
)
_LATEST_EFFECTS = (
    select(schema.outbox)
    .where(
        _outbox.id.in_(
            select(func.max(_outbox.id))
            .where(_outbox.effect == Effect.NOTIFY.value)
            .group_by(_outbox.receiver, _outbox.target, _outbox.state)
        )
    )
    .order_by(_outbox.id)
)
_META = select(_meta.value).where(_meta.name == bindparam("name"))


class SqlReads(TellingReads, ProposalReads, PruningReads):
    """`Reads` on a connection whose transaction somebody else begins and ends."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._job_ids: dict[JobKey, int] = {}

    def _job_number(self, key: JobKey) -> int | None:
        if key not in self._job_ids:
            with STORABLE:
                found = self._driver.execute(_JOB_ID, (key.account, key.job_id)).fetchone()
            if found is None:
                return None
            self._job_ids[key] = found[0]
        return self._job_ids[key]

    def job(self, key: JobKey) -> JobRecord | None:
        row = self._run(_JOB, {"account": key.account, "job_id": key.job_id}).first()
        if row is None:
            return None
        self._job_ids[key] = row.id
        return rows.job_from_row(row)

    def jobs(self, account: str | None = None, *, open_only: bool = False) -> list[JobRecord]:
        """Newest first; a job without created_at stands where it was first seen."""
        statement = _JOBS if account is None else _JOBS.where(_jobs.account == account)
        statement = statement.where(schema.NOT_CLOSED) if open_only else statement
        return [rows.job_from_row(row) for row in self._run(statement)]

    def known_jobs(self, account: str) -> list[KnownJob]:
        found = self._run(_KNOWN_JOBS, {"account": account})
        return [rows.known_from_row(row) for row in found]

    def find_jobs(self, job_id: str) -> list[JobRecord]:
        return [rows.job_from_row(row) for row in self._run(_JOBS.where(_jobs.job_id == job_id))]

    def observations(self, key: JobKey, *, after_seq: int = 0) -> list[tuple[int, Observation]]:
        job = self._job_number(key)
        if job is None:
            return []
        return [from_row(row) for row in self._run(_OBSERVATIONS, {"job": job, "after": after_seq})]

    def log(self, key: JobKey) -> list[Observation]:
        job = self._job_number(key)
        if job is None:
            return []
        return [from_row(row)[1] for row in self._run(_LOG, {"job": job, "after": 0})]

    def row_keys(self, key: JobKey, *, from_step: int = 0, before: int | None = None) -> list[tuple[int, int]]:
        """In no order."""
        job = self._job_number(key)
        if job is None:
            return []
        asked = {"job": job, "from_step": from_step, "last": _HIGHEST if before is None else before - 1}
        return self._run_ready(_ROW_KEYS, asked).fetchall()

    def states(self, subject: Subject) -> list[StateRecord]:
        """In the order in which they were saved."""
        found = self._run(_STATES, {"subject": subject.key})
        return [StateRecord(rule=rule, fingerprint=mark, state=load(state)) for rule, mark, state in found]

    def alerts(self, query: AlertQuery) -> list[Alert]:
        """Newest first by starts_at; `since` asks for those that started at or after it."""
        statement = _ALERTS
        if query.account is not None:
            statement = statement.where(_alerts.account == query.account)
        if query.job_id is not None:
            statement = statement.where(_alerts.job_id == query.job_id)
        if query.firing_only:
            statement = statement.where(_alerts.state == AlertState.FIRING.value)
        if not query.notices:
            statement = statement.where(_alerts.notice.is_(False))
        if query.since is not None:
            statement = statement.where(_alerts.starts_at >= micros(query.since))
        return [rows.alert_from_row(row) for row in self._run(statement, {"limit": query.limit})]

    def latest_alerts(self, subject: Subject) -> list[Alert]:
        found = self._run(_LATEST, {"account": subject.account, "job_id": subject.job_id, "kind": subject.kind.value})
        return [rows.alert_from_row(row) for row in found]

    def alert(self, alert_id: str) -> Alert | None:
        row = self._run(_ALERT, {"id": alert_id}).first()
        return None if row is None else rows.alert_from_row(row)

    def unconsumed(self, limit: int = 500) -> list[StoredTransition]:
        return [rows.transition_from_row(row) for row in self._run(_UNCONSUMED, {"limit": limit})]

    def transitions(self, alert_id: str) -> list[StoredTransition]:
        """Oldest first."""
        return [rows.transition_from_row(row) for row in self._run(_OF_ALERT, {"id": alert_id})]

    def outbox_counts(self, now: datetime) -> OutboxCounts:
        found = {state: (total, ripe) for state, total, ripe in self._run(_COUNTS, {"now": micros(now)})}
        total = {state: found[state.value][0] if state.value in found else 0 for state in OutboxState}
        _, ripe = found.get(OutboxState.DUE.value, (0, 0))
        return OutboxCounts(
            due=ripe,
            waiting=total[OutboxState.DUE] - ripe,
            claimed=total[OutboxState.CLAIMED],
            done=total[OutboxState.DONE],
            dead=total[OutboxState.DEAD],
            oldest_due_at=moment_or_none(self._run(_OLDEST, {"now": micros(now)}).scalar()),
        )

    def outbox(self, *, states: Iterable[OutboxState] | None = None, limit: int = 500) -> list[OutboxRow]:
        """The newest `limit` rows, oldest of them first."""
        statement = _EFFECTS
        if states is not None:
            statement = statement.where(_outbox.state.in_([state.value for state in states]))
        newest_first = [rows.effect_from_row(row) for row in self._run(statement, {"limit": limit})]
        return newest_first[::-1]

    def behind(self, row: OutboxRow, limit: int) -> list[OutboxRow]:
        found = self._run(_BEHIND, {"its_lane": row.lane, "its_id": row.id, "limit": limit})
        return [rows.effect_from_row(later) for later in found]

    def latest_effects(self) -> list[OutboxRow]:
        """Oldest first."""
        return [rows.effect_from_row(row) for row in self._run(_LATEST_EFFECTS)]

    def meta(self, name: str) -> str | None:
        value: str | None = self._run(_META, {"name": name}).scalar()
        return value
