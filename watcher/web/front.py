"""What every request passes: the check of its Host, the headers of every answer, and the end of every error."""

import ipaddress
import traceback
from collections.abc import Iterable

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer that does not say otherwise: a style sheet and an icon of ours, and nothing else from anywhere."""

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
}
"""On pages for people: scripts, forms and requests too, of ours and no others; nothing inline."""

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


class Front:
    """Adds the headers to every answer. An error that nobody handled is logged here and told without its details."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        started = False

        async def answer(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            text = "".join(traceback.format_exception(error))
            log.error("web.request_failed", path=scope.get("path"), traceback=text)
            if started or scope["type"] != "http":
                raise
            failed = PlainTextResponse("this answer failed; the log of the watcher says why\n", 500)
            await failed(scope, receive, answer)


class HostCheck:
    """Answers only to its own names, so that no web site can make a browser read this server by a name of its own.

    A site whose name was made to resolve to a loopback address (DNS rebinding) still sends that name.
    """

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app, self._names = app, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry."""
        if scope["type"] == "http" and _name(Headers(scope=scope).get("host", "")) not in self._names:
            text = f"this server answers only to {', '.join(sorted(self._names))}\n"
            await PlainTextResponse(text, 421, HEADERS)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server bound to that host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def loopback_names(host: str) -> set[str]:
    """The names by which a server on a loopback address may be called."""
    return {*_LOOPBACK, bracketed(host).lower()}


def bracketed(host: str) -> str:
    """The host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def _name(host: str) -> str:
    """The Host header without its port."""
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdigit() else host).lower()
