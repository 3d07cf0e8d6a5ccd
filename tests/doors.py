"""A served application that takes orders: real parts, a real server on loopback, and somebody who can log in."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from tests.fakes import FakeClock
from tests.leaks import CANARY, Heard
from tests.stored import JOB, NOW, OTHER_JOB, a_job, a_proposal, an_alert, at
from tests.website import FakeHealth
from watcher import bootstrap
from watcher.handlers import handlers_of
from watcher.service.ports import Writes
from watcher.service.records import Audit
from watcher.settings import load_settings
from watcher.web.app import build_app
from watcher.web.events import Changes
from watcher.web.server import WebServer
from watcher.web.session import session_of
from watcher.web.telemetry import PrometheusTelemetry

TOKEN = f"{CANARY}-web-token"
ALERT = an_alert()
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Loads no certificates, which takes longer than a test."""


@dataclass
class Doors:
    """Two jobs, an alert on one of them and an open proposal on each, served at `client.base_url`."""

    app: bootstrap.App
    clock: FakeClock
    server: WebServer
    client: httpx.AsyncClient
    changes: Changes
    web: Starlette

    async def log_in(self, name: str = "Ada", **fields: str) -> httpx.Response:
        return await self.client.post("/login", data={"token": TOKEN, "name": name, **fields})

    async def csrf(self) -> str:
        """The word of the session that the client's cookie stands for."""
        answer = await self.client.get("/word")
        return answer.text

    async def act(self, name: str, **fields: str) -> httpx.Response:
        """A form of the page, as its browser sends it."""
        return await self.client.post(f"/act/{name}", data={"csrf": await self.csrf(), "next": "/jobs/ft-1", **fields})

    async def order(self, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """An order of a program that has the token."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **headers}
        content = b"" if body is None else json.dumps(body).encode()
        return await self.client.request(method, f"/api/v1{path}", content=content, headers=headers)

    def audits(self) -> list[Audit]:
        return self.app.store.read_now(lambda reads: reads.audits())[::-1]


def seed(tx: Writes) -> None:
    for key, name in ((JOB, "p1"), (OTHER_JOB, "p2")):
        tx.save_job(a_job(key))
        tx.add_proposal(a_proposal(name, key, alert_id=ALERT.id, announced_at=NOW, deadline_at=at(15), reason="lost"))
    tx.save_alert(ALERT)


async def _word(request: Request) -> Response:
    """What the page puts into its forms."""
    session = session_of(request)
    return PlainTextResponse(session.csrf if session else "")


async def _deliver(app: bootstrap.App, clock: FakeClock) -> None:
    while True:
        await app.wake.wait()
        app.wake.clear()
        await app.router.run()
        await app.dispatcher.run_due()
        clock.advance(0.1)


@asynccontextmanager
async def open_doors(folder: Path, *, token: str | None = TOKEN, public_url: str = "") -> AsyncIterator[Doors]:
    """Served until the end of the block; what becomes due is delivered meanwhile."""
    environ = {"TOGETHER_API_KEY": CANARY}
    environ |= {"WATCHER_WEB__TOKEN": token} if token else {}
    environ |= {"WATCHER_WEB__PUBLIC_URL": public_url} if public_url else {}
    clock, settings = FakeClock(NOW), load_settings(None, environ)
    app = bootstrap.build(settings, folder, clock=clock, console=Heard())
    app.store.write_now(seed)
    changes = Changes(clock)
    app.store.committed = changes.committed
    web = build_app(
        store=app.store,
        clock=clock,
        telemetry=PrometheusTelemetry(),
        health=FakeHealth(),
        sessions=bootstrap.sessions_of(app),
        handlers=handlers_of(app),
        changes=changes,
        receivers=lambda: app.receivers,
        more=[Route("/word", _word)],
    )
    server = WebServer(web, "127.0.0.1", 0, ending=changes.close)
    await server.start()
    delivering = asyncio.create_task(_deliver(app, clock))
    try:
        async with httpx.AsyncClient(base_url=server.url, trust_env=False, verify=_NO_TLS) as client:
            yield Doors(app, clock, server, client, changes, web)
    finally:
        delivering.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await delivering
        await server.stop()
        await app.close()
