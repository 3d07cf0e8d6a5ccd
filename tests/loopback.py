"""A scripted HTTP server on loopback, byte by byte, so that it can also answer what no framework would."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat


class SkippingClock:
    """A `Clock` that nobody has to move: a sleep is over at once and moves it; each is remembered, in seconds."""

    def __init__(self) -> None:
        self.at = datetime(2026, 7, 2, 12, 0, tzinfo=UTC)
        self.slept: list[float] = []
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.advance(seconds)
        await asyncio.sleep(0)

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)
        self._monotonic += seconds


@dataclass(frozen=True, slots=True)
class Request:
    """What came over the wire; header names in lower case."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What goes back. `raw` replaces everything; `stall` keeps the connection open and silent after it."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    stall: bool = False

    def wire(self) -> bytes:
        if self.raw is not None:
            return self.raw
        headers = {"content-type": "application/json", "content-length": str(len(self.body))} | self.headers
        lines = [f"HTTP/1.1 {self.status} X", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


def ok(value: object, **headers: str) -> Answer:
    return Answer(body=json.dumps(value).encode(), headers=headers)


def script(*answers: Answer) -> Callable[[Request], Answer]:
    """The answers in turn, then the last one for ever."""
    turns = chain(answers, repeat(answers[-1]))
    return lambda _: next(turns)


class Loopback:
    """The requests that came, and the address they came to."""

    def __init__(self, answer: Callable[[Request], Answer]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        self.connections = 0
        self.arrived = asyncio.Event()
        self.busy = 0
        self.most_busy = 0
        self.gate: asyncio.Event | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> list[str]:
        return [request.target for request in self.requests]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                await self._busy_until_open()
                if not await _write(writer, self.answer(request)):
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _busy_until_open(self) -> None:
        self.busy += 1
        self.arrived.set()
        self.most_busy = max(self.most_busy, self.busy)
        if self.gate is not None:
            await self.gate.wait()
        self.busy -= 1


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    first, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    await reader.readexactly(int(headers.get("content-length", "0")))
    method, target, _ = first.split(" ")
    return Request(method, target, headers)


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> bool:
    """False when the connection is to be closed: a raw answer says nothing of where it ends."""
    writer.write(answer.wire())
    await writer.drain()
    if answer.stall:
        await asyncio.Event().wait()
    return answer.raw is None


@asynccontextmanager
async def serving(answer: Callable[[Request], Answer], tls: ssl.SSLContext | None = None) -> AsyncIterator[Loopback]:
    loopback = Loopback(answer)
    handlers: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        handlers.add(task)
        await loopback.serve(reader, writer)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=tls)
    loopback.port = server.sockets[0].getsockname()[1]
    try:
        yield loopback
    finally:
        server.close()
        for task in handlers:
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await server.wait_closed()
