"""Logging in and out: the token once, with a name for the audit, for a cookie that ends by itself."""

from typing import Any

import structlog
from jinja2 import Environment
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from watcher.service.errors import StoreError
from watcher.service.ports import Store
from watcher.web.bodies import LONGEST_NAME, local_path, read_form, text_of
from watcher.web.front import PAGE_HEADERS
from watcher.web.rendering import environment
from watcher.web.session import ENDED, Sessions, require_form
from watcher.web.throttle import Throttle

log = structlog.get_logger(__name__)


class LoginPages:
    """`/login` and `/logout`."""

    def __init__(self, sessions: Sessions, throttle: Throttle, store: Store) -> None:
        self._sessions, self._throttle, self._store = sessions, throttle, store
        self._env: Environment = environment()

    def routes(self) -> list[Route]:
        """Everything this part answers."""
        return [
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.logout, methods=["POST"]),
        ]

    async def login(self, request: Request) -> Response:
        """GET asks for token and name; POST takes them (fields `token`, `name`, `next`)."""
        if request.method != "POST":
            return self._page(next=local_path(request.query_params.get("next", "")), failed=False)
        if not self._sessions.enabled or not self._sessions.from_here(request):
            raise HTTPException(403, "Nobody can log in here, or another site sent this")
        fields = await read_form(request)
        name, then = text_of(fields, "name", LONGEST_NAME, needed=True), local_path(fields.get("next", ""))
        self._throttle.check(request)
        if not self._sessions.knows(fields.get("token", "").strip()):
            self._throttle.failed(request)
            return self._page(403, next=then, failed=True)
        self._throttle.passed()
        answer = RedirectResponse(then, 303)
        self._sessions.begin(answer, name)
        return answer

    async def logout(self, request: Request) -> Response:
        """Ends the session, here and wherever a copy of its cookie is."""
        fields = await read_form(request)
        session, answer = require_form(request, fields), RedirectResponse(local_path(fields.get("next", "")), 303)
        if session is not None:
            await self._keep(self._sessions.end(answer, session))
        return answer

    async def _keep(self, ended: str) -> None:
        try:
            await self._store.write(lambda tx: tx.set_meta(ENDED, ended))
        except StoreError as error:  # ended it is; until the next start at least
            log.warning("web.logout_not_kept", reason=str(error))

    def _page(self, status: int = 200, **values: Any) -> Response:  # noqa: ANN401 - what templates take
        text = self._env.get_template("login.html").render(enabled=self._sessions.enabled, **values)
        return HTMLResponse(text, status, PAGE_HEADERS)
