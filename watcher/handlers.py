"""What people can ask of a running daemon, by the control socket and over HTTP: the same handlers for both."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from watcher.bootstrap import App
from watcher.daemon.control import Handler
from watcher.service.consent import person_of
from watcher.service.drill import Drill
from watcher.service.manual import deletion_noted
from watcher.service.parked import retry_asked
from watcher.service.people import ack_asked, expire_asked, silence_asked
from watcher.service.ports import Writes


def drill_of(app: App, push: Callable[[], Awaitable[object]]) -> Drill:
    """Drills over these parts."""
    return Drill(app.store, app.clock, lambda: app.receivers, push)


def handlers_of(app: App) -> dict[str, Handler]:
    """By the name of the order."""

    async def veto(request: Mapping[str, Any]) -> dict[str, Any]:
        job, person = str(request["job"]), person_of(request)
        if request.get("lift", False):
            return await app.consent.lift(job, person)
        return await app.consent.veto(job, person, proposal_id=str(request.get("proposal", "")))

    async def approve(request: Mapping[str, Any]) -> dict[str, Any]:
        proposal = str(request.get("proposal", ""))
        return await app.consent.approve(str(request["job"]), person_of(request), proposal_id=proposal)

    async def cancel(request: Mapping[str, Any]) -> dict[str, Any]:
        return await app.manual.cancel(str(request["job"]), person_of(request))

    async def drill(request: Mapping[str, Any]) -> dict[str, Any]:
        async def push() -> None:
            app.wake.set()

        name = request.get("receiver")
        async with drilling:
            asked = None if name is None else str(name)
            return await drill_of(app, push).run(asked, float(request["timeout"]), person_of(request))

    drilling = asyncio.Lock()
    return {"veto": veto, "approve": approve, "cancel": cancel, "drill": drill, **_one_write(app)}


def _one_write(app: App) -> dict[str, Handler]:
    """What is one write each, after which router and dispatcher look again."""

    def handler(work: Callable[[Writes, Mapping[str, Any], datetime], dict[str, Any]]) -> Handler:
        async def handle(request: Mapping[str, Any]) -> dict[str, Any]:
            answer = await app.store.write(lambda tx: work(tx, request, app.clock.now()))
            app.wake.set()
            return answer

        return handle

    works = {"silence": silence_asked, "expire": expire_asked, "ack": ack_asked, "retry": retry_asked}
    return {name: handler(work) for name, work in {**works, "deleting": deletion_noted}.items()}
