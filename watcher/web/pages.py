"""The pages for people, rendered on the server from the read model; scripts only make them livelier."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from watcher.domain.chart import draw
from watcher.domain.verdicts import Severity
from watcher.service.earlyview import Configured
from watcher.service.ports import Clock, Reads, Receivers, Store
from watcher.service.records import AlertQuery, JobRecord
from watcher.web.alertlist import alert_page, alert_story
from watcher.web.answers import dump, json_answer
from watcher.web.api import HealthSource, find_jobs
from watcher.web.curve import chart_of_job, curve_view
from watcher.web.front import PAGE_HEADERS
from watcher.web.jobdetail import whole_job
from watcher.web.joblist import MANY, job_row, overview
from watcher.web.own import own_page
from watcher.web.proposals import open_proposals, proposal_page
from watcher.web.rendering import environment
from watcher.web.session import session_of, writable
from watcher.web.telling import receiver_page, silence_page

_HERE = Path(__file__).parent
_NO_JOB = "No such job"
_PAGES = {
    "/": "Jobs",
    "/alerts": "Alerts",
    "/proposals": "Proposals",
    "/silences": "Silences",
    "/receivers": "Receivers",
    "/watcher": "Watcher",
}

Json = dict[str, Any]


class Pages:
    """The endpoints for people. Pages are rendered in the store's reader thread."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        health: HealthSource,
        *,
        receivers: Callable[[], Receivers],
        early_stopping: Callable[[], Configured],
    ) -> None:
        self._store, self._clock, self._health = store, clock, health
        self._receivers, self._early_stopping = receivers, early_stopping
        self._env = environment()

    def routes(self) -> list[Route | Mount]:
        """Everything this part answers."""
        return [
            Route("/", self.jobs, methods=["GET"]),
            Route("/jobs/{job_id:path}/curve.json", self.curve, methods=["GET"]),
            Route("/jobs/{job_id:path}/curve.svg", self.drawing, methods=["GET"]),
            Route("/jobs/{job_id:path}", self.job, methods=["GET"]),
            Route("/alerts", self.alerts, methods=["GET"]),
            Route("/alerts/{alert_id}", self.alert, methods=["GET"]),
            Route("/proposals", self.proposals, methods=["GET"]),
            Route("/silences", self.silences, methods=["GET"]),
            Route("/receivers", self.receivers, methods=["GET"]),
            Route("/watcher", self.itself, methods=["GET"]),
            Mount("/static", _Static(directory=_HERE / "static")),
        ]

    async def jobs(self, request: Request) -> Response:
        return await self._page(request, lambda reads, now: ("jobs.html", overview(reads, now)))

    async def job(self, request: Request) -> Response:
        """One job; where several accounts have the id and none is chosen, a list to choose from."""
        job_id, account = request.path_params["job_id"], request.query_params.get("account")

        def gather(reads: Reads, now: datetime) -> tuple[str, Json]:
            found = find_jobs(reads, job_id, account)
            if not found:
                raise HTTPException(404, _NO_JOB)
            if len(found) > 1:
                return "choose.html", {"job_id": job_id, "jobs": [job_row(record, [], now) for record in found]}
            return "job.html", whole_job(reads, found[0], now, self._early_stopping(), self._scheme)

        return await self._page(request, gather)

    async def curve(self, request: Request) -> Response:
        """The rows of a job for its curve; `?from=` and `?to=` name steps between which more of them are wanted."""
        window = _window(request)
        found = await self._store.read(lambda reads: dump(curve_view(reads, _one_job(reads, request), *window)))
        return json_answer(found)

    async def drawing(self, request: Request) -> Response:
        """The curve as the messages show it, where no script runs."""
        chart = await self._store.read(lambda reads: chart_of_job(reads, _one_job(reads, request)))
        return Response(await asyncio.to_thread(draw, chart), media_type="image/svg+xml")

    async def alerts(self, request: Request) -> Response:
        return await self._page(request, lambda reads, now: ("alerts.html", alert_page(reads, now)))

    async def alert(self, request: Request) -> Response:
        """The story of one alert."""
        alert_id = request.path_params["alert_id"]

        def gather(reads: Reads, now: datetime) -> tuple[str, Json]:
            alert = reads.alert(alert_id)
            if alert is None:
                raise HTTPException(404, "No such alert")
            return "alert.html", alert_story(reads, alert, now, self._scheme)

        return await self._page(request, gather)

    async def proposals(self, request: Request) -> Response:
        return await self._page(request, lambda reads, now: ("proposals.html", proposal_page(reads, now)))

    async def silences(self, request: Request) -> Response:
        """Silences; `?matchers=` stands in the form already."""
        asked = request.query_params.get("matchers", "")
        return await self._page(
            request, lambda reads, now: ("silences.html", silence_page(reads, now) | {"asked": asked})
        )

    async def receivers(self, request: Request) -> Response:
        receivers = self._receivers()
        return await self._page(request, lambda reads, now: ("receivers.html", receiver_page(reads, now, receivers)))

    async def itself(self, request: Request) -> Response:
        """How the watcher is."""
        pulses = self._health.pulses
        return await self._page(request, lambda reads, now: ("watcher.html", own_page(reads, now, pulses)))

    def error(self, status: int, title: str, text: str) -> Response:
        """A page that says what went wrong."""
        around = {"nav": navigation("", {})}
        return _answer(
            self._render("error.html", self._clock.now(), status=status, title=title, text=text, **around), status
        )

    def _scheme(self, target: str) -> str:
        """What kind of service a target is; empty for one that the configuration has no more."""
        found = self._receivers().target(target)
        return found.scheme if found is not None else ""

    async def _page(self, request: Request, gather: Callable[[Reads, datetime], tuple[str, Json]]) -> Response:
        """A page over what was gathered in one consistent read."""
        now, reasons = self._clock.now(), await self._health.ready()
        path, session, login = request.scope["path"], session_of(request), writable(request)
        query = request.url.query
        here = f"{quote(path)}?{query}" if query else quote(path)

        def render(reads: Reads) -> str:
            name, values = gather(reads, now)
            around = {
                "reasons": reasons,
                "here": here,
                "session": session,
                "login": login,
                "nav": navigation(path, _counts(reads, now, reasons)),
            }
            return self._render(name, now, **around, **values)

        return _answer(await self._store.read(render))

    def _render(self, name: str, now: datetime, **values: Any) -> str:  # noqa: ANN401 - what templates take
        return self._env.get_template(name).render(now=now, **values)


