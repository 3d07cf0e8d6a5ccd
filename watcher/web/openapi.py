"""The OpenAPI document of everything for programs, made of the models of orders and answers.

A test compares its paths and methods with the routes, both ways, and holds real answers to its schemas.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from watcher import __version__
from watcher.service.records import ProposalState
from watcher.web import asked, jobmodels, models, query
from watcher.web.orders import NAME_HEADER

Json = dict[str, Any]
_REF = "#/components/schemas/{model}"
_STRING: Json = {"type": "string"}
_LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": query.MOST}
_FLAG: Json = {"type": "string", "enum": ["0", "1", "false", "true"]}
_OF_JOB: Mapping[str, Json] = {"job": _STRING, "account": _STRING}
_DESCRIPTION = (
    "Reading needs no token. Orders need the setting web.token, sent as `Authorization: Bearer`. Answers are JSON in "
    'UTF-8, but for /metrics and /events; an error is {"error": text}.'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one path. `refusals` are the statuses beside success, each answered with an error."""

    path: str
    summary: str
    answer: type[BaseModel] | None = None
    method: str = "get"
    asks: Mapping[str, Json] | None = None
    body: type[asked.Order] | None = None
    refusals: Mapping[int, str] | None = None
    also: Mapping[int, type[BaseModel]] | None = None
    media: str = "application/json"


_REFUSED = {400: "the request can't be meant"}
_BLIND = {503: "the store can't be read"}
_NOT_FOUND = {404: "there is no such thing"}
_ORDERED = {
    401: "no token, or a wrong one",
    403: "no token is configured",
    408: "the body took too long",
    413: "the body is too long",
    415: "the body is no JSON by its type",
    429: "too many wrong tokens",
}


def _read(path: str, summary: str, answer: type[BaseModel], **more: Any) -> Endpoint:  # noqa: ANN401 - of Endpoint
    refusals = _REFUSED | _BLIND | more.pop("refusals", {})
    return Endpoint(path=path, summary=summary, answer=answer, refusals=refusals, **more)


def _order(path: str, summary: str, body: type[asked.Order], answer: type[BaseModel], **more: Any) -> Endpoint:  # noqa: ANN401
    refusals = _REFUSED | _BLIND | _ORDERED | more.pop("refusals", {})
    method = more.pop("method", "post")
    return Endpoint(path=path, summary=summary, body=body, answer=answer, method=method, refusals=refusals, **more)


_AMBIGUOUS = {409: "several accounts have a job of that id"}
ENDPOINTS: Sequence[Endpoint] = (
    _read("/api/v1/jobs", "Every watched job.", jobmodels.Jobs),
    _read(
        "/api/v1/jobs/{job_id}",
        "One job whole; where several accounts have the id, `account` must say which.",
        jobmodels.WholeJob,
        asks={"account": _STRING},
        refusals=_NOT_FOUND | _AMBIGUOUS,
    ),
    _read(
        "/api/v1/alerts",
        "Alerts, newest first; 1000 unless `limit` says otherwise.",
        models.Alerts,
        asks={"firing": _FLAG, **_OF_JOB, "limit": _LIMIT},
    ),
    _read("/api/v1/alerts/{id}", "One alert with history and deliveries.", models.AlertStory, refusals=_NOT_FOUND),
    _read(
        "/api/v1/proposals",
        "Cancels with their countdown, newest first; 200 unless `limit` says otherwise.",
        models.Proposals,
        asks={"state": {"type": "string", "enum": [*ProposalState]}, **_OF_JOB, "limit": _LIMIT},
    ),
    _read(
        "/api/v1/silences",
        "Silences that are not over, or with `past` all; 200 unless `limit` says otherwise.",
        models.Silences,
        asks={"past": _FLAG, "limit": _LIMIT},
    ),
    _read("/api/v1/receivers", "Receivers, with the last result of each target.", models.Receivers),
    _read(
        "/api/v1/audit",
        "What people did, newest first; 200 unless `limit` says otherwise.",
        models.Audits,
        asks={**_OF_JOB, "limit": _LIMIT},
    ),
    _read("/api/v1/status", "The watcher as a whole.", jobmodels.Status),
    _read("/api/v1/health", "How the watcher itself is.", jobmodels.Health),
    _read(
        "/api/v1/money",
        "What the jobs of a month cost; the present one unless `month` says otherwise.",
        jobmodels.Money,
        asks={"month": {"type": "string", "pattern": "^[1-9][0-9]{3}-(0[1-9]|1[0-2])$"}, "account": _STRING},
        refusals=_NOT_FOUND,
    ),
    _order(
        "/api/v1/alerts/{id}/ack",
        "Take care of an alert: it is not repeated or escalated any more.",
        asked.AckOrder,
        models.Acknowledged,
        refusals=_NOT_FOUND | {409: "the alert is over"},
    ),
    _order("/api/v1/silences", "Hold alerts back for a while.", asked.SilenceOrder, models.Silence),
    _order(
        "/api/v1/silences/{id}",
        "End a silence now.",
        asked.EndOrder,
        models.Silence,
        method="delete",
        refusals=_NOT_FOUND,
    ),
    _order(
        "/api/v1/proposals/{id}/veto",
        "No: the cancel is off, and the watcher never cancels the job.",
        asked.WordOrder,
        models.Said,
        refusals=_NOT_FOUND,
        also={409: models.Said},
    ),
    _order(
        "/api/v1/proposals/{id}/approve",
        "Cancel without the rest of the window, as soon as every other guard agrees.",
        asked.WordOrder,
        models.Said,
        refusals=_NOT_FOUND,
        also={409: models.Said},
    ),
    _order(
        "/api/v1/drill",
        "Send a marked message through the whole path, and say what each target answered.",
        asked.DrillOrder,
        models.Drill,
        refusals=_NOT_FOUND,
    ),
    Endpoint(path="/api/v1/openapi.json", summary="This document.", answer=None),
    Endpoint(
        path="/healthz",
        summary="Whether the process makes progress.",
        answer=jobmodels.Probe,
        also={503: jobmodels.Probe},
    ),
    Endpoint(
        path="/readyz", summary="Whether it sees and delivers.", answer=jobmodels.Probe, also={503: jobmodels.Probe}
    ),
    Endpoint(path="/metrics", summary="Prometheus metrics.", media="text/plain"),
    Endpoint(
        path="/events",
        summary="Server-sent events: `changed` with `at` and `topics`, at most one a second.",
        media="text/event-stream",
        refusals={403: "another site asks", 503: "too many listen already"},
    ),
)


