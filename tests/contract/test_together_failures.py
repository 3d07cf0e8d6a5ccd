"""How the Together client fails: every status, every broken exchange, every redirect, and never with a secret."""

import asyncio
import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from tests.loopback import Answer, Request, SkippingClock, ok, script, serving
from tests.together import (
    EMPTY,
    ID,
    KEY,
    ONCE,
    SECRET,
    Call,
    Counted,
    failure,
    provider,
    shown,
    without_network_settings,
)
from watcher.providers.together import Limits, failures
from watcher.service.errors import FailureReason, ProviderError

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "together-api-examples.json").read_text(encoding="utf-8")
)
READS: tuple[Call, ...] = (
    lambda p: p.whoami(),
    lambda p: p.list_jobs(),
    lambda p: p.get_job(ID),
    lambda p: p.get_metrics(ID),
    lambda p: p.get_checkpoints(ID),
)
EFFECTS: tuple[Call, ...] = (lambda p: p.cancel(ID), lambda p: p.delete(ID))


@pytest.fixture(autouse=True)
def no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    without_network_settings(monkeypatch)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


# --- statuses and broken answers

EXPECTED = {
    401: (FailureReason.AUTH, False),
    402: (FailureReason.BILLING, False),
    403: (FailureReason.FORBIDDEN, False),
    404: (FailureReason.NOT_FOUND, False),
    408: (FailureReason.TIMEOUT, True),
    409: (FailureReason.CONFLICT, True),
    429: (FailureReason.RATE_LIMITED, True),
}


async def test_every_status_has_its_reason_and_shows_no_secret(clock: SkippingClock) -> None:
    status = 400
    body = json.dumps({"error": {"message": SECRET, "type": SECRET, "param": None, "code": None}}).encode()
    async with serving(lambda _: Answer(status=status, body=body, headers={"x-note": SECRET})) as server:
        client = provider(f"{server.url}/{SECRET}", clock, ONCE)
        for status in range(400, 600):
            with pytest.raises(ProviderError) as caught:
                await client.list_jobs()
            exc = caught.value
            ours = (FailureReason.SERVER, True) if status >= 500 else (FailureReason.CLIENT, False)
            assert (exc.reason, exc.retryable) == EXPECTED.get(status, ours), status
            assert (exc.status, exc.maybe_done) == (status, False)
            assert SECRET not in shown(exc)
            assert KEY not in shown(exc)
        await client.aclose()


async def test_an_effect_that_was_refused_is_not_done_and_one_that_broke_may_be(clock: SkippingClock) -> None:
    status = 400
    async with serving(lambda _: Answer(status=status)) as server:
        client = provider(server.url, clock)
        for status in range(400, 600):
            with pytest.raises(ProviderError) as caught:
                await client.cancel(ID)
            assert caught.value.maybe_done == (status >= 500 or status == 408), status
        await client.aclose()

    assert len(server.requests) == 200  # one POST each, never a second


@pytest.mark.parametrize("call", READS, ids=["whoami", "list", "job", "metrics", "checkpoints"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=b"<html>wait</html>", headers={"content-type": "text/html; charset=utf-8"}),
        Answer(body=b'{"data": []}', headers={"content-type": "text/html"}),
        Answer(body=b"<html>wait</html>"),
        Answer(body=b""),
        Answer(status=204, body=b""),
        Answer(body=b'{"data": ['),
        Answer(body=b"[" * 100_000),
        Answer(body=b"[]"),
        Answer(body=b'"text"'),
        Answer(body=b"null"),
        Answer(body=b"not gzip", headers={"content-encoding": "gzip"}),
        Answer(body=b'{"data": []}', headers={"content-encoding": "br"}),
    ],
    ids=[
        "page", "page type", "page as JSON", "nothing", "204", "cut", "deep", "array", "string", "null", "not packed",
        "packed otherwise",
    ],
)  # fmt: skip
async def test_a_2xx_that_is_not_the_answer_may_be_asked_again(call: Call, answer: Answer) -> None:
    exc = await failure(answer, call)

    assert (exc.reason, exc.retryable) == (FailureReason.PAYLOAD, True)