class _Static(StaticFiles):
    """Assets of this version: a browser keeps them and asks whether they are still the same."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def _answer(html: str, status: int = 200) -> Response:
    return HTMLResponse(html, status, PAGE_HEADERS)


def _one_job(reads: Reads, request: Request) -> JobRecord:
    found = find_jobs(reads, request.path_params["job_id"], request.query_params.get("account"))
    if len(found) != 1:
        raise HTTPException(404, _NO_JOB)
    return found[0]


def _window(request: Request) -> tuple[float, float]:
    try:
        begin, end = (
            float(request.query_params.get(name, default)) for name, default in (("from", "-inf"), ("to", "inf"))
        )
    except ValueError:
        raise HTTPException(400, "from and to are steps") from None
    return begin, end


def _counts(reads: Reads, now: datetime, reasons: Sequence[str]) -> dict[str, tuple[int, str]]:
    """What the navigation says of each page: a number, and how urgent it is."""
    firing = reads.alerts(AlertQuery(firing_only=True, notices=False, limit=MANY))
    critical = any(alert.severity is Severity.CRITICAL for alert in firing)
    return {
        "/alerts": (len(firing), "bad" if critical else "warn"),
        "/proposals": (len(open_proposals(reads, now, {})), "warn"),
        "/silences": (sum(silence.holds(now) for silence in reads.silences(now)), ""),
        "/receivers": (reads.outbox_counts(now).dead, "bad"),
        "/watcher": (len(reasons), "bad"),
    }


def navigation(path: str, counts: Mapping[str, tuple[int, str]]) -> list[Json]:
    """The pages by name, with what is to be seen on each."""
    return [
        {
            "href": href,
            "name": name,
            "here": path == href or path.startswith("/jobs/" if href == "/" else f"{href}/"),
            "count": counts.get(href, (0, ""))[0],
            "tone": counts.get(href, (0, ""))[1],
        }
        for href, name in _PAGES.items()
    ]
