"""`/events`: server-sent events that tell a page when to look again, and how many there may be at a time.

Nobody asks the store whether it changed: it says so after each commit. What a commit changed is told at once, and what
changes within the next second is told together at its end.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from datetime import datetime

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from watcher.service.ports import Clock
from watcher.service.records import Topic

MOST_STREAMS = 64
"""Each holds a connection, and those are bounded."""
RETRY_AFTER = 30
_APART, _BEAT = 1.0, 15.0
"""Seconds between two events at least, and between two signs of life at most."""
_HELLO = b"retry: 2000\n: connected\n\n"
_TYPE = "text/event-stream; charset=utf-8"


class Changes:
    """Takes what was changed, from any thread, and tells every stream."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._streams = set[_Stream]()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def streams(self) -> int:
        """How many are told."""
        return len(self._streams)

    def routes(self) -> list[Route]:
        """Everything this part answers."""
        return [Route("/events", self.events, methods=["GET"])]

    async def events(self, request: Request) -> Response:
        """`event: changed` with `{"at", "topics"}` for as long as the client listens."""
        if request.headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise HTTPException(403, "Another site asks for this")
        if request.method == "HEAD":
            return Response(headers={"Content-Type": _TYPE})
        if self._closed or len(self._streams) >= MOST_STREAMS:
            raise HTTPException(503, "Too many pages listen already", {"Retry-After": str(RETRY_AFTER)})
        return _Events(self)

    def committed(self, topics: frozenset[Topic]) -> None:
        """Something was changed; to be called from any thread."""
        if self._streams and self._loop is not None:
            # A loop that is closed by now has nobody to tell: the commit stands all the same.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self.changed, topics)

    def changed(self, topics: frozenset[Topic]) -> None:
        """As `committed`, in the event loop."""
        for stream in self._streams:
            stream.topics |= topics
            stream.woken.set()

    def close(self) -> None:
        """Every stream ends now, and none begins any more."""
        self._closed = True
        for stream in self._streams:
            stream.over.set()

    @contextlib.contextmanager
    def listening(self) -> Iterator["_Stream"]:
        """Somebody listens for as long as the block lasts."""
        self._loop, stream = asyncio.get_running_loop(), _Stream()
        self._streams.add(stream)
        try:
            yield stream
        finally:
            self._streams.discard(stream)

    async def next(self, stream: "_Stream") -> bytes:
        """The next part: what was changed, a second after the last time, or a sign of life; empty at the end."""
        if stream.told:
            await self._wait(_APART, stream.over)
        await self._wait(_BEAT, stream.over, stream.woken)
        topics, stream.topics = stream.topics, set()
        stream.woken.clear()
        stream.told = bool(topics)
        if stream.over.is_set():
            return b""
        return _event(self._clock.now(), topics) if topics else b": beat\n\n"

    async def _wait(self, seconds: float, *events: asyncio.Event) -> None:
        """Until the first of them is set, or so many seconds are over."""
        sleep: asyncio.Task[object] = asyncio.create_task(self._clock.sleep(seconds))
        waiting = [sleep, *(asyncio.create_task(event.wait()) for event in events)]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)


class _Stream:
    """One listener: what it was not told yet, and whether it is over because it or the server went away."""

    def __init__(self) -> None:
        self.topics, self.told = set[Topic](), False
        self.woken, self.over = asyncio.Event(), asyncio.Event()


class _Events(Response):
    """The answer that goes on."""

    def __init__(self, changes: Changes) -> None:
        super().__init__(headers={"Content-Type": _TYPE, "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._changes = changes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - the ASGI entry
        """The ASGI entry."""
        with self._changes.listening() as stream:
            gone = asyncio.create_task(_until_gone(receive, stream))
            try:
                await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                part = _HELLO
                while part:
                    await send({"type": "http.response.body", "body": part, "more_body": True})
                    part = await self._changes.next(stream)
                await send({"type": "http.response.body", "body": b""})
            finally:
                gone.cancel()
                await asyncio.gather(gone, return_exceptions=True)


async def _until_gone(receive: Receive, stream: _Stream) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.over.set()


def _event(at: datetime, topics: set[Topic]) -> bytes:
    told = {"at": at.isoformat(), "topics": sorted(topics)}
    return f"event: changed\ndata: {json.dumps(told)}\n\n".encode()
