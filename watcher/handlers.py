"""What people can ask of a running daemon, by the control socket and over HTTP: the same handlers for both."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from watcher.bootstrap import App
from watcher.daemon.control import Handler
from watcher.service.consent import Person
from watcher.service.drill import Drill
from watcher.service.parked import requeue
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

    async def retry(request: Mapping[str, Any]) -> dict[str, Any]:
        key = request.get("key")
        keys = await app.store.write(lambda tx: requeue(tx, None if key is None else str(key), app.clock.now()))
        app.wake.set()
        return {"retried": keys}

    async def drill(request: Mapping[str, Any]) -> dict[str, Any]:
        async def push() -> None:
            app.wake.set()

        name = request.get("receiver")
        async with drilling:
            asked = None if name is None else str(name)
            return await drill_of(app, push).run(asked, float(request["timeout"]), person_of(request))

    drilling = asyncio.Lock()
    return {"veto": veto, "approve": approve, "cancel": cancel, "retry": retry, "drill": drill, **_of_people(app)}


def person_of(request: Mapping[str, Any]) -> Person:
    """Who asks, as a command says it: `by`, `reason`, and `via` where it is not a command."""
    return Person(str(request.get("by", "")), str(request.get("via", "command")), str(request.get("reason", "")))


def _of_people(app: App) -> dict[str, Handler]:
    """What changes who is told: each is one write, after which the router looks again."""

    def handler(work: Callable[[Writes, Mapping[str, Any], datetime], dict[str, Any]]) -> Handler:
        async def handle(request: Mapping[str, Any]) -> dict[str, Any]:
            answer = await app.store.write(lambda tx: work(tx, request, app.clock.now()))
            app.wake.set()
            return answer

        return handle

    return {"silence": handler(silence_asked), "expire": handler(expire_asked), "ack": handler(ack_asked)}
