"""Thinning and forgetting: the statements behind `service/retention.py`."""

from datetime import datetime

from sqlalchemy import ColumnElement, Table, and_, delete, func, or_, select

from watcher.domain.alerts import AlertState, Subject
from watcher.domain.rule import SubjectKind
from watcher.service.records import JobKey, OutboxState
from watcher.store import schema
from watcher.store.connected import Connected
from watcher.store.series import TRAIN
from watcher.store.values import micros

_jobs, _obs = schema.jobs.c, schema.observations.c
_alerts, _outbox, _transitions = schema.alerts.c, schema.outbox.c, schema.transitions.c
_LOSS_FLAGS = 3
"""The two bits of `flags` that say that a loss is no finite number (see `series.py`)."""

_TELLING = 3
"""Rows that thinning keeps beside the even ones."""

_is_train = and_(_obs.kind == TRAIN, _obs.superseded.is_(False))


class PruningReads(Connected):
    """The part of `Reads` that retention asks."""

    def ended_jobs(self, since: datetime | None, until: datetime, *, keep_rows: int, limit: int) -> list[JobKey]:
        """Closed jobs that ended in a span and hold more than they are to keep; the oldest first."""
        rows = select(func.count()).where(_obs.job == _jobs.id, _is_train).scalar_subquery()
        spoilt = select(_obs.seq).where(_obs.job == _jobs.id, _obs.superseded.is_(True)).exists()
        found = (
            select(_jobs.account, _jobs.job_id)
            .where(_jobs.closed.is_(True), _jobs.ended_at <= micros(until), or_(rows > keep_rows + _TELLING, spoilt))
            .order_by(_jobs.ended_at, _jobs.id)
            .limit(limit)
        )
        if since is not None:
            found = found.where(_jobs.ended_at > micros(since))
        return [JobKey(row.account, row.job_id) for row in self._run(found)]


class PruningWrites(PruningReads):
    """The part of `Writes` by which retention acts."""

    def thin(self, key: JobKey, keep: int) -> int:
        """Leave at most `keep` train rows of a closed job, evenly spread, and the three that tell most.

        Returns how many went. Those three: the last, the first that is no number, and the lowest.
        Rows of superseded attempts, all snapshots but the newest, and the states of rules go too: a closed job is not
        judged again. Nothing happens to a job that is not closed.
        """
        job = self._run(
            select(_jobs.id).where(_jobs.account == key.account, _jobs.job_id == key.job_id, _jobs.closed.is_(True))
        ).scalar()
        if job is None:
            return 0
        subject = Subject(kind=SubjectKind.JOB, account=key.account, job_id=key.job_id)
        self._run(delete(schema.rule_states).where(schema.rule_states.c.subject == subject.key))
        mine = _obs.job == job
        newest = select(func.max(_obs.seq)).where(mine, _obs.kind == "snapshot").scalar_subquery()
        self._run(delete(schema.observations).where(mine, _obs.kind == "snapshot", _obs.seq < newest))
        gone = self._run(delete(schema.observations).where(mine, _obs.superseded.is_(True))).rowcount
        return gone + self._thin_rows(job, keep)

    def _thin_rows(self, job: int, keep: int) -> int:
        mine = and_(_obs.job == job, _is_train)
        count: int = self._run(select(func.count()).where(mine)).scalar_one()
        if count <= keep:
            return 0
        stride = -(-count // keep)
        place = func.row_number().over(order_by=_obs.seq)
        numbered = select(_obs.seq.label("seq"), (place - 1).label("place")).where(mine).subquery()
        even = select(numbered.c.seq).where(or_(numbered.c.place % stride == 0, numbered.c.place == count - 1))
        first_bad = select(func.min(_obs.seq)).where(mine, _obs.flags.op("&")(_LOSS_FLAGS) != 0)
        lowest = select(_obs.seq).where(mine, _obs.loss.is_not(None)).order_by(_obs.loss, _obs.seq).limit(1)
        telling = [n for n in (self._run(q).scalar() for q in (first_bad, lowest)) if n is not None]
        spare = and_(mine, _obs.seq.not_in(even), _obs.seq.not_in(telling))
        return self._run(delete(schema.observations).where(spare)).rowcount

    def forget(self, before: datetime, *, limit: int) -> int:
        """Drop at most `limit` rows of each kind that were done with before a time; returns how many went.

        What waits stays, whatever its age; so does the newest episode of every alert, by which the next is numbered.
        """
        past = micros(before)
        open_ = select(_alerts.id).where(_alerts.state != AlertState.RESOLVED.value)
        newer = schema.alerts.alias("newer")
        superseded = (
            select(newer.c.seq)
            .where(
                newer.c.account == _alerts.account,
                newer.c.job_id == _alerts.job_id,
                newer.c.subject_kind == _alerts.subject_kind,
                newer.c.rule == _alerts.rule,
                newer.c.kind == _alerts.kind,
                newer.c.episode > _alerts.episode,
            )
            .exists()
        )
        finished = [OutboxState.DONE.value, OutboxState.DEAD.value]
        decisions, silences = schema.decisions.c, schema.silences.c
        chores: list[tuple[Table, ColumnElement[int], ColumnElement[bool]]] = [
            (schema.outbox, _outbox.id, and_(_outbox.state.in_(finished), _outbox.done_at < past)),
            (
                schema.transitions,
                _transitions.id,
                and_(_transitions.consumed_at < past, _transitions.alert_id.not_in(open_)),
            ),
            (schema.decisions, decisions.id, and_(decisions.at < past, decisions.alert_id.not_in(open_))),
            (schema.silences, silences.id, silences.ends_at < past),
            (
                schema.alerts,
                _alerts.seq,
                and_(_alerts.subject_kind != SubjectKind.JOB.value, _alerts.ends_at < past, superseded),
            ),
        ]
        return sum(self._drop(table, number, which, limit) for table, number, which in chores)

    def _drop(self, table: Table, number: ColumnElement[int], which: ColumnElement[bool], limit: int) -> int:
        some = select(number).where(which).limit(limit)
        return self._run(delete(table).where(number.in_(some))).rowcount