@pytest.mark.parametrize("value", [{"data": {}}, {"data": "x"}, {"error": {"message": SECRET}}], ids=repr)
async def test_a_list_of_another_shape_is_no_empty_list(value: object) -> None:
    exc = await failure(ok(value), lambda p: p.list_jobs())

    assert exc.reason is FailureReason.PAYLOAD
    assert SECRET not in shown(exc)


@pytest.mark.parametrize("value", [{}, {"id": "ft-other", "status": "error"}, {"id": ID}], ids=repr)
async def test_the_answer_for_another_job_is_refused(value: object) -> None:
    assert (await failure(ok(value), lambda p: p.get_job(ID))).reason is FailureReason.PAYLOAD
    assert (await failure(ok(value), lambda p: p.cancel(ID))).maybe_done


async def test_a_body_over_the_limit_is_not_read_to_its_end() -> None:
    limits = Limits(per_second=1e6, max_body=100_000)
    exc = await failure(Answer(body=b" " * 400_000), lambda p: p.list_jobs(), limits)

    assert (exc.reason, exc.retryable) == (FailureReason.PAYLOAD, False)


async def test_a_bomb_is_not_unpacked() -> None:
    bomb = Answer(body=gzip.compress(b" " * 50_000_000), headers={"content-encoding": "gzip"})
    tracemalloc.start()
    try:
        exc = await failure(bomb, lambda p: p.list_jobs(), Limits(per_second=1e6, max_body=100_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert (exc.reason, exc.retryable) == (FailureReason.PAYLOAD, False)
    assert peak < 10_000_000  # bytes; a chunk that is unpacked whole takes 50 million


# --- broken connections


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Answer(raw=b""), FailureReason.NETWORK, id="closed without a word"),
        pytest.param(Answer(raw=b"SSH-2.0-x\r\n\r\n"), FailureReason.NETWORK, id="another protocol"),
        pytest.param(Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{"), FailureReason.NETWORK, id="cut"),
        pytest.param(Answer(raw=b"HTTP/1.1 200 OK\r\n", stall=True), FailureReason.TIMEOUT, id="silent"),
        pytest.param(
            Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{", stall=True), FailureReason.TIMEOUT, id="drips"
        ),
    ],
)
@pytest.mark.parametrize("call", [READS[1], EFFECTS[0]], ids=["list", "cancel"])
async def test_a_broken_exchange_is_named_and_an_effect_may_be_done(
    call: Call, answer: Answer, reason: FailureReason
) -> None:
    deadline = 0.2 if answer.stall else 30.0
    exc = await failure(answer, call, Limits(per_second=1e6, attempts=1, timeout=deadline))

    assert (exc.reason, exc.retryable) == (reason, True)
    assert exc.maybe_done == (call is EFFECTS[0])
    assert KEY not in shown(exc)


async def test_a_post_that_never_left_is_not_done(clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        url = server.url
    client = provider(url, clock)
    with pytest.raises(ProviderError) as caught:
        await client.cancel(ID)
    await client.aclose()

    assert (caught.value.reason, caught.value.maybe_done) == (FailureReason.NETWORK, False)


async def test_a_host_without_an_address_is_the_network(clock: SkippingClock) -> None:
    client = provider("http://no-such-host.invalid", clock, ONCE)
    with pytest.raises(ProviderError) as caught:
        await client.list_jobs()
    await client.aclose()

    assert (caught.value.reason, caught.value.retryable) == (FailureReason.NETWORK, True)


def error_classes(base: type[Exception]) -> list[type[Exception]]:
    """The class and all below it."""
    return [base, *(found for direct in base.__subclasses__() for found in error_classes(direct))]


@pytest.mark.parametrize("kind", sorted(error_classes(httpx.HTTPError), key=repr))
def test_every_error_of_the_http_library_has_a_reason_and_shows_no_secret(kind: type[Exception]) -> None:
    exc = kind.__new__(kind, SECRET)
    Exception.__init__(exc, SECRET)
    ours = failures.of_exception("list_jobs", exc, effect=False)

    assert isinstance(exc, failures.FAILURES)
    assert (ours.reason is FailureReason.TIMEOUT) == issubclass(kind, httpx.TimeoutException)
    assert (ours.reason is FailureReason.PAYLOAD) == issubclass(kind, httpx.DecodingError)
    assert (ours.retryable, ours.maybe_done) == (True, False)
    assert SECRET not in str(ours) + repr(ours)


@pytest.mark.parametrize(
    "kind", [httpx.InvalidURL, httpx.StreamClosed, aiohttp.ClientError, TimeoutError, OSError, ValueError]
)
def test_what_the_transport_lets_through_is_caught_too(kind: type[Exception]) -> None:
    assert issubclass(kind, failures.FAILURES)


def test_a_lost_connection_that_the_transport_calls_a_connect_timeout_is_no_timeout_and_was_sent() -> None:
    exc = httpx.ConnectTimeout("")
    exc.__cause__ = aiohttp.ServerDisconnectedError()
    ours = failures.of_exception("cancel", exc, effect=True)

    assert (ours.reason, ours.maybe_done) == (FailureReason.NETWORK, True)


def test_a_connect_timeout_was_not_sent() -> None:
    exc = httpx.ConnectTimeout("")
    exc.__cause__ = aiohttp.ConnectionTimeoutError()
    ours = failures.of_exception("cancel", exc, effect=True)

    assert (ours.reason, ours.maybe_done) == (FailureReason.TIMEOUT, False)


async def test_a_cancelled_task_stays_cancelled_and_frees_its_slot(clock: SkippingClock) -> None:
    counted = Counted()
    async with serving(script(EMPTY)) as server:
        server.gate = asyncio.Event()
        client = provider(server.url, clock, Limits(per_second=1e6, concurrency=1), telemetry=counted)
        task = asyncio.create_task(client.list_jobs())
        await server.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.gate.set()
        await client.list_jobs()
        await client.aclose()

    assert [outcome for _, _, outcome in counted.outcomes] == ["aborted", "ok"]


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_the_key_is_not_taken_to_another_host(status: int, clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as elsewhere:
        away = Answer(status=status, headers={"location": f"{elsewhere.url}/v1/fine-tunes"})
        async with serving(script(away)) as server:
            client = provider(server.url, clock, ONCE)
            with pytest.raises(ProviderError) as caught:
                await client.list_jobs()
            await client.aclose()

    assert (elsewhere.requests, caught.value.reason) == ([], FailureReason.PAYLOAD)
    assert elsewhere.url not in shown(caught.value)


async def test_a_redirect_on_the_host_is_followed_by_a_read_and_never_by_an_effect(clock: SkippingClock) -> None:
    def answer(request: Request) -> Answer:
        moved = Answer(status=308, headers={"location": f"{request.target}/"})
        return EMPTY if request.target.endswith("/") else moved

    async with serving(answer) as server:
        client = provider(server.url, clock)
        await client.list_jobs()
        with pytest.raises(ProviderError):
            await client.cancel(ID)
        await client.aclose()

    assert server.targets == ["/v1/fine-tunes", "/v1/fine-tunes/", f"/v1/fine-tunes/{ID}/cancel"]


async def test_a_circle_of_redirects_ends(clock: SkippingClock) -> None:
    async with serving(lambda request: Answer(status=302, headers={"location": request.target})) as server:
        client = provider(server.url, clock, ONCE)
        with pytest.raises(ProviderError):
            await client.list_jobs()
        await client.aclose()

    assert len(server.requests) == 4
