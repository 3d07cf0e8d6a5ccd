"""What stands before the API: faults on purpose, and one log line a request."""

import json
from collections.abc import Callable
from typing import Any, TextIO

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from watcher.simulator import answers
from watcher.simulator.app import TOOK_EFFECT
from watcher.simulator.faults import Fault, FaultKind, Faults

_CANNED: dict[FaultKind, tuple[int, str, str]] = {
    FaultKind.RATE_LIMITED: (429, "Rate limit exceeded", "rate_limit"),
    FaultKind.SERVER_ERROR: (500, "Internal server error", "server_error"),
    FaultKind.OVERLOADED: (503, "The service is overloaded", "service_unavailable"),
    FaultKind.TOOK_THEN_ERROR: (500, "Internal server error", "server_error"),
}
_HTML = "<!doctype html><title>Just a moment</title><p>Checking your connection</p>"


class RequestLog:
    """Writes one JSON object a request, at once."""

    def __init__(self, file: TextIO, now_ns: Callable[[], int]) -> None:
        self._file = file
        self._now_ns = now_ns

    def write(self, scope: Scope, status: int, fault: Fault | None) -> None:
        """Note a request with the status of its answer, 0 without one; `took_effect` is null for all but cancels."""
        line = {
            "time": answers.iso(self._now_ns()),
            "method": scope["method"],
            "path": scope["path"],
            "query": scope["query_string"].decode("latin-1"),
            "status": status,
            "fault": None if fault is None else fault.kind.value,
            "job": _job_of(scope["path"]),
            "took_effect": scope.get(TOOK_EFFECT),
        }
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()


def _job_of(path: str) -> str | None:
    return next((part for part in path.split("/") if part.startswith("ft-")), None)


class Front:
    """The ASGI application that is served."""

    def __init__(self, app: ASGIApp, faults: Faults, log: RequestLog | None = None) -> None:
        self._app = app
        self._faults = faults
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"only HTTP is spoken here, not {scope['type']}")
        fault = self._faults.draw(scope["method"], scope["path"])
        logged = False

        def note(status: int) -> None:
            nonlocal logged
            if self._log is not None and not logged:
                self._log.write(scope, status, fault)
            logged = True

        async def noted(message: Message) -> None:
            # Before the first byte leaves: whoever has the answer finds the request in the log.
            if message["type"] == "http.response.start":
                note(message["status"])
            await send(message)

        try:
            await self._answer(fault, scope, receive, noted)
        finally:
            note(0)

    async def _answer(self, fault: Fault | None, scope: Scope, receive: Receive, send: Send) -> None:
        if fault is None:
            await self._app(scope, receive, send)
            return
        messages: list[Message] = []
        if fault.works_first:
            messages = await _kept(self._app, scope, receive)
        if fault.kind is FaultKind.CUT:
            await _send_cut(messages, send)
        else:
            await _canned(fault)(scope, receive, send)


async def _kept(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """Let the application work and keep its answer back."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages


async def _send_cut(messages: list[Message], send: Send) -> None:
    """Send the head with the full length and half of the body, then fail, so that the server closes the connection.

    Ending the answer here instead would leave uvicorn waiting on an open connection.
    """
    start, *rest = messages
    body: bytes = b"".join(part.get("body", b"") for part in rest)
    await send(start)
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    raise ConnectionResetError("cut on purpose")


def _canned(fault: Fault) -> Response:
    if fault.kind is FaultKind.HTML:
        return Response(_HTML, 200, media_type="text/html")
    status, message, type_ = _CANNED[fault.kind]
    content: dict[str, Any] = answers.error(message, type_)
    return Response(json.dumps(content), status, fault.headers, media_type="application/json")
