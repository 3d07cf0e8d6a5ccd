"""The listening server inside the daemon's event loop; signals stay the daemon's."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterable, Iterator

import uvicorn
from starlette.types import ASGIApp

from watcher.service.errors import ConfigError
from watcher.web.front import HostCheck, bracketed, is_loopback, loopback_names

_BACKLOG = 128
_MOST_CONNECTIONS = 256
"""More are answered with 503: connections here must not take the file descriptors that watching needs."""
_PATIENCE = 2
"""Seconds that a slow reader gets at the end."""


class WebServer:
    """Serves an application on one address. `port` and `url` tell where, once it was started."""

    def __init__(
        self,
        app: ASGIApp,
        host: str,
        port: int,
        *,
        also: Iterable[str] = (),
        ending: Callable[[], None] = lambda: None,
    ) -> None:
        """`also` are names by which a proxy before it is called, where it listens on loopback alone.

        `ending` is called when it begins to stop: answers that would go on for ever end then.
        """
        self._app = HostCheck(app, {*loopback_names(host), *also}) if is_loopback(host) else app
        self._host, self._wanted, self._ending = host, port, ending
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self.port = port

    @property
    def url(self) -> str:
        """The address of the page, without a slash at its end."""
        return f"http://{bracketed(self._host)}:{self.port}"

    async def start(self) -> None:
        """Binds, and returns when requests are answered.

        Raises:
            ConfigError: the address can't be had.
        """
        listener = _listen(self._host, self._wanted)
        self.port = listener.getsockname()[1]
        self._server = _Server(self._app)
        self._serving = asyncio.create_task(self._server.serve([listener]), name="web")
        await self._server.listening.wait()

    async def stop(self) -> None:
        """Finishes the answers under way, for two seconds at most, and closes the address. May be called again."""
        server, serving = self._server, self._serving
        self._server = self._serving = None
        if server is None or serving is None:
            return
        self._ending()
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ws="none",
            limit_concurrency=_MOST_CONNECTIONS,
            timeout_graceful_shutdown=_PATIENCE,
        )
        config.load()
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Resolved first: `create_server` leaves a socket behind when the name can't even be asked for.
        address = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        return socket.create_server(address, family=family, backlog=_BACKLOG)
    except (OSError, ValueError) as exc:
        raise ConfigError(_complaint(exc, host, port)) from exc


def _complaint(error: Exception, host: str, port: int) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return f"web.port: {port} is in use on {host}; expected a free port, or 0 to have one picked"
    if number == errno.EACCES:
        return f"web.port: {port} may not be bound by this user; expected one from 1024 on, or 0 to have one picked"
    return f"web.host: {host!r} is no address of this machine; expected one, such as 127.0.0.1"
