"""The page behind a veto link: looking changes nothing, since mail scanners and chats look too; a POST vetoes.

The token in the address is all that is asked for, so no cookie and no login is involved that another site could ride
on. An address without the right token is answered as one that does not exist, whether its proposal does or not.
"""

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from watcher.domain.vetolinks import VetoLinks
from watcher.service.consent import Consent, Outcome, Person
from watcher.service.ports import Reads, Store
from watcher.service.records import JobRecord, Proposal
from watcher.web.bodies import LONGEST_NAME, LONGEST_TEXT, read_form, text_of
from watcher.web.front import HEADERS
from watcher.web.rendering import environment

_LONGEST_BODY = 4096
_STATUS = {Outcome.TOO_LATE: 409, Outcome.OVER: 410}
_TITLES = {
    Outcome.VETOED: "Vetoed",
    Outcome.PROTECTED: "Vetoed",
    Outcome.TOO_LATE: "Too late",
    Outcome.OVER: "Over",
}
_ONE_FORM = {
    "Content-Security-Policy": HEADERS["Content-Security-Policy"].replace("form-action 'none'", "form-action 'self'"),
    "Referrer-Policy": "no-referrer",
}
"""A form and no script; the address holds the token, so it is told to nobody."""


class VetoPages:
    """`/veto/<proposal>?t=<token>`."""

    def __init__(self, store: Store, consent: Consent, links: VetoLinks) -> None:
        self._store, self._consent, self._links = store, consent, links
        self._env = environment()

    def routes(self) -> list[Route]:
        """Everything this part answers."""
        return [Route("/veto/{proposal_id}", self.veto, methods=["GET", "POST"])]

    async def veto(self, request: Request) -> Response:
        """GET (and HEAD) shows what would be vetoed; POST vetoes, with an optional name and reason."""
        proposal_id = request.path_params["proposal_id"]
        if not self._links.fits(proposal_id, request.query_params.get("t", "")):
            raise HTTPException(404, "There is no such link")
        found = await self._store.read(lambda reads: _read(reads, proposal_id))
        if found is None:
            raise HTTPException(404, "There is no such link")
        proposal, record = found
        if request.method != "POST":
            return self._page(proposal, record)
        words = await read_form(request, _LONGEST_BODY)  # none, as ntfy sends it
        person = Person(text_of(words, "who", LONGEST_NAME), "link", text_of(words, "why", LONGEST_TEXT))
        answer = await self._consent.veto(proposal.key.job_id, person, proposal_id=proposal_id)
        outcome = Outcome(answer["outcome"])
        told = {"title": _TITLES[outcome], "text": answer["text"]}
        return self._page(proposal, record, status=_STATUS.get(outcome, 200), **told)

    def _page(
        self, proposal: Proposal, record: JobRecord | None, *, status: int = 200, title: str = "", text: str = ""
    ) -> Response:
        values: dict[str, Any] = {
            "job": proposal.key.job_id,
            "label": (record.snapshot.suffix if record else None) or proposal.key.job_id,
            "account": proposal.key.account,
            "reason": proposal.reason,
            "open": proposal.state.open,
            "state": proposal.state.value,
            "deadline": proposal.deadline_at,
            "title": title,
            "text": text,
        }
        return HTMLResponse(self._env.get_template("veto.html").render(values), status, _ONE_FORM)


def _read(reads: Reads, proposal_id: str) -> tuple[Proposal, JobRecord | None] | None:
    proposal = reads.proposal(proposal_id)
    return None if proposal is None else (proposal, reads.job(proposal.key))
