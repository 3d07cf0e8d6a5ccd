"""The application: every route, and how errors are told."""

from collections.abc import Sequence

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from watcher.service.errors import StoreError
from watcher.service.ports import Clock, Store
from watcher.web.answers import error_answer
from watcher.web.api import Api, HealthSource
from watcher.web.front import Front
from watcher.web.pages import Pages
from watcher.web.telemetry import PrometheusTelemetry

log = structlog.get_logger(__name__)

_BLIND = "The store can't be read now; the log of the watcher says why."


def build_app(
    *,
    store: Store,
    clock: Clock,
    telemetry: PrometheusTelemetry,
    health: HealthSource,
    more: Sequence[BaseRoute] = (),
) -> Starlette:
    """The application over a store that it only reads.

    Args:
        store: where jobs and alerts are read.
        clock: the time of the answers.
        telemetry: what `/metrics` tells beside the store.
        health: who answers the probes.
        more: routes of other parts, such as the page behind veto links.
    """
    api, pages = Api(store, clock, telemetry, health), Pages(store, clock, health)

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
        routes=[*api.routes(), *pages.routes(), *more],
        middleware=[Middleware(Front)],
        exception_handlers={HTTPException: refused, StoreError: blind},
    )
    # A redirect would be built from the Host that the client sent.
    app.router.redirect_slashes = False
    return app


_HINTS = {404: "There is no page at this address.", 405: "This server only shows; it takes no orders."}


def _for_people(request: Request) -> bool:
    path: str = request.scope["path"]
    return not path.startswith(("/api/", "/healthz", "/readyz", "/metrics"))
