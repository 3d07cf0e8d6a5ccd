"""The application: every route, and how errors are told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from watcher.service.earlyview import Configured
from watcher.service.errors import StoreError
from watcher.service.ports import Clock, Receivers, Store
from watcher.web import query
from watcher.web.acts import Acts
from watcher.web.answers import dump, error_answer, json_answer
from watcher.web.api import Api, HealthSource
from watcher.web.desk import Desk, Handler
from watcher.web.events import Changes
from watcher.web.front import Front
from watcher.web.listings import Listings
from watcher.web.login import LoginPages
from watcher.web.orders import Orders
from watcher.web.pages import Pages
from watcher.web.session import Sessions
from watcher.web.telemetry import PrometheusTelemetry
from watcher.web.throttle import Throttle

log = structlog.get_logger(__name__)

_BLIND = "The store can't be read now; the log of the watcher says why."


def build_app(
    *,
    store: Store,
    clock: Clock,
    telemetry: PrometheusTelemetry,
    health: HealthSource,
    sessions: Sessions | None = None,
    handlers: Mapping[str, Handler] | None = None,
    changes: Changes | None = None,
    receivers: Callable[[], Receivers],
    early_stopping: Callable[[], Configured] = dict,
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application. It reads the store by itself, and changes something by `handlers` alone.

    Args:
        store: where jobs and alerts are read.
        clock: the time of the answers.
        telemetry: what `/metrics` tells beside the store.
        health: who answers the probes.
        sessions: who may give orders; nobody without it.
        handlers: who carries out orders, by name, as the control socket has them.
        changes: who tells pages to look again.
        receivers: those of the present configuration.
        early_stopping: what the present configuration says of each selection's jobs.
        more: routes of other parts, such as the page behind veto links.
    """
    sessions, throttle = sessions or Sessions(clock), Throttle(clock, telemetry.login)
    desk = Desk(store, handlers or {})
    changes = changes or Changes(clock)
    api = Api(store, clock, telemetry, health, early_stopping)
    pages = Pages(store, clock, health, receivers=receivers, early_stopping=early_stopping)

    def own() -> dict[str, Any]:
        return {"orders": sessions.enabled, "streams": changes.streams, "failed_logins": throttle.failures}

    listings = Listings(store, clock, health, receivers, own)
    orders = Orders(desk, sessions, throttle)
    parts = (LoginPages(sessions, throttle, store), Acts(desk), orders, changes, listings, api, pages)

    async def refused(request: Request, error: Exception) -> Response:
        status, text = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "Failed")
        answer = (
            pages.error(status, text, _HINTS.get(status, "")) if _for_people(request) else error_answer(status, text)
        )
        if isinstance(error, HTTPException):
            answer.headers.update(error.headers or {})
        return answer

    async def blind(request: Request, error: Exception) -> Response:
        log.error("web.store_unreadable", reason=str(error))
        return pages.error(503, "I can't see", _BLIND) if _for_people(request) else error_answer(503, _BLIND)

    app = Starlette(
        routes=[*(route for part in parts for route in part.routes()), _OPENAPI, *more],
        middleware=[Middleware(Front)],
        exception_handlers={HTTPException: refused, StoreError: blind},
    )
    app.state.sessions = sessions
    # A redirect would be built from the Host that the client sent.
    app.router.redirect_slashes = False
    return app


async def _openapi(request: Request) -> Response:
    """The OpenAPI document, the same at every time."""
    from watcher.web import openapi  # noqa: PLC0415 - its models take 20 ms to make: no start should wait for them

    query.only(request)
    return json_answer(dump(openapi.document()))


_OPENAPI = Route("/api/v1/openapi.json", _openapi, methods=["GET"])
_HINTS = {404: "There is nothing at this address, or not any more.", 405: "This address takes no such request."}


def _for_people(request: Request) -> bool:
    path: str = request.scope["path"]
    return not path.startswith(("/api/", "/healthz", "/readyz", "/metrics"))
