"""httpx over aiohttp's connections, without what no call of the API needs."""

import ssl
from collections.abc import AsyncIterable, Mapping
from typing import Any, cast

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient
from yarl import URL

from watcher.service.errors import ConfigError


def http_client(headers: Mapping[str, str], *, deadline: float, concurrency: int, root: str = "") -> "Client":
    """A client over aiohttp's connections. Certificates and proxies come from the usual variables.

    No transport is handed in: httpx would then ignore HTTPS_PROXY, HTTP_PROXY and NO_PROXY. This subclass of its
    client makes the same transport by itself, one for each proxy as well.

    Args:
        headers: what every request carries.
        deadline: seconds for connecting; whoever calls bounds the whole exchange by as many.
        concurrency: connections at once.
        root: what every address of an `exchange` begins with, encoded.

    Raises:
        ConfigError: SSL_CERT_FILE or SSL_CERT_DIR can't be read, or a proxy variable is no usable URL.
    """
    try:
        return Client(
            base_url=root,
            headers=dict(headers),
            verify=httpx.create_ssl_context(),  # once: making one takes milliseconds, and each proxy would make its own
            timeout=httpx.Timeout(deadline, read=None, write=None, pool=None),
            limits=httpx.Limits(max_connections=concurrency, keepalive_expiry=20.0),
            follow_redirects=False,
        )
    except (OSError, ssl.SSLError, ValueError, httpx.InvalidURL) as exc:
        raise ConfigError("environment: SSL_CERT_FILE, SSL_CERT_DIR or a proxy variable can't be used") from exc


class _NoCookies(httpx.Cookies):
    def extract_cookies(self, response: httpx.Response) -> None:
        """Nothing is kept of an answer."""


_NONE = _NoCookies()


class Exchanged:
    """An answer whose body is still to be read, for all that a call asks of one: httpx's takes 10 µs more.

    Whoever is done with it calls `release`.
    """

    __slots__ = ("_answer", "headers", "onward", "status")

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers
        self.onward: str | None = None
        """Where a redirect leads, on the same origin."""

    @property
    def stream(self) -> AsyncIterable[bytes]:
        """The body as it came, in the pieces in which it arrives."""
        return self._answer.content.iter_any()

    def release(self) -> None:
        """The connection may be used for another call, or is closed where the body was not read to its end."""
        self._answer.release()


class _Transport(AiohttpTransport):
    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], wait: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        """A request without a body, as `handle_async_request` sends it, but without httpx's objects around it."""
        if not isinstance(self.client, aiohttp.ClientSession):
            self.client = self.get_client()
        through: dict[str, Any] = {}
        if self.proxy is not None:
            through = {"proxy": str(self.proxy.url), "proxy_headers": self.proxy.headers}
            if self.proxy.auth is not None:
                through["proxy_auth"] = aiohttp.BasicAuth(*self.proxy.auth)
        return await self.client.request(
            method,
            URL(url, encoded=True),
            headers=headers,
            allow_redirects=False,
            auto_decompress=False,
            timeout=wait,
            **through,
        )

    def get_client(self) -> aiohttp.ClientSession:
        """A session as it is made otherwise, but for aiohttp's own jar of cookies."""
        made = super().get_client()
        session = aiohttp.ClientSession(connector=made.connector, cookie_jar=aiohttp.DummyCookieJar())
        made.detach()
        return session


class Client(HttpxAiohttpClient):
    """Keeps no cookies: an API key is all that the API asks for, and looking for them is a tenth of its cost."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - httpx's
        super().__init__(**settings)
        self._said = dict(self.headers)
        self._wait = aiohttp.ClientTimeout(sock_connect=self.timeout.connect, sock_read=self.timeout.read)

    @property
    def cookies(self) -> httpx.Cookies:
        return _NONE

    @cookies.setter
    def cookies(self, cookies: object) -> None:
        raise NotImplementedError

    def _init_transport(self, *_: Any, **settings: Any) -> httpx.AsyncBaseTransport:  # noqa: ANN401 - httpx's
        return _Transport(**settings)

    def _init_proxy_transport(self, *proxy: Any, **settings: Any) -> httpx.AsyncBaseTransport:  # noqa: ANN401 - httpx's
        return _Transport(proxy=proxy[0], **settings)

    async def exchange(self, method: str, url: str) -> Exchanged:
        """An answer whose body is still to be read.

        `send` does the same by way of hooks, authentication and a log line that nobody uses, and of a request and an
        address that are taken apart again: a third of the cost of a call. Every address has the base URL's origin.

        Raises:
            aiohttp.ClientError: as it is; for `send`, most become errors of httpx.
        """
        transport = cast("_Transport", self._transport_for_url(self.base_url))
        answer = await transport.ask(method, url, self._said, self._wait)
        exchanged = Exchanged(answer)
        if "location" in answer.headers:
            try:
                exchanged.onward = self._onward(method, url, answer)
            except BaseException:
                exchanged.release()
                raise
        return exchanged

    def _onward(self, method: str, url: str, answer: aiohttp.ClientResponse) -> str | None:
        """Where a redirect leads, by httpx's rules; None for no redirect, and for one to another origin."""
        request = httpx.Request(method, url)
        response = httpx.Response(answer.status, headers=answer.raw_headers, request=request)
        if not response.has_redirect_location:
            return None
        onward = self._build_redirect_request(request, response).url
        here = request.url
        same = (here.scheme, here.host, here.port) == (onward.scheme, onward.host, onward.port)
        return str(onward) if same else None
