"""The HTTP face of the simulated service: its routes, its refusals, and the key that every request needs."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from watcher.simulator import answers, catalogue
from watcher.simulator.job import Job
from watcher.simulator.projects import whoami
from watcher.simulator.rows import MetricsQuery
from watcher.simulator.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]
JobEndpoint = Callable[[Request, Job], Response]

TOOK_EFFECT = "watcher.took_effect"  #: key in the ASGI scope: whether a cancel changed its job
PROJECT = "watcher.project"  #: key in the ASGI scope: whose jobs are seen

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def build_api(service: Service) -> ASGIApp:
    """The API over `service`, without faults and log."""
    api = _Api(service)
    one = "/v1/fine-tunes/{id}"
    app = Starlette(
        routes=[
            Route("/v1/fine-tunes", api.list_jobs, methods=["GET"]),
            Route("/v1/fine-tunes", api.create, methods=["POST"]),
            Route("/v1/fine-tunes/estimate-price", api.estimate, methods=["POST"]),
            Route("/v1/fine-tunes/models/limits", api.limits, methods=["GET"]),
            Route(one, api.of_job(api.retrieve), methods=["GET"]),
            Route(one, api.of_job(api.delete), methods=["DELETE"]),
            Route(f"{one}/events", api.of_job(api.events), methods=["GET"]),
            Route(f"{one}/metrics", api.of_job(api.metrics), methods=["GET"]),
            Route(f"{one}/checkpoints", api.of_job(api.checkpoints), methods=["GET"]),
            Route(f"{one}/cancel", api.of_job(api.cancel), methods=["POST"]),
            Route("/v1/finetune/download", api.download, methods=["GET"]),
            Route("/v1/projects", api.projects, methods=["GET"]),
            Route("/v1/whoami", api.whoami, methods=["GET"]),
            Route("/v3/whoami", api.whoami, methods=["GET"]),
        ],
        exception_handlers={HTTPException: _http_error},
    )
    return _KeyRequired(app, service)


class _KeyRequired:
    """Refuses requests without a key; the first one with a key starts the simulation."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        scheme, _, key = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        project = self._service.project_of(key.strip())
        if scheme.lower() != "bearer" or not key.strip() or project is None:
            await _refusal(401, "Invalid API key provided", code="invalid_api_key")(scope, receive, send)
            return
        self._service.start()
        scope[PROJECT] = project
        await self._app(scope, receive, send)


