"""The application: every route, and how errors are told."""

import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response

from watcher.service.errors import StoreError
from watcher.service.ports import Clock, Store
from watcher.web.answers import error_answer
from watcher.web.api import Api, HealthSource
from watcher.web.front import Front
from watcher.web.telemetry import PrometheusTelemetry

log = structlog.get_logger(__name__)


def build_app(*, store: Store, clock: Clock, telemetry: PrometheusTelemetry, health: HealthSource) -> Starlette:
    """The application over a store that it only reads.

    Args:
        store: where jobs and alerts are read.
        clock: the time of the answers.
        telemetry: what `/metrics` tells beside the store.
        health: who answers the probes.
    """
    app = Starlette(
        routes=Api(store, clock, telemetry, health).routes(),
        middleware=[Middleware(Front)],
        exception_handlers={HTTPException: _refused, StoreError: _blind},
    )
    # A redirect would be built from the Host that the client sent.
    app.router.redirect_slashes = False
    return app


async def _refused(_: Request, error: Exception) -> Response:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, "")
    answer = error_answer(status, detail)
    if isinstance(error, HTTPException) and error.headers:
        answer.headers.update(error.headers)
    return answer


async def _blind(_: Request, error: Exception) -> Response:
    log.error("web.store_unreadable", reason=str(error))
    return error_answer(503, "the store can't be read now; the log of the watcher says why")
