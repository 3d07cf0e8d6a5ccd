"""What people may do over HTTP: the orders of the control socket, asked for by the page or by a program.

There is no second way of doing a thing: each order goes to the same handler as the command's, which keeps who asked, by
which way, when and why.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException

from watcher.domain.alerts import AlertState
from watcher.domain.durations import parse_duration
from watcher.service.errors import ConfigError
from watcher.service.ports import Store

Handler = Callable[[Mapping[str, Any]], Awaitable[dict[str, Any]]]
Json = dict[str, Any]

MOST_MATCHERS = 20
DRILL_SECONDS = 20.0
"""How long a drill over HTTP waits for its answers: whoever asked waits too."""


@dataclass(frozen=True, slots=True)
class By:
    """Who asks, why, and by which way: `page` or `api`."""

    name: str
    why: str
    via: str


class Desk:
    """Takes orders. What can't be done is an HTTPException whose words are for people."""

    def __init__(self, store: Store, handlers: Mapping[str, Handler]) -> None:
        self._store, self._handlers = store, handlers

    async def ack(self, alert_id: str, until: str, by: By) -> Json:
        """Somebody takes care of the alert, for good or until a time. The first to say so stays."""
        alert = await self._store.read(lambda reads: reads.alert(alert_id))
        if alert is None:
            raise HTTPException(404, "There is no such alert")
        refused = HTTPStatus.BAD_REQUEST if alert.state is AlertState.FIRING else HTTPStatus.CONFLICT
        return await self._people("ack", refused, by, alert=alert_id, until=until)

    async def silence(self, matchers: list[str], duration: str | float, by: By) -> Json:
        """Tell nobody of alerts that match, for a while."""
        if len(matchers) > MOST_MATCHERS:
            raise HTTPException(400, f"matchers: expected at most {MOST_MATCHERS}")
        try:
            seconds = parse_duration(duration).total_seconds()
        except ValueError as error:
            raise HTTPException(400, f"duration: {error}") from None
        return await self._people("silence", HTTPStatus.BAD_REQUEST, by, matchers=matchers, seconds=seconds)

    async def unsilence(self, silence_id: str, by: By) -> Json:
        """End a silence now."""
        return await self._people("expire", HTTPStatus.NOT_FOUND, by, id=silence_id)

    async def veto(self, proposal_id: str, by: By) -> Json:
        """No to this cancel, and to any other of the job."""
        return await self._word("veto", proposal_id, by)

    async def approve(self, proposal_id: str, by: By) -> Json:
        """This cancel without the rest of its window."""
        return await self._word("approve", proposal_id, by)

    async def drill(self, receiver: str | None, by: By) -> Json:
        """A marked message through the whole path."""
        return await self._do("drill", HTTPStatus.NOT_FOUND, receiver=receiver, timeout=DRILL_SECONDS, **_person(by))

    async def _word(self, what: str, proposal_id: str, by: By) -> Json:
        proposal = await self._store.read(lambda reads: reads.proposal(proposal_id))
        if proposal is None:
            raise HTTPException(404, "There is no such proposal")
        # A job that is not known any more has no cancel to speak of.
        job = proposal.key.job_id
        return await self._do(what, HTTPStatus.CONFLICT, job=job, proposal=proposal_id, **_person(by))

    async def _people(self, what: str, refused: HTTPStatus, by: By, **request: Any) -> Json:  # noqa: ANN401 - JSON
        return await self._do(what, refused, **request, author=by.name, comment=by.why, via=by.via)

    async def _do(self, what: str, refused: HTTPStatus, **request: Any) -> Json:  # noqa: ANN401 - JSON
        handler = self._handlers.get(what)
        if handler is None:
            raise HTTPException(403, "This server only shows")
        try:
            return await handler(request)
        except ConfigError as error:
            raise HTTPException(refused, str(error)) from error


def _person(by: By) -> dict[str, str]:
    return {"by": by.name, "reason": by.why, "via": by.via}
