"""The Together client behind proxies and private certificates, set by the usual environment variables."""

import asyncio
import base64
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.loopback import Answer, SkippingClock, script, serving
from tests.together import EMPTY, KEY, ONCE, without_network_settings
from watcher.providers.together import TogetherProvider
from watcher.service.errors import ConfigError, FailureReason, ProviderError

OPENSSL = shutil.which("openssl")


@pytest.fixture(autouse=True)
def no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    without_network_settings(monkeypatch)


async def list_of(url: str) -> object:
    client = TogetherProvider(account="a", api_key=KEY, clock=SkippingClock(), base_url=url, limits=ONCE)
    try:
        return await client.list_jobs()
    finally:
        await client.aclose()


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_proxy_for_http_is_asked_for_the_whole_address(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(script(EMPTY)) as proxy:
        monkeypatch.setenv(name, proxy.url)
        await list_of("http://api.together.invalid/v1")

    assert proxy.targets == ["http://api.together.invalid/v1/fine-tunes"]
    assert proxy.requests[0].headers["authorization"] == f"Bearer {KEY}"


# the transport hands aiohttp the old form, which aiohttp 3 takes; only this suite makes its warning an error
@pytest.mark.filterwarnings("ignore:.*(BasicAuth|proxy_auth).*deprecated:DeprecationWarning")
async def test_a_proxy_may_want_a_name_and_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(script(EMPTY)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//user:pass@"))
        await list_of("http://api.together.invalid/v1")
    expected = base64.b64encode(b"user:pass").decode()

    assert proxy.requests[0].headers["proxy-authorization"] == f"Basic {expected}"


@pytest.mark.parametrize("hosts", ["127.0.0.1", "*", "example.com,127.0.0.1"])
async def test_no_proxy_goes_straight(hosts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(script(EMPTY)) as proxy, serving(script(EMPTY)) as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", hosts)
        await list_of(server.url)

    assert (len(proxy.requests), len(server.requests)) == (0, 1)


async def test_a_proxy_for_https_is_asked_for_a_tunnel_and_never_sees_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(script(Answer(status=502))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(ProviderError) as caught:
            await list_of("https://api.together.invalid/v1")

    assert [(request.method, request.target) for request in proxy.requests] == [("CONNECT", "api.together.invalid:443")]
    assert "authorization" not in proxy.requests[0].headers
    assert (caught.value.reason, caught.value.retryable) == (FailureReason.NETWORK, True)


async def test_a_tunnel_that_was_refused_means_that_a_cancel_was_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(script(Answer(status=407))) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        client = TogetherProvider(account="a", api_key=KEY, clock=SkippingClock())
        with pytest.raises(ProviderError) as caught:
            await client.cancel("ft-1")
        await client.aclose()

    assert (caught.value.reason, caught.value.maybe_done) == (FailureReason.NETWORK, False)


async def test_a_proxy_that_is_down_is_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(script(EMPTY)) as proxy:
        url = proxy.url
    monkeypatch.setenv("HTTPS_PROXY", url)
    with pytest.raises(ProviderError) as caught:
        await list_of("https://api.together.invalid/v1")

    assert caught.value.reason is FailureReason.NETWORK


@pytest.mark.parametrize(
    ("name", "value"), [("SSL_CERT_FILE", "/no/such/file"), ("HTTPS_PROXY", "ftp://user:planted@proxy")]
)
def test_a_variable_that_can_not_be_used_is_named(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        TogetherProvider(account="a", api_key=KEY, clock=SkippingClock())

    assert "SSL_CERT_FILE" in str(caught.value)
    assert "planted" not in str(caught.value)


# --- certificates


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this host that no public authority signed, with its key in the same file."""
    if OPENSSL is None:
        pytest.skip("openssl makes the certificate")
    where = tmp_path / "host.pem"
    subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = [OPENSSL, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([*made, *subject, "-keyout", where, "-out", f"{where}.crt"], check=True, capture_output=True)  # noqa: S603
    where.write_bytes(where.read_bytes() + Path(f"{where}.crt").read_bytes())
    return where


def server_side(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_a_private_authority_is_trusted_when_the_environment_says_so(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(script(EMPTY), server_side(certificate)) as server:
        await list_of(server.url.replace("http:", "https:"))

    assert server.targets == ["/v1/fine-tunes"]


async def test_a_certificate_of_nobody_known_is_the_network_and_the_key_stays_here(certificate: Path) -> None:
    async with serving(script(EMPTY), server_side(certificate)) as server:
        with pytest.raises(ProviderError) as caught:
            await list_of(server.url.replace("http:", "https:"))

    assert (server.requests, caught.value.reason) == ([], FailureReason.NETWORK)


@asynccontextmanager
async def tunnelling(port: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A proxy that opens every tunnel to one port of this host; gives its address and what it was asked."""
    asked: list[bytes] = []
    pumps: set[asyncio.Task[None]] = set()

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        onward, back = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        pumps.add(asyncio.create_task(pump(reader, back)))
        pumps.add(asyncio.create_task(pump(onward, writer)))

    proxy = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}", asked
    finally:
        proxy.close()
        await asyncio.gather(*pumps, return_exceptions=True)
        await proxy.wait_closed()


async def test_through_a_tunnel_the_proxy_sees_neither_path_nor_key(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(script(EMPTY), server_side(certificate)) as server, tunnelling(server.port) as (proxy, asked):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        await list_of(f"https://127.0.0.1:{server.port}")

    assert server.targets == ["/v1/fine-tunes"]
    assert len(asked) == 1
    assert KEY.encode() not in asked[0]
