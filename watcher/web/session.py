"""Who may give orders to the server, and how that is known: a token for programs, a signed cookie for people.

The cookie holds a name, a moment and a random number under an HMAC-SHA256 (RFC 2104): it ends by itself, and only those
that were ended before are stored. Its key is made of the state directory's and of the token: another token ends every
session. Each session has a word (`csrf`) that its forms send along, so that no other site can make a browser give an
order.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from watcher.service.ports import Clock

COOKIE = "watcher_session"
LIFETIME = timedelta(hours=12)
_LONGEST_COOKIE = 2048
_MOST_ENDED = 10_000
ENDED = "ended_sessions"
"""The note in the store of sessions that somebody ended: a restart must not bring them back."""


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody who is logged in. `csrf` is what each form of theirs sends along in the field of that name."""

    name: str
    csrf: str
    mark: str
    until: float


class Sessions:
    """Knows the token and its own cookies. Without a token nobody may give orders, and there are no sessions.

    `key` is kept from one start to the next; `public_url` is where people reach the page, if not here; `ended` is the
    note of that name.
    """

    def __init__(
        self, clock: Clock, *, token: str = "", key: bytes = b"", public_url: str = "", ended: str | None = None
    ) -> None:
        self._clock, self._token = clock, token.encode()
        self._key = hmac.digest(key, b"session\x1f" + self._token, hashlib.sha256)
        self._public = urlsplit(public_url)
        self._ended: dict[str, float] = json.loads(ended) if ended else {}

    @property
    def enabled(self) -> bool:
        """Whether anybody may give orders here."""
        return bool(self._token)

    def knows(self, token: str) -> bool:
        """Whether this is the token; takes as long whatever it is."""
        return hmac.compare_digest(self._token, token.encode("utf-8", "replace")) and self.enabled

    def bearer(self, request: Request) -> bool | None:
        """Whether the request carries the token in its `Authorization`; None when it carries none."""
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        return self.knows(token.strip()) if kind.lower() == "bearer" else None

    def begin(self, response: Response, name: str) -> None:
        """From this answer on the browser is logged in under that name."""
        until = int((self._clock.now() + LIFETIME).timestamp())
        body = f"{secrets.token_hex(16)}.{until}.{name.encode().hex()}"
        self._set(response, f"{body}.{self._sign('cookie', body)}", int(LIFETIME.total_seconds()))

    def end(self, response: Response, session: Session) -> str:
        """Its cookie is worth nothing any more, wherever a copy of it is; returns the note to keep of it."""
        now = self._clock.now().timestamp()
        self._ended = {mark: until for mark, until in self._ended.items() if until > now}
        if len(self._ended) < _MOST_ENDED:
            self._ended[session.mark] = session.until
        self._set(response, "", 0)
        return json.dumps(self._ended)

    def of(self, request: Request) -> Session | None:
        """Who sent the request, if their cookie is good."""
        cookie = request.cookies.get(COOKIE, "")
        body, _, signature = cookie.rpartition(".")
        if not self.enabled or not body or len(cookie) > _LONGEST_COOKIE:
            return None
        if not hmac.compare_digest(self._sign("cookie", body).encode(), signature.encode("utf-8", "replace")):
            return None
        # What is signed was made by `begin`.
        mark, until, name = body.split(".")
        if float(until) <= self._clock.now().timestamp() or mark in self._ended:
            return None
        return Session(bytes.fromhex(name).decode(), self._sign("csrf", mark), mark, float(until))

    def from_here(self, request: Request) -> bool:
        """Whether a browser sent this from a page of ours, as far as it says; what is no browser says nothing."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is not None and site != "same-origin":
            return False
        if origin == "null":  # of a page that tells nobody where it is, ours with a veto link among them
            return site is not None
        return origin is None or origin.lower() in self._origins(request)

    def _origins(self, request: Request) -> Iterator[str]:
        yield f"{request.url.scheme}://{request.headers.get('host', '')}".lower()
        if self._public.netloc:
            yield f"{self._public.scheme}://{self._public.netloc}".lower()

    def _set(self, response: Response, value: str, seconds: int) -> None:
        secure = self._public.scheme == "https"
        response.set_cookie(COOKIE, value, max_age=seconds, path="/", secure=secure, httponly=True, samesite="strict")

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\x1f{text}".encode(), hashlib.sha256).hexdigest()


def sessions_of(request: Request) -> Sessions:
    """Those of the application that answers the request."""
    sessions: Sessions = request.app.state.sessions
    return sessions


def session_of(request: Request) -> Session | None:
    """Who sent the request; None for everybody who is not logged in."""
    return sessions_of(request).of(request)


def writable(request: Request) -> bool:
    """Whether there is a token, so that logging in makes sense."""
    return sessions_of(request).enabled


def require_form(request: Request, fields: dict[str, str]) -> Session | None:
    """Who sent a form of ours; None for somebody whose session is over, or who has none.

    Raises:
        HTTPException: there is no token (403), or another site's page sent it (403).
    """
    sessions = sessions_of(request)
    if not sessions.enabled:
        raise HTTPException(403, "This server only shows: the setting web.token is not given")
    if not sessions.from_here(request):
        raise HTTPException(403, "Another site sent this")
    session = sessions.of(request)
    if session is not None and not hmac.compare_digest(
        session.csrf.encode(), fields.get("csrf", "").encode("utf-8", "replace")
    ):
        raise HTTPException(403, "This form is not of your session: load the page again")
    return session
