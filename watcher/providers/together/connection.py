"""httpx over aiohttp's connections, without what no call of the API needs."""

import ssl
from collections.abc import Mapping
from typing import Any

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport, HttpxAiohttpClient

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


_NONE, _NOTHING = _NoCookies(), httpx.ByteStream(b"")


class _Address(httpx.URL):
    """An address as text, and where it leads to: to take apart what was just put together is a sixth of a call."""

    def __init__(self, root: httpx.URL, text: str) -> None:
        super().__init__(root)
        self._text = text

    def __str__(self) -> str:
        return self._text


class _Transport(AiohttpTransport):
    def get_client(self) -> aiohttp.ClientSession:
        """A session as it is made otherwise, but for aiohttp's own jar of cookies."""
        made = super().get_client()
        session = aiohttp.ClientSession(connector=made.connector, cookie_jar=aiohttp.DummyCookieJar())
        made.detach()
        return session


class Client(HttpxAiohttpClient):
    """Keeps no cookies: an API key is all that the API asks for, and looking for them is a tenth of its cost."""

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

    async def exchange(self, method: str, url: httpx.URL | str) -> httpx.Response:
        """An answer whose body is still to be read; `next_request` tells where a redirect leads.

        `send` does the same by way of hooks, authentication and a log line that nobody uses: a fifth of the cost of
        a call. The request is as whole as it is: merging it with a client's defaults costs as much as sending it, and
        working out that it has no body a third of making it.
        """
        extensions = {"timeout": self.timeout.as_dict()}
        request = httpx.Request(method, self.base_url, headers=self.headers, stream=_NOTHING, extensions=extensions)
        request.url = _Address(self.base_url, url) if isinstance(url, str) else url
        request.read()
        response = await self._transport_for_url(request.url).handle_async_request(request)
        if response.has_redirect_location:
            try:
                response.next_request = self._build_redirect_request(request, response)
            except BaseException:
                await response.aclose()
                raise
        return response
