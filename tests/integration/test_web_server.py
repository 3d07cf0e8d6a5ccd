"""The server on real loopback sockets: where it listens, whom it answers, and how it ends."""

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from watcher.service.errors import ConfigError
from watcher.web.server import WebServer


async def _hello(_: Request) -> Response:
    return PlainTextResponse("hello")


HELLO = Starlette(routes=[Route("/", _hello)])


@asynccontextmanager
async def serving(host: str = "127.0.0.1", port: int = 0, app: Starlette = HELLO) -> AsyncIterator[WebServer]:
    server = WebServer(app, host, port)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


async def fetch(url: str, host: str | None = None) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False) as client:
        return await client.get(url, headers={} if host is None else {"Host": host})


async def raw(port: int, request: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request.encode())
    answer = (await reader.read()).decode()
    writer.close()
    return answer


async def test_port_0_picks_one_and_the_url_tells_it() -> None:
    async with serving() as server:
        answer = await fetch(server.url)

        assert server.url == f"http://127.0.0.1:{server.port}"
        assert server.port > 0
        assert answer.text == "hello"


async def test_after_stop_the_port_is_free_and_stopping_again_does_nothing() -> None:
    async with serving() as server:
        await server.stop()

        with socket.create_server(("127.0.0.1", server.port)):
            await server.stop()


async def test_a_server_that_never_started_can_be_stopped() -> None:
    await WebServer(HELLO, "127.0.0.1", 0).stop()


async def test_a_stopped_server_can_start_again() -> None:
    server = WebServer(HELLO, "127.0.0.1", 0)
    await server.start()
    await server.stop()
    await server.start()

    answer = await fetch(server.url)

    assert answer.text == "hello"
    await server.stop()


async def test_a_port_in_use_names_the_setting_and_its_value() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(ConfigError, match=re.escape(f"web.port: {port} is in use on 127.0.0.1; expected a free")):
            await WebServer(HELLO, "127.0.0.1", port).start()


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "no-such-host.invalid", "a..b", "\x00"])
async def test_an_address_that_is_not_ours_names_the_setting(host: str) -> None:
    with pytest.raises(ConfigError, match=r"web\.host"):
        await WebServer(HELLO, host, 0).start()


async def test_the_signals_stay_the_daemons() -> None:
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in watched]
    async with serving():
        during = [signal.getsignal(number) for number in watched]

    assert during == before


# --- whom it answers ---


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "LocalHost", "[::1]"])
@pytest.mark.parametrize("port", ["", ":{port}", ":80"])
async def test_its_own_names_are_answered(name: str, port: str) -> None:
    async with serving() as server:
        answer = await fetch(server.url, name + port.format(port=server.port))

    assert answer.status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example",
        "evil.example:8321",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example@127.0.0.1",
        "127.0.0.1:80:80",
        "[::1",
        "",
    ],
)
async def test_a_site_that_resolves_its_name_to_us_is_not_answered(name: str) -> None:
    async with serving() as server:
        answer = await fetch(server.url, name)

    assert answer.status_code == 421
    assert "hello" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_request_without_a_host_is_not_answered() -> None:
    async with serving() as server:
        assert (await raw(server.port, "GET / HTTP/1.0\r\n\r\n")).startswith("HTTP/1.1 421")


async def test_a_request_with_two_hosts_is_not_answered() -> None:
    request = "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    async with serving() as server:
        assert (await raw(server.port, request)).startswith("HTTP/1.1 400")


async def test_on_an_address_for_others_any_name_is_answered() -> None:
    async with serving("0.0.0.0") as server:
        answer = await fetch(f"http://127.0.0.1:{server.port}", "watcher.example.org")

    assert answer.status_code == 200


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
async def test_ipv6_loopback_is_loopback_too() -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback address")
    async with serving("::1") as server:
        good, bad = await fetch(server.url), await fetch(server.url, "evil.example")

    assert server.url == f"http://[::1]:{server.port}"
    assert (good.status_code, bad.status_code) == (200, 421)


async def test_the_answer_does_not_say_which_server_it_is() -> None:
    async with serving() as server:
        assert "server" not in (await fetch(server.url)).headers


# --- how it ends ---


async def _stopped_in(seconds: float, server: WebServer) -> bool:
    try:
        await asyncio.wait_for(server.stop(), seconds)
    except TimeoutError:
        return False
    return True


async def test_idle_and_half_spoken_connections_do_not_hold_up_the_end() -> None:
    async with serving() as server:
        _, idle = await asyncio.open_connection("127.0.0.1", server.port)
        _, half = await asyncio.open_connection("127.0.0.1", server.port)
        half.write(b"GET / HTTP/1.1\r\nHost: local")
        await half.drain()
        await fetch(server.url)

        assert await _stopped_in(1.5, server)
        idle.close()
        half.close()


async def test_an_answer_under_way_is_finished_before_the_end() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Request) -> Response:
        begun.set()
        await go_on.wait()
        return PlainTextResponse("finished")

    async with serving(app=Starlette(routes=[Route("/", slow)])) as server:
        asked = asyncio.create_task(fetch(server.url))
        await begun.wait()
        stopping = asyncio.create_task(server.stop())
        while not _refuses(server.port):  # noqa: ASYNC110 - the server tells nobody when it stopped listening
            await asyncio.sleep(0)
        go_on.set()
        await stopping

        assert (await asked).text == "finished"


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


async def test_behind_a_proxy_it_answers_to_the_public_name_too() -> None:
    server = WebServer(HELLO, "127.0.0.1", 0, also=("watcher.example.com",))
    await server.start()
    try:
        answers = [await fetch(server.url, host) for host in ("watcher.example.com", "evil.example.com", None)]
    finally:
        await server.stop()

    assert [answer.status_code for answer in answers] == [200, 421, 200]
