"""The forms of the page: each is an order, after which the browser goes on to where its form says."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from watcher.web.bodies import LONGEST_NAME, LONGEST_TEXT, local_path, read_form, text_of
from watcher.web.desk import By, Desk
from watcher.web.session import require_form

_LONGEST_ID = 200
_LONGEST_MATCHERS = 2000
_VIA = "page"
Fields = Mapping[str, str]


class Acts:
    """`/act/…`: forms of somebody who is logged in; everybody else is asked to log in, and then to say it again."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        """Everything this part answers."""
        acts = {
            "ack": self._ack,
            "silence": self._silence,
            "unsilence": self._unsilence,
            "veto": self._veto,
            "approve": self._approve,
            "drill": self._drill,
        }
        return [Route(f"/act/{name}", _endpoint(act), methods=["POST"]) for name, act in acts.items()]

    async def _ack(self, fields: Fields, name: str) -> None:
        by = By(name, text_of(fields, "note", LONGEST_TEXT), _VIA)
        await self._desk.ack(_id(fields, "alert"), text_of(fields, "until", LONGEST_NAME), by)

    async def _silence(self, fields: Fields, name: str) -> None:
        """Matchers stand in one field, between blanks."""
        matchers = text_of(fields, "matchers", _LONGEST_MATCHERS, needed=True).split()
        duration = text_of(fields, "duration", LONGEST_TEXT, needed=True)
        comment = text_of(fields, "comment", LONGEST_TEXT, needed=True)
        await self._desk.silence(matchers, duration, By(name, comment, _VIA))

    async def _unsilence(self, fields: Fields, name: str) -> None:
        await self._desk.unsilence(_id(fields, "silence"), By(name, text_of(fields, "comment", LONGEST_TEXT), _VIA))

    async def _veto(self, fields: Fields, name: str) -> None:
        by = By(name, text_of(fields, "why", LONGEST_TEXT), _VIA)
        _told(await self._desk.veto(_id(fields, "proposal"), by))

    async def _approve(self, fields: Fields, name: str) -> None:
        by = By(name, text_of(fields, "why", LONGEST_TEXT), _VIA)
        _told(await self._desk.approve(_id(fields, "proposal"), by))

    async def _drill(self, fields: Fields, name: str) -> None:
        """What came of it stands with the receivers."""
        receiver = text_of(fields, "receiver", _LONGEST_ID) or None
        await self._desk.drill(receiver, By(name, text_of(fields, "why", LONGEST_TEXT), _VIA))


def _endpoint(act: Callable[[Fields, str], Awaitable[None]]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        fields = await read_form(request)
        then = local_path(fields.get("next", ""))
        session = require_form(request, fields)
        if session is None:
            return RedirectResponse(f"/login?next={quote(then, safe='')}", 303)
        await act(fields, session.name)
        return RedirectResponse(then, 303)

    return answer


def _id(fields: Fields, name: str) -> str:
    return text_of(fields, name, _LONGEST_ID, needed=True)


def _told(answer: Mapping[str, Any]) -> None:
    """A word that changed nothing is told; the page itself shows what was changed."""
    if not answer["done"]:
        raise HTTPException(409, answer["text"])