class _Api:
    def __init__(self, service: Service) -> None:
        self._service = service

    def of_job(self, endpoint: JobEndpoint) -> Endpoint:
        """An endpoint that is given the job of its path, or answers that there is none."""

        async def found(request: Request) -> Response:
            job = self._service.job(request.path_params["id"], request.scope[PROJECT])
            return _no_job(request.path_params["id"]) if job is None else endpoint(request, job)

        return found

    async def list_jobs(self, request: Request) -> Response:
        now = self._service.now_ns()
        return _json({"data": [answers.truncated(job, now) for job in self._service.jobs(request.scope[PROJECT])]})

    async def create(self, request: Request) -> Response:
        """Make a job; `training_file` is the id of the run that it follows."""
        wanted = await _body(request)
        if wanted is None:
            return _refusal(400, "The body is not a JSON object")
        run_id = str(wanted.get("training_file", "")).removeprefix("file-")
        try:
            job = self._service.create(run_id, wanted)
        except (ValueError, TypeError) as exc:
            return _refusal(400, str(exc))
        if job is None:
            return _refusal(400, f"There is no training file {run_id!r}: name one of the served runs")
        return _json(answers.truncated(job, self._service.now_ns()))

    def retrieve(self, _: Request, job: Job) -> Response:
        return _json(answers.full(job, self._service.now_ns()))

    def events(self, _: Request, job: Job) -> Response:
        return _json({"data": answers.events(job, job.at(self._service.now_ns()))})

    def metrics(self, request: Request, job: Job) -> Response:
        try:
            query = _metrics_query(request)
        except ValueError as exc:
            return _refusal(400, f"Invalid query: {exc}")
        count = job.at(self._service.now_ns()).rows
        rows = job.script.rows.json(count, query, job.born_ns)
        return Response(f'{{"metrics": {rows}}}', media_type="application/json")

    def checkpoints(self, _: Request, job: Job) -> Response:
        return _json({"data": answers.checkpoints(job, self._service.now_ns())})

    def cancel(self, request: Request, job: Job) -> Response:
        accepted = self._service.cancel(job)
        request.scope[TOOK_EFFECT] = accepted
        now = self._service.now_ns()
        if not accepted:
            return _refusal(400, f"Job {job.id} is {job.at(now).status} and cannot be cancelled")
        return _json(answers.truncated(job, now))

    def delete(self, _: Request, job: Job) -> Response:
        self._service.delete(job)
        return _json({"message": "Fine-tune job deleted"})

    async def estimate(self, request: Request) -> Response:
        wanted = await _body(request)
        if not wanted or not wanted.get("training_file"):
            return _refusal(400, "training_file is required")
        return _json(catalogue.estimate(wanted))

    async def limits(self, request: Request) -> Response:
        name = request.query_params.get("model_name", "")
        known = {answers.DEFAULT_MODEL, *(job.fields["model"] for job in self._service.jobs())}
        if name not in known and self._service.named(name) is None:
            # Documented as the one refusal without the `error` wrapper.
            return _json({"message": "model not available for fine-tuning"}, 404)
        return _json(catalogue.limits(name))

    async def download(self, request: Request) -> Response:
        job_id = request.query_params.get("ft_id", "")
        job = self._service.job(job_id, request.scope[PROJECT])
        if job is None:
            return _no_job(job_id)
        wanted = request.query_params.get("checkpoint_step")
        steps = {str(saved["step"]) for saved in answers.checkpoints(job, self._service.now_ns())}
        finished = job.at(self._service.now_ns()).status == "completed"
        if not (finished if wanted is None else wanted in steps):
            return _refusal(400, f"Job {job_id} has no such checkpoint")
        step = wanted or answers.shipped_step(job)
        return Response(f"simulated checkpoint of {job_id} at step {step}\n", media_type="application/octet-stream")

    async def projects(self, _: Request) -> Response:
        return _json(catalogue.PROJECTS)

    async def whoami(self, request: Request) -> Response:
        return _json(whoami(request.scope[PROJECT]))


def _metrics_query(request: Request) -> MetricsQuery:
    given = request.query_params
    ints = {key: int(given[key]) for key in ("global_step_from", "global_step_to", "resolution") if key in given}
    times = {key: _unix_ns(given[key]) for key in ("logged_at_from", "logged_at_to") if key in given}
    return MetricsQuery(
        step_from=ints.get("global_step_from"),
        step_to=ints.get("global_step_to"),
        ns_from=times.get("logged_at_from"),
        ns_to=times.get("logged_at_to"),
        resolution=ints.get("resolution"),
    )


def _unix_ns(text: str) -> int:
    """An ISO-8601 time in exact nanoseconds; one without a zone is read as UTC, which is a guess."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


async def _body(request: Request) -> dict[str, Any] | None:
    try:
        body = json.loads(await request.body())
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _json(content: object, status: int = 200) -> Response:
    # The standard encoder writes NaN and infinities as bare tokens: a trap that is meant.
    return Response(json.dumps(content), status, media_type="application/json")


def _refusal(status: int, message: str, code: str | None = None) -> Response:
    return _json(answers.error(message, code=code), status)


def _no_job(job_id: str) -> Response:
    return _refusal(404, f"Fine-tune job {job_id} not found", code="not_found")


async def _http_error(_: Request, exc: Exception) -> Response:
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    return _refusal(status, exc.detail if isinstance(exc, HTTPException) else "Internal server error")
