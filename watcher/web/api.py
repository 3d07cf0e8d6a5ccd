"""The JSON API under `/api/v1`, the probes, and `/metrics`."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.service.errors import ConfigError, StoreError
from watcher.service.money import money_view, month_view
from watcher.service.ports import Clock, Reads, Store
from watcher.service.records import AlertQuery, JobRecord, Pulse
from watcher.service.status import alert_views, job_view, job_views, status_view
from watcher.web.answers import dump, error_answer, json_answer
from watcher.web.telemetry import PrometheusTelemetry, Vitals, read_gauges

_YES_OR_NO = {"1": True, "true": True, "0": False, "false": False}
_COUNT = re.compile("[1-9][0-9]{0,4}", re.ASCII)
_MONTH = re.compile("([1-9][0-9]{3})-(0[1-9]|1[0-2])", re.ASCII)
_ALERTS, _MOST_ALERTS = 1000, 10_000


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

    def __init__(self, store: Store, clock: Clock, telemetry: PrometheusTelemetry, health: HealthSource) -> None:
        self._store, self._clock, self._telemetry, self._health = store, clock, telemetry, health

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

    async def jobs(self, _: Request) -> Response:
        return json_answer(await self._store.read(lambda reads: dump({"jobs": job_views(reads)})))

    async def job(self, request: Request) -> Response:
        """One job. Where several accounts have the id, `?account=` must say which."""
        job_id, account = request.path_params["job_id"], request.query_params.get("account")
        now = self._clock.now()

        def find(reads: Reads) -> Response:
            found = find_jobs(reads, job_id, account)
            if not found:
                return error_answer(404, "no such job")
            if len(found) > 1:
                text = "several accounts have a job of that id; choose one by ?account="
                return error_answer(409, text, accounts=[record.key.account for record in found])
            return json_answer(dump(whole_job(reads, found[0], now)))

        return await self._store.read(find)

    async def alerts(self, request: Request) -> Response:
        """Newest first. `?firing=1`, `?job=`, `?account=`, `?limit=` (1000 unless told otherwise)."""
        query = _alert_query(request)
        return json_answer(await self._store.read(lambda reads: dump({"alerts": alert_views(reads, query)})))

    async def status(self, _: Request) -> Response:
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


def whole_job(reads: Reads, record: JobRecord, now: datetime) -> dict[str, object]:
    """The view of one job with all its alerts and its money."""
    key = record.key
    alerts = reads.alerts(AlertQuery(account=key.account, job_id=key.job_id, limit=_MOST_ALERTS))
    return job_view(record, alerts, reads.acks()) | {"money": money_view(reads, record, now)}


def _probe(reasons: Sequence[str]) -> Response:
    return json_answer(dump({"reasons": list(reasons)}), 503 if reasons else 200)


def _month(request: Request) -> datetime | None:
    asked = request.query_params
    if set(asked) - {"month", "account"}:
        raise HTTPException(400, "known parameters are month and account")
    if "month" not in asked:
        return None
    found = _MONTH.fullmatch(asked["month"])
    if found is None:
        raise HTTPException(400, "month is a year and a month, such as 2026-11")
    return datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC)


def _alert_query(request: Request) -> AlertQuery:
    asked = request.query_params
    unknown = sorted(set(asked) - {"firing", "job", "account", "limit"})
    if unknown:
        raise HTTPException(400, "known parameters are firing, job, account and limit")
    firing = _YES_OR_NO.get(asked.get("firing", "0"))
    if firing is None:
        raise HTTPException(400, "firing is 1 or 0")
    limit = asked.get("limit", str(_ALERTS))
    if not _COUNT.fullmatch(limit) or int(limit) > _MOST_ALERTS:
        raise HTTPException(400, f"limit is a number from 1 to {_MOST_ALERTS}")
    return AlertQuery(account=asked.get("account"), job_id=asked.get("job"), firing_only=firing, limit=int(limit))
