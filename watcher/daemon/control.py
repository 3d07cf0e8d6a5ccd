"""The control socket: commands that write go through the running daemon, one JSON line each way."""

import asyncio
import contextlib
import json
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from watcher.service.errors import ConfigError, WatcherError

log = structlog.get_logger(__name__)

SOCKET = "control.sock"
_LONGEST_LINE = 64 * 1024

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]


class ControlServer:
    """Listens on `<state dir>/control.sock`, readable by the owner alone."""

    def __init__(self, directory: Path, handlers: Mapping[str, Handler]) -> None:
        self._directory, self._handlers = directory, handlers
        self._server: asyncio.Server | None = None
        self._folder: int | None = None

    async def start(self) -> None:
        """Take commands from now on; a socket that a dead daemon left behind is replaced."""
        with contextlib.suppress(FileNotFoundError):
            (self._directory / SOCKET).unlink()
        self._folder = os.open(self._directory, os.O_DIRECTORY | os.O_RDONLY)
        # A socket's address holds 107 bytes: by way of the folder's descriptor any state directory fits.
        path = f"/proc/self/fd/{self._folder}/{SOCKET}"
        self._server = await asyncio.start_unix_server(self._serve, path=path, limit=_LONGEST_LINE)
        (self._directory / SOCKET).chmod(0o600)

    async def stop(self) -> None:
        """Take no more commands."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        with contextlib.suppress(FileNotFoundError):
            (self._directory / SOCKET).unlink()
        if self._folder is not None:
            os.close(self._folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            answer = await self._answer(await reader.readline())
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
        except (ConnectionError, ValueError):
            log.info("control.client_gone")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            handler = self._handlers[request["do"]]
        except (ValueError, KeyError, TypeError):
            return {"ok": False, "error": "not a command of this version", "input": True}
        try:
            return {"ok": True, **await handler(request)}
        except WatcherError as error:
            return {"ok": False, "error": str(error), "input": isinstance(error, ConfigError)}
