"""Digests into the outbox: each once when it is due, whatever restarts, pauses and steps of the clock come between."""

from collections.abc import Callable, Container, Sequence
from datetime import datetime

from watcher.domain import codec
from watcher.domain.alerts import Alert
from watcher.domain.compose import message_key
from watcher.domain.digest import AutoCancel, Digest, DigestJob, DigestKind, Standing, compose_digest
from watcher.domain.observations import finite
from watcher.service.book import meter_of
from watcher.service.ports import Clock, Receivers, Store, Writes
from watcher.service.records import (
    MANUAL,
    AlertQuery,
    Effect,
    JobKey,
    JobRecord,
    NewEffect,
    ProposalState,
)
from watcher.service.shown import shown_of, time_left

_ALL = 100_000


class Digests:
    """Sends what is due. The configuration may be replaced between two runs; `watches` tells the accounts in force."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        receivers: Receivers,
        plan: Sequence[Digest],
        watches: Callable[[], Container[str]],
    ) -> None:
        self._store, self._clock, self._watches = store, clock, watches
        self.receivers, self.plan = receivers, plan

    async def run(self) -> int:
        """Put what is due into the outbox; returns how many effects were new.

        Raises:
            StoreError: what could not be stored is due again.
        """
        made, now, receivers, accounts = 0, self._clock.now(), self.receivers, self._watches()
        for digest in self.plan:
            sent = _moment(await self._store.read(lambda reads, digest=digest: reads.meta(_meta(digest))))  # type: ignore[misc]
            if _is_due(digest, sent, now):
                made += await self._store.write(
                    lambda tx, digest=digest, sent=sent: _send(tx, digest, sent, receivers, accounts, now)  # type: ignore[misc]
                )
        return made


def _meta(digest: Digest) -> str:
    return f"digest:{digest.name}"


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _is_due(digest: Digest, sent: datetime | None, now: datetime) -> bool:
    """Also when it counts from now on: it is new, or the clock was so far ahead that it would be silent for long."""
    return sent is None or sent < digest.slot(now) or _is_far_ahead(digest, sent, now)


def _is_far_ahead(digest: Digest, sent: datetime, now: datetime) -> bool:
    return sent > now + digest.period


def _send(  # noqa: PLR0917 - what one transaction works on
    tx: Writes,
    digest: Digest,
    sent: datetime | None,
    receivers: Receivers,
    accounts: Container[str],
    now: datetime,
) -> int:
    tx.set_meta(_meta(digest), now.isoformat())
    if sent is None or _is_far_ahead(digest, sent, now):
        return 0
    standing, effects = _standing(tx, digest, accounts, sent, now), list[NewEffect]()
    for target in receivers.targets(digest.receiver):
        key = message_key("digest", digest.name, digest.slot(now).isoformat(), target.id)
        message = compose_digest(digest, standing, key, now)
        if message is not None:
            effects.append(
                NewEffect(
                    key=key,
                    effect=Effect.NOTIFY,
                    lane=target.id,
                    receiver=digest.receiver,
                    target=target.id,
                    payload=codec.encode(message),
                    next_at=now,
                )
            )
    return tx.enqueue(effects, now)


def _standing(tx: Writes, digest: Digest, accounts: Container[str], since: datetime, now: datetime) -> Standing:
    daily = digest.kind is DigestKind.DAILY
    records = [r for r in tx.jobs(open_only=not daily) if r.key.account in accounts]
    running = tuple(_job(record, now) for record in records if _runs(record))
    if not daily:
        return Standing(since=since, running=running)
    names = {record.key: _name(record) for record in records}
    firing = tx.alerts(AlertQuery(firing_only=True, limit=_ALL))
    ended = [r for r in records if r.ended_at is not None and since < r.ended_at <= now and not r.gone]
    return Standing(
        since=since,
        running=running,
        ended=tuple(_job(record, now) for record in ended),
        firing=tuple((_subject(alert, names), alert) for alert in firing if not alert.notice),
        cancels=tuple(_cancels(tx, records, since)),
        dead_letters=tx.outbox_counts(now).dead,
    )


def _runs(record: JobRecord) -> bool:
    status = record.snapshot.status
    return not (status.terminal or status.waiting or record.gone or record.closed)


def _cancels(tx: Writes, records: Sequence[JobRecord], since: datetime) -> list[AutoCancel]:
    known = {record.key: record for record in records}
    done = [p for p in tx.proposals(states=[ProposalState.CONFIRMED]) if p.mode != MANUAL and p.key in known]
    return [
        AutoCancel(name=_name(known[p.key]), rule=p.rule, meter=meter_of(known[p.key], shown_of(known[p.key])))
        for p in done
        if p.ended_at is not None and p.ended_at > since
    ]


def _subject(alert: Alert, names: dict[JobKey, str]) -> str:
    return names.get(JobKey(alert.subject.account, alert.subject.job_id), alert.subject.name)


def _name(record: JobRecord) -> str:
    return record.snapshot.suffix or record.key.job_id


def _job(record: JobRecord, now: datetime) -> DigestJob:
    job, shown = record.snapshot, shown_of(record)
    meter = meter_of(record, shown)
    return DigestJob(
        name=_name(record),
        status=job.status,
        raw_status=job.raw_status,
        health=record.health,
        step=meter.done,
        planned=meter.planned,
        left=time_left(record, shown, now),
        loss=finite(shown.loss),
        best_eval=finite(shown.best_eval),
        sparkline=shown.sparkline,
        meter=meter,
    )
