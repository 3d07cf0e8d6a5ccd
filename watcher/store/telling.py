"""Groups, silences, acknowledgements and decisions: what the router reads and writes."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import delete, func, insert, or_, select
from sqlalchemy.dialects.sqlite import insert as upsert

from watcher.domain import codec
from watcher.domain.groups import Decision, Group
from watcher.domain.muting import Silence
from watcher.service.records import Ack, OutboxRow
from watcher.store import schema
from watcher.store.connected import Connected
from watcher.store.rows import effect_from_row
from watcher.store.values import AnyRow, dump, load, micros, micros_or_none, moment, moment_or_none

_groups, _silences = schema.groups.c, schema.silences.c
_acks, _decisions, _outbox = schema.acks.c, schema.decisions.c, schema.outbox.c


class TellingReads(Connected):
    """The part of `Reads` that is about telling people."""

    def group(self, key: str) -> Group | None:
        state = self._run(select(_groups.state).where(_groups.key == key)).scalar()
        return None if state is None else codec.decode(Group, load(state))

    def groups_due(self, now: datetime) -> list[Group]:
        found = self._run(select(_groups.state).where(_groups.flush_at <= micros(now)).order_by(_groups.flush_at))
        return [codec.decode(Group, load(row.state)) for row in found]

    def first_flush(self) -> datetime | None:
        return moment_or_none(self._run(select(func.min(_groups.flush_at))).scalar())

    def groups(self) -> list[Group]:
        found = self._run(select(_groups.state).order_by(_groups.key))
        return [codec.decode(Group, load(row.state)) for row in found]

    def silences(self, since: datetime) -> list[Silence]:
        found = self._run(select(_silences.body).where(_silences.ends_at > micros(since)).order_by(_silences.ends_at))
        return [codec.decode(Silence, load(row.body)) for row in found]

    def ack(self, alert_id: str) -> Ack | None:
        row = self._run(select(schema.acks).where(_acks.alert_id == alert_id)).first()
        return None if row is None else _ack(row)

    def told_by(self, key: str) -> list[str]:
        told = select(_decisions.alert_id).where(_decisions.outbox_key == key).distinct().order_by(_decisions.alert_id)
        return [row.alert_id for row in self._run(told)]

    def acks(self) -> dict[str, Ack]:
        found = self._run(select(schema.acks))
        return {row.alert_id: _ack(row) for row in found}

    def effects(self, key: str) -> list[OutboxRow]:
        same = or_(_outbox.key == key, _outbox.key.startswith(f"{key}:", autoescape=True))
        return [effect_from_row(row) for row in self._run(select(schema.outbox).where(same).order_by(_outbox.id))]

    def decisions(self, alert_id: str) -> list[tuple[Decision, str]]:
        found = self._run(select(schema.decisions).where(_decisions.alert_id == alert_id).order_by(_decisions.id))
        return [
            (
                Decision(alert_id=r.alert_id, receiver=r.receiver, at=moment(r.at), what=r.what, why=r.why),
                r.outbox_key,
            )
            for r in found
        ]


class TellingWrites(TellingReads):
    """The part of `Writes` that is about telling people."""

    def save_group(self, group: Group) -> None:
        values = {
            "key": group.key,
            "flush_at": None if group.flush_at is None else micros(group.flush_at),
            "state": dump(codec.encode(group)),
        }
        fresh = upsert(schema.groups).values(values)
        self._run(
            fresh.on_conflict_do_update(index_elements=["key"], set_={k: values[k] for k in ("flush_at", "state")})
        )

    def drop_group(self, key: str) -> None:
        self._run(delete(schema.groups).where(_groups.key == key))

    def save_silence(self, silence: Silence) -> None:
        values = {
            "id": silence.id,
            "starts_at": micros(silence.starts_at),
            "ends_at": micros(silence.ends_at),
            "body": dump(codec.encode(silence)),
        }
        fresh = upsert(schema.silences).values(values)
        self._run(
            fresh.on_conflict_do_update(index_elements=["id"], set_={k: v for k, v in values.items() if k != "id"})
        )

    def save_ack(self, ack: Ack) -> None:
        values = {"alert_id": ack.alert_id, "author": ack.author, "comment": ack.comment, "at": micros(ack.at)}
        values["until"] = micros_or_none(ack.until)
        fresh = upsert(schema.acks).values(values)
        self._run(fresh.on_conflict_do_nothing(index_elements=["alert_id"]))

    def drop_ack(self, alert_id: str) -> None:
        self._run(delete(schema.acks).where(_acks.alert_id == alert_id))

    def add_decisions(self, decisions: Sequence[tuple[Decision, str]]) -> None:
        rows = [
            {
                "alert_id": d.alert_id,
                "receiver": d.receiver,
                "at": micros(d.at),
                "what": d.what,
                "why": d.why,
                "outbox_key": key,
            }
            for d, key in decisions
        ]
        if rows:
            self._run(insert(schema.decisions), rows)

    def clamp_groups(self, latest: datetime) -> None:
        """Groups that wait for a time after `latest` wait for `latest`: the clock was stepped back."""
        for group in self.groups():
            if group.flush_at is not None and group.flush_at > latest:
                group.flush_at = latest
                self.save_group(group)


def _ack(row: AnyRow) -> Ack:
    return Ack(row.alert_id, row.author, row.comment, moment(row.at), moment_or_none(row.until))
