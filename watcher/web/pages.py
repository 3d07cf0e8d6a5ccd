"""The page of all jobs and the page of one, rendered on the server from the read model."""

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from watcher.domain.alerts import Alert, AlertState
from watcher.domain.phrasing import clock, number, steps
from watcher.service.book import unpacked
from watcher.service.money import money_view
from watcher.service.ports import Clock, Reads, Store
from watcher.service.records import Ack, AlertQuery, JobKey, JobRecord
from watcher.service.status import alert_view, job_view, proposal_view, status_view
from watcher.web.api import HealthSource, find_jobs
from watcher.web.show import Spark, ago, from_blocks, job_href, left, percent, price, shown

MOST_JOBS, MOST_ALERTS = 500, 50
"""More are counted, not listed."""

REFRESH_SECONDS = 15
_MANY = 100_000
_HERE = Path(__file__).parent

Json = dict[str, Any]


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(number=number, clock=clock)
    env.globals.update(refresh=REFRESH_SECONDS)
    return env


class Pages:
    """The endpoints for people. Pages are rendered in the store's reader thread."""

    def __init__(self, store: Store, clock: Clock, health: HealthSource) -> None:
        self._store, self._clock, self._health = store, clock, health
        self._env = _environment()

    def routes(self) -> list[Route | Mount]:
        """Everything this part answers."""
        return [
            Route("/", self.jobs, methods=["GET"]),
            Route("/jobs/{job_id:path}", self.job, methods=["GET"]),
            Mount("/static", StaticFiles(directory=_HERE / "static")),
        ]

    async def jobs(self, _: Request) -> Response:
        now, reasons = self._clock.now(), await self._health.ready()

        def render(reads: Reads) -> str:
            return self._render("jobs.html", now, reasons=reasons, **_overview(reads, now))

        return HTMLResponse(await self._store.read(render))

    async def job(self, request: Request) -> Response:
        """One job; where several accounts have the id and none is chosen, a list to choose from."""
        now, job_id = self._clock.now(), request.path_params["job_id"]
        account = request.query_params.get("account")

        def render(reads: Reads) -> tuple[str, int]:
            found = find_jobs(reads, job_id, account)
            if not found:
                return self._error(now, 404, "No such job", "No watched job has this id."), 404
            if len(found) > 1:
                jobs = [_row(record, [], now) for record in found]
                return self._render("choose.html", now, job_id=job_id, jobs=jobs), 200
            return self._render("job.html", now, **_whole(reads, found[0], now)), 200

        return HTMLResponse(*await self._store.read(render))

    def error(self, status: int, title: str, text: str) -> Response:
        """A page that says what went wrong."""
        return HTMLResponse(self._error(self._clock.now(), status, title, text), status)

    def _error(self, now: datetime, status: int, title: str, text: str) -> str:
        return self._render("error.html", now, status=status, title=title, text=text)

    def _render(self, name: str, now: datetime, **values: Any) -> str:  # noqa: ANN401 - what templates take
        return self._env.get_template(name).render(now=now, **values)


def _overview(reads: Reads, now: datetime) -> Json:
    records, acks = reads.jobs(), reads.acks()
    firing = reads.alerts(AlertQuery(firing_only=True, limit=_MANY))
    urgent = sorted((a for a in firing if not a.notice), key=lambda a: a.severity.rank, reverse=True)
    by_job: dict[JobKey, list[Alert]] = {}
    for alert in urgent:
        by_job.setdefault(JobKey(alert.subject.account, alert.subject.job_id), []).append(alert)
    ordered = sorted(records, key=lambda record: _rank(record, by_job.get(record.key, [])))
    labels = {record.key: record.snapshot.suffix or record.key.job_id for record in records}
    return {
        "status": status_view(reads, now),
        "firing": [_alert(alert, now, acks, labels) for alert in urgent[:MOST_ALERTS]],
        "more_firing": max(0, len(urgent) - MOST_ALERTS),
        "jobs": [_row(record, by_job.get(record.key, []), now) for record in ordered[:MOST_JOBS]],
        "more_jobs": max(0, len(records) - MOST_JOBS),
    }


def _rank(record: JobRecord, firing: Sequence[Alert]) -> tuple[bool, int]:
    """Jobs that still cost money first, the worst of them on top; newest first among equals, as they come."""
    return record.snapshot.status.terminal, -max((alert.severity.rank + 1 for alert in firing), default=0)


def _row(record: JobRecord, firing: Iterable[Alert], now: datetime) -> Json:
    """What the list shows of a job, and its page above the fold."""
    job, view = record.snapshot, job_view(record, firing)
    return view | {
        "label": job.suffix or record.key.job_id,
        "href": job_href(record.key.account, record.key.job_id),
        "percent": percent(view["progress"]),
        "steps": steps(view["step"], job.total_steps),
        "spark": from_blocks(view["sparkline"]),
        "price": price(job.total_price_nano),
        "left": "" if job.status.terminal else left(job.started_at, job.eta_seconds, now),
        "since": ago(record.ended_at or job.created_at or record.first_seen_at, now),
        "over": job.status.terminal,
    }


def _alert(alert: Alert, now: datetime, acks: Mapping[str, Ack], labels: dict[JobKey, str] | None = None) -> Json:
    subject = alert.subject
    key = JobKey(subject.account, subject.job_id)
    return alert_view(alert, acks.get(alert.id)) | {
        "about": (labels or {}).get(key, subject.name),
        "href": job_href(subject.account, subject.job_id) if subject.job_id else "",
        "about_account": bool(subject.account) and not subject.job_id,
        "firing": alert.state is AlertState.FIRING,
        "since": alert.starts_at,
        "since_ago": ago(alert.starts_at, now),
        "until_ago": ago(alert.ends_at, now),
        "evidence": alert.evidence,
    }


def _whole(reads: Reads, record: JobRecord, now: datetime) -> Json:
    key = record.key
    # The list makes do with the line of the messages; here there is room for all that is kept of the curve.
    curve = unpacked(record).curve.values()
    finite = [value for value in curve if value is not None and math.isfinite(value)]
    alerts, acks = reads.alerts(AlertQuery(account=key.account, job_id=key.job_id)), reads.acks()
    money = money_view(reads, record, now)["rows"]
    return {
        "job": _row(record, (), now),
        "alerts": [_alert(alert, now, acks) for alert in alerts],
        "proposals": [proposal_view(p) | {"ago": ago(p.proposed_at, now)} for p in reads.proposals(key=key)],
        "facts": [(label, value) for label, value in (*_facts(record), *money) if value not in (None, "")],
        "curve": Spark(curve),
        "low": min(finite, default=None),
        "high": max(finite, default=None),
    }


def _facts(record: JobRecord) -> list[tuple[str, Any]]:
    job = record.snapshot
    moments = (
        ("created", job.created_at),
        ("first seen", record.first_seen_at),
        ("ended", record.ended_at),
        ("last change seen", record.updated_at),
    )
    return [
        ("id", record.key.job_id),
        ("account", record.key.account),
        ("watched as", record.selection),
        ("model", job.model),
        ("output name", job.output_name),
        ("method", job.method),
        ("training type", job.training_type),
        ("epochs", job.n_epochs),
        ("batch size", job.batch_size),
        ("learning rate", None if job.learning_rate is None else number(job.learning_rate)),
        ("from checkpoint", job.from_checkpoint),
        *((label, None if moment is None else clock(moment)) for label, moment in moments),
        ("auto-cancel", "never: vetoed" if record.keep else None),
    ]
