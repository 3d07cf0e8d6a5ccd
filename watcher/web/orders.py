"""Orders of programs: JSON over POST and DELETE under `/api/v1`, with the token in `Authorization: Bearer`."""

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from watcher.web.answers import dump, json_answer
from watcher.web.asked import AckOrder, AnyOrder, DrillOrder, EndOrder, Order, SilenceOrder, WordOrder, read_order
from watcher.web.bodies import LONGEST_NAME, text_of
from watcher.web.desk import By, Desk
from watcher.web.session import Sessions
from watcher.web.throttle import Throttle

NAME_HEADER = "Watcher-Name"
"""Who gives the order, where the body does not say it in `name`."""
_VIA = "api"
Json = dict[str, Any]


class Orders:
    """The endpoints that change something. No cookie counts here, so that no browser can be made to give an order."""

    def __init__(self, desk: Desk, sessions: Sessions, throttle: Throttle) -> None:
        self._desk, self._sessions, self._throttle = desk, sessions, throttle

    def routes(self) -> list[Route]:
        """Everything this part answers."""
        return [
            Route("/api/v1/alerts/{id}/ack", self._endpoint(AckOrder, self._ack), methods=["POST"]),
            Route("/api/v1/silences", self._endpoint(SilenceOrder, self._silence), methods=["POST"]),
            Route("/api/v1/silences/{id}", self._endpoint(EndOrder, self._unsilence), methods=["DELETE"]),
            Route("/api/v1/proposals/{id}/veto", self._endpoint(WordOrder, self._veto), methods=["POST"]),
            Route("/api/v1/proposals/{id}/approve", self._endpoint(WordOrder, self._approve), methods=["POST"]),
            Route("/api/v1/drill", self._endpoint(DrillOrder, self._drill), methods=["POST"]),
        ]

    async def _ack(self, alert_id: str, order: AckOrder, name: str) -> Json:
        return await self._desk.ack(alert_id, order.until, By(name, order.note, _VIA))

    async def _silence(self, _: str, order: SilenceOrder, name: str) -> Json:
        return await self._desk.silence(order.matchers, order.duration, By(name, order.comment, _VIA))

    async def _unsilence(self, silence_id: str, order: EndOrder, name: str) -> Json:
        return await self._desk.unsilence(silence_id, By(name, order.comment, _VIA))

    async def _veto(self, proposal_id: str, order: WordOrder, name: str) -> Json:
        return await self._desk.veto(proposal_id, By(name, order.why, _VIA))

    async def _approve(self, proposal_id: str, order: WordOrder, name: str) -> Json:
        return await self._desk.approve(proposal_id, By(name, order.why, _VIA))

    async def _drill(self, _: str, order: DrillOrder, name: str) -> Json:
        return await self._desk.drill(order.receiver or None, By(name, order.why, _VIA))

    def _endpoint(
        self, kind: type[AnyOrder], work: Callable[[str, AnyOrder, str], Awaitable[Json]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self._require(request)
            order = await read_order(request, kind)
            found = await work(request.path_params.get("id", ""), order, _name(request, order))
            # A word that came too late is a conflict with what is: its text says with what.
            return json_answer(dump(found), 200 if found.get("done", True) else 409)

        return answer

    def _require(self, request: Request) -> None:
        if not self._sessions.enabled:
            raise HTTPException(403, "this server only shows: the setting web.token is not given")
        self._throttle.check(request)
        known = self._sessions.bearer(request)
        if not known:
            if known is False:
                self._throttle.failed(request)
            raise HTTPException(401, "expected the token: Authorization: Bearer …", {"WWW-Authenticate": "Bearer"})


def _name(request: Request, order: Order) -> str:
    given = {"name": order.name or request.headers.get(NAME_HEADER)}
    return text_of(given, "name", LONGEST_NAME, needed=True)