@functools.cache
def document() -> Json:
    """The whole document."""
    used = sorted({model for endpoint in ENDPOINTS for model in _models(endpoint)}, key=lambda model: model.__name__)
    _, schemas = models_json_schema([(model, _mode(model)) for model in used], ref_template=_REF)
    paths: dict[str, Json] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "watcher", "version": __version__, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _models(endpoint: Endpoint) -> set[type[BaseModel]]:
    found = {endpoint.answer, endpoint.body, *(endpoint.also or {}).values(), models.Failed}
    return {model for model in found if model is not None}


def _mode(model: type[BaseModel]) -> Any:  # noqa: ANN401 - a word of pydantic's
    return "validation" if issubclass(model, asked.Order) else "serialization"


def _operation(endpoint: Endpoint) -> Json:
    statuses = {200: "done" if endpoint.body else "what was asked for", **(endpoint.refusals or {})}
    answers = {status: _answer(endpoint, status, text) for status, text in statuses.items()}
    for status, model in (endpoint.also or {}).items():
        answers[status] = {"description": "nothing was changed or all is not well", "content": _content(model)}
    operation: Json = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method} {endpoint.path}",
        "parameters": _parameters(endpoint),
        "responses": {str(status): answers[status] for status in sorted(answers)},
    }
    if endpoint.body is not None:
        operation["requestBody"] = {"content": _content(endpoint.body)}
        operation["security"] = [{"token": []}]
    return operation


def _answer(endpoint: Endpoint, status: int, text: str) -> Json:
    if status != 200:  # noqa: PLR2004 - the one success
        # Errors of what people see too come as pages.
        return {"description": text, "content": _content(models.Failed)} if _is_api(endpoint) else {"description": text}
    if endpoint.answer is not None:
        return {"description": text, "content": _content(endpoint.answer)}
    return {"description": text, "content": {endpoint.media: {}}}


def _is_api(endpoint: Endpoint) -> bool:
    return endpoint.path.startswith("/api/")


def _content(model: type[BaseModel]) -> Json:
    return {"application/json": {"schema": {"$ref": _REF.format(model=model.__name__)}}}


def _parameters(endpoint: Endpoint) -> list[Json]:
    in_path = [part[1:-1] for part in endpoint.path.split("/") if part.startswith("{")]
    found: list[Json] = [{"name": name, "in": "path", "required": True, "schema": _STRING} for name in in_path]
    found += [{"name": name, "in": "query", "schema": schema} for name, schema in (endpoint.asks or {}).items()]
    if endpoint.body is not None:
        about = "Who gives the order, where the body does not say it in `name`."
        found.append({"name": NAME_HEADER, "in": "header", "schema": _STRING, "description": about})
    return found
