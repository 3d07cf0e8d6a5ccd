"""The JSON API under `/api/v1`, the probes, and `/metrics`."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.service.checkpointview import checkpoint_view, going_on_view, stored_checkpoints, unplaced_in
from watcher.service.countdown import timed_view
from watcher.service.earlyview import Configured, early_stopping_view
from watcher.service.errors import ConfigError, StoreError
from watcher.service.jobpage import event_view, events_of, rows_of
from watcher.service.money import money_view, month_view
from watcher.service.ports import Clock, Reads, Store
from watcher.service.records import AlertQuery, JobRecord, Pulse
from watcher.service.status import alert_views, job_view, job_views, status_view
from watcher.web import query
from watcher.web.answers import dump, error_answer, json_answer
from watcher.web.curve import curve_view
from watcher.web.telemetry import PrometheusTelemetry, Vitals, read_gauges

_MONTH = re.compile("([1-9][0-9]{3})-(0[1-9]|1[0-2])", re.ASCII)
_ALERTS = 1000
MOST_EVENTS = 200
"""Events of a job that are given: the newest."""


class HealthSource(Protocol):
    """Who knows how the daemon is."""

    def alive(self) -> list[str]:
        """Why the event loop or the writer thread make no progress; empty when they do."""

    async def ready(self) -> list[str]:
        """Why the watcher does not see, store or deliver; empty when it does."""

    @property
    def pulses(self) -> Mapping[str, Pulse]:
        """How the sweeps of each account go, by its name."""

    @property
    def writes(self) -> bool:
        """Whether the newest write to the store went well."""


class Api:
    """The endpoints for programs. Answers are built in the store's reader thread: large ones don't hold up the loop."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        telemetry: PrometheusTelemetry,
        health: HealthSource,
        early_stopping: Callable[[], Configured],
    ) -> None:
        self._store, self._clock, self._telemetry, self._health = store, clock, telemetry, health
        self._early_stopping = early_stopping

    def routes(self) -> list[Route]:
        """Everything this part answers."""
        return [
            Route("/healthz", self.healthz, methods=["GET"]),
            Route("/readyz", self.readyz, methods=["GET"]),
            Route("/metrics", self.metrics, methods=["GET"]),
            Route("/api/v1/jobs", self.jobs, methods=["GET"]),
            Route("/api/v1/jobs/{job_id:path}", self.job, methods=["GET"]),
            Route("/api/v1/alerts", self.alerts, methods=["GET"]),
            Route("/api/v1/status", self.status, methods=["GET"]),
            Route("/api/v1/money", self.money, methods=["GET"]),
        ]

    async def healthz(self, _: Request) -> Response:
        return _probe(self._health.alive())

    async def readyz(self, _: Request) -> Response:
        return _probe(await self._health.ready())

    async def metrics(self, _: Request) -> Response:
        """Counters are told even when the store can't be read: that is when they are needed."""
        now, vitals = self._clock.now(), Vitals(pulses=self._health.pulses, writes=self._health.writes)
        try:
            body = await self._store.read(lambda reads: self._telemetry.exposition(vitals, read_gauges(reads, now)))
        except StoreError:
            body = self._telemetry.exposition(vitals, None)
        return Response(body, media_type=CONTENT_TYPE_LATEST)

    async def jobs(self, request: Request) -> Response:
        query.only(request)
        return json_answer(await self._store.read(lambda reads: dump({"jobs": job_views(reads)})))

    async def job(self, request: Request) -> Response:
        """One job. Where several accounts have the id, `?account=` must say which."""
        query.only(request, "account")
        job_id, account = request.path_params["job_id"], request.query_params.get("account")
        now = self._clock.now()

        def find(reads: Reads) -> Response:
            found = find_jobs(reads, job_id, account)
            if not found:
                return error_answer(404, "no such job")
            if len(found) > 1:
                text = "several accounts have a job of that id; choose one by ?account="
                return error_answer(409, text, accounts=[record.key.account for record in found])
            return json_answer(dump(whole_job(reads, found[0], now, self._early_stopping())))

        return await self._store.read(find)

    async def alerts(self, request: Request) -> Response:
        """Newest first. `?firing=1`, `?job=`, `?account=`, `?limit=` (1000 unless told otherwise)."""
        query = _alert_query(request)
        return json_answer(await self._store.read(lambda reads: dump({"alerts": alert_views(reads, query)})))

    async def status(self, request: Request) -> Response:
        query.only(request)
        now: datetime = self._clock.now()
        return json_answer(await self._store.read(lambda reads: dump(status_view(reads, now))))

    async def money(self, request: Request) -> Response:
        """What the jobs of a month cost. `?month=YYYY-MM` (the present one unless told otherwise), `?account=`."""
        now, month, account = self._clock.now(), _month(request), request.query_params.get("account")

        def find(reads: Reads) -> Response:
            try:
                return json_answer(dump(month_view(reads, now, month=month, account=account)))
            except ConfigError:
                return error_answer(404, "no such account")

        return await self._store.read(find)


def find_jobs(reads: Reads, job_id: str, account: str | None) -> list[JobRecord]:
    """The jobs of that id, of one account or of all."""
    return [record for record in reads.find_jobs(job_id) if account is None or record.key.account == account]


def whole_job(reads: Reads, record: JobRecord, now: datetime, early_stopping: Configured) -> dict[str, object]:
    """One job with its alerts, cancels, curve, checkpoints, money, what early stopping means for it, and its log."""
    key = record.key
    alerts = reads.alerts(AlertQuery(account=key.account, job_id=key.job_id, limit=query.MOST))
    seen = [observation for _, observation in reads.observations(key)]
    rows, log = rows_of(seen), events_of(seen)
    saved, knobs = stored_checkpoints(record, log, rows), early_stopping.get(record.selection)
    return job_view(record, alerts, reads.acks()) | {
        "money": money_view(reads, record, now),
        "proposals": [timed_view(proposal, now) for proposal in reads.proposals(key=key)],
        "curve": curve_view(reads, record),
        "checkpoints": [checkpoint_view(checkpoint, key.job_id) for checkpoint in saved],
        "going_on": going_on_view(record, saved, rows, unplaced=unplaced_in(log)),
        "early_stopping": early_stopping_view(record.snapshot, rows, log, knobs, now),
        "events": [event_view(event) for event in reversed(log[-MOST_EVENTS:])],
    }


def _probe(reasons: Sequence[str]) -> Response:
    return json_answer(dump({"reasons": list(reasons)}), 503 if reasons else 200)


def _month(request: Request) -> datetime | None:
    query.only(request, "month", "account")
    asked = request.query_params
    if "month" not in asked:
        return None
    found = _MONTH.fullmatch(asked["month"])
    if found is None:
        raise HTTPException(400, "month is a year and a month, such as 2026-11")
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


def _alert_query(request: Request) -> AlertQuery:
    query.only(request, "firing", "job", "account", "limit")
    asked, most = request.query_params, query.limit(request, _ALERTS)
    firing, account, job = query.flag(request, "firing"), asked.get("account"), asked.get("job")
    return AlertQuery(account=account, job_id=job, firing_only=firing, notices=not firing, limit=most)
