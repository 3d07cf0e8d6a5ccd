"""When the Together client asks again, how long it waits, and how fast it asks; on a clock that only sleeping moves."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from tests.loopback import Answer, Request, SkippingClock, ok, script, serving
from tests.together import EMPTY, ID, KEY, QUICK, Counted, without_network_settings
from watcher.providers.together import Limits, TogetherProvider
from watcher.providers.together.breaker import FAILURES, LASTING, REST
from watcher.providers.together.connection import http_client
from watcher.providers.together.pace import Pace
from watcher.providers.together.transport import Caller, any_up_to, headers_of
from watcher.service.errors import FailureReason, ProviderError
from watcher.service.ports import NoTelemetry

CUT = Answer(raw=b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{")


@pytest.fixture(autouse=True)
def no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    without_network_settings(monkeypatch)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


async def tries(clock: SkippingClock, *answers: Answer, limits: Limits = QUICK, **more: Any) -> int | ProviderError:
    """How many requests a list took, or the error it ended with; the last answer is for ever."""
    async with serving(script(*answers)) as server:
        client = TogetherProvider(account="acme", api_key=KEY, clock=clock, base_url=server.url, limits=limits, **more)
        try:
            await client.list_jobs()
        except ProviderError as exc:
            return exc
        finally:
            await client.aclose()
        return len(server.requests)


async def waited(clock: SkippingClock, status: int = 429, **headers: str) -> list[float]:
    """The sleeps between a refusal with these headers and the answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    assert await tries(clock, Answer(status=status, headers=named), EMPTY) == 2
    return clock.slept


async def refused(clock: SkippingClock, **headers: str) -> ProviderError:
    """The error of a list whose every request is refused with 429 and these headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    exc = await tries(clock, Answer(status=429, headers=named))
    assert isinstance(exc, ProviderError)
    return exc


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 524, 529])
async def test_a_read_that_may_succeed_is_tried_again(status: int, clock: SkippingClock) -> None:
    assert await tries(clock, Answer(status=status), Answer(status=status), EMPTY) == 3


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 410, 422])
async def test_a_read_that_can_not_succeed_is_not(status: int, clock: SkippingClock) -> None:
    exc = await tries(clock, Answer(status=status), EMPTY)

    assert isinstance(exc, ProviderError)
    assert clock.slept == []


@pytest.mark.parametrize(
    "broken",
    [
        Answer(raw=b""),
        CUT,
        Answer(body=b"<html>", headers={"content-type": "text/html"}),
    ],
    ids=["closed", "cut", "a page"],
)
async def test_a_broken_answer_to_a_read_is_asked_for_again(broken: Answer, clock: SkippingClock) -> None:
    assert await tries(clock, broken, broken, EMPTY, limits=Limits(per_second=1e6, attempts=5)) == 3


async def test_the_last_try_ends_with_the_last_error(clock: SkippingClock) -> None:
    exc = await tries(clock, Answer(status=500), Answer(status=502), Answer(status=503))

    assert isinstance(exc, ProviderError)
    assert (exc.reason, exc.status, len(clock.slept)) == (FailureReason.SERVER, 503, 2)


@pytest.mark.parametrize("call", ["cancel", "delete"])
@pytest.mark.parametrize(
    "answer",
    [Answer(status=429), Answer(status=409), Answer(status=503, headers={"x-should-retry": "true"}), CUT],
    ids=["429", "409", "503 that asks for it", "cut"],
)
async def test_an_effect_is_sent_once(call: str, answer: Answer, clock: SkippingClock) -> None:
    async with serving(script(answer)) as server:
        client = TogetherProvider(account="a", api_key=KEY, clock=clock, base_url=server.url, limits=QUICK)
        with pytest.raises(ProviderError):
            await getattr(client, call)(ID)
        await client.aclose()

    assert (len(server.requests), clock.slept) == (1, [])


async def test_a_cancel_on_a_kept_connection_that_the_server_closed_is_sent_once(clock: SkippingClock) -> None:
    async with serving(script(EMPTY, Answer(raw=b""))) as server:
        client = TogetherProvider(account="a", api_key=KEY, clock=clock, base_url=server.url, limits=QUICK)
        await client.list_jobs()
        with pytest.raises(ProviderError) as caught:
            await client.cancel(ID)
        await client.aclose()

    assert [request.method for request in server.requests] == ["GET", "POST"]
    assert caught.value.maybe_done


# --- how long


async def test_the_server_says_how_long_in_milliseconds(clock: SkippingClock) -> None:
    assert await waited(clock, retry_after_ms="1500", retry_after="5", x_ratelimit_reset="6") == [1.5]


async def test_the_server_says_how_long_in_seconds(clock: SkippingClock) -> None:
    assert await waited(clock, 503, retry_after="2", x_ratelimit_reset="6") == [2.0]


async def test_the_server_says_until_when(clock: SkippingClock) -> None:
    until = format_datetime(clock.now() + timedelta(seconds=3), usegmt=True)

    assert await waited(clock, retry_after=until) == [3.0]


async def test_a_date_that_is_over_is_no_wait(clock: SkippingClock) -> None:
    assert await waited(clock, retry_after="Thu, 01 Jan 2026 00:00:00 GMT") == [0.0]


async def test_the_documented_hint_that_no_sdk_reads_is_obeyed(clock: SkippingClock) -> None:
    assert await waited(clock, x_ratelimit_reset="4") == [4.0]


@pytest.mark.parametrize("value", ["soon", "", "-1", "nan", "inf", "1779196193", "Thu, 99 Foo 2026"])
async def test_a_hint_that_is_none_is_ignored(value: str, clock: SkippingClock) -> None:
    slept = await waited(clock, retry_after=value, x_ratelimit_reset=value)

    assert len(slept) == 1
    assert 0 <= slept[0] <= QUICK.backoff


@pytest.mark.parametrize("header", ["retry_after", "x_ratelimit_reset"])
async def test_a_wait_that_is_too_long_for_one_sweep_is_left_to_the_next(header: str, clock: SkippingClock) -> None:
    exc = await refused(clock, **{header: "61"})

    assert (exc.reason, exc.retryable, exc.retry_after) == (FailureReason.RATE_LIMITED, True, 61.0)
    assert clock.slept == []


async def test_waits_together_stay_within_the_budget(clock: SkippingClock) -> None:
    exc = await refused(clock, retry_after="5")

    assert exc.retry_after == 5.0
    assert clock.slept == [5.0]  # a second one would end after ten seconds of eight


async def test_the_queue_of_a_busy_account_is_no_part_of_the_budget(clock: SkippingClock) -> None:
    async with serving(script(EMPTY, Answer(status=500), EMPTY)) as server:
        client = TogetherProvider(
            account="a", api_key=KEY, clock=clock, base_url=server.url, limits=Limits(per_second=0.05, burst=1)
        )
        await client.list_jobs()
        await client.list_jobs()
        await client.aclose()

    assert len(server.requests) == 3


async def test_random_waits_have_a_ceiling_that_doubles_up_to_a_bound(clock: SkippingClock) -> None:
    ceilings: list[float] = []

    def none_of(ceiling: float) -> float:
        ceilings.append(ceiling)
        return 0.0

    limits = Limits(per_second=1e6, attempts=6)
    async with serving(script(Answer(status=500))) as server:
        http = http_client(headers_of("k"), deadline=limits.timeout, concurrency=1, root=server.url)
        caller = Caller("acme", http, clock, NoTelemetry(), limits, jitter=none_of)
        with pytest.raises(ProviderError):
            await caller.get("list_jobs", server.url)
        await caller.aclose()

    assert ceilings == [0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    assert len(server.requests) == 6


def test_jitter_is_full() -> None:
    draws = [any_up_to(1.0) for _ in range(1000)]

    assert 0.0 <= min(draws) < 0.1
    assert 0.9 < max(draws) <= 1.0


@pytest.mark.parametrize(("status", "word", "expected"), [(503, "false", 1), (400, "true", 3), (503, "maybe", 3)])
async def test_the_server_may_say_whether_to_ask_again(
    status: int, word: str, expected: int, clock: SkippingClock
) -> None:
    counted = Counted()
    exc = await tries(clock, Answer(status=status, headers={"x-should-retry": word}), telemetry=counted)

    assert isinstance(exc, ProviderError)
    assert exc.retryable == (expected > 1)
    assert len(counted.outcomes) == expected


async def test_each_try_is_counted_under_its_outcome(clock: SkippingClock) -> None:
    counted = Counted()
    await tries(clock, Answer(status=429), CUT, EMPTY, telemetry=counted, limits=Limits(attempts=9))

    assert counted.outcomes == [
        ("acme", "list_jobs", "rate_limited"), ("acme", "list_jobs", "network"), ("acme", "list_jobs", "ok"),
    ]  # fmt: skip


# --- how fast


async def test_requests_keep_their_rate_after_a_burst(clock: SkippingClock) -> None:
    pace = Pace(clock, per_second=2.0, burst=3, concurrency=1)
    left = []
    for _ in range(6):
        await pace.turn()
        left.append(clock.monotonic() - 1000.0)

    assert left == [0.0, 0.0, 0.0, 0.5, 1.0, 1.5]


async def test_a_pause_saves_up_no_more_than_the_burst(clock: SkippingClock) -> None:
    pace = Pace(clock, per_second=2.0, burst=3, concurrency=1)
    clock.advance(3600)
    for _ in range(5):
        await pace.turn()

    assert clock.slept == [0.5, 0.5]


async def test_a_refusal_holds_the_whole_account(clock: SkippingClock) -> None:
    pace = Pace(clock, per_second=2.0, burst=3, concurrency=1)
    pace.hold(10.0)
    await pace.turn()

    assert clock.slept == [10.0]


async def test_the_client_keeps_its_rate(clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = TogetherProvider(
            account="a", api_key=KEY, clock=clock, base_url=server.url, limits=Limits(per_second=4.0, burst=1)
        )
        for _ in range(5):
            await client.list_jobs()
        await client.aclose()

    assert clock.slept == [0.25] * 4


async def test_no_more_requests_at_once_than_allowed(clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        server.gate = asyncio.Event()
        limits = Limits(per_second=1e6, burst=1000, concurrency=3)
        client = TogetherProvider(account="a", api_key=KEY, clock=clock, base_url=server.url, limits=limits)
        async with asyncio.TaskGroup() as group:
            for _ in range(12):
                group.create_task(client.list_jobs())
            await reached(lambda: server.busy, 3)
            server.gate.set()
        await client.aclose()

    assert (server.most_busy, len(server.requests)) == (3, 12)


async def reached(value: Callable[[], int], goal: int) -> None:
    async with asyncio.timeout(5):
        while value() < goal:  # noqa: ASYNC110 - the server counts, it has no event for a number
            await asyncio.sleep(0.001)


# --- when nothing gets through


async def test_where_nothing_gets_through_nobody_waits_for_a_failure_of_his_own(clock: SkippingClock) -> None:
    """Of two hundred jobs some find out that the API does not answer; the others are told so."""

    def fail(_: Request) -> Answer:
        clock.advance(1.0)
        return CUT

    async with serving(fail) as server, _client(server.url, clock) as client:
        ended = await asyncio.gather(*(client.get_metrics(f"ft-{n}") for n in range(200)), return_exceptions=True)
        asked = len(server.requests)
        reasons = {error.reason for error in ended if isinstance(error, ProviderError)}

        assert len(server.requests) <= FAILURES + 4
        assert len([error for error in ended if "not asked" in str(error)]) == 200 - asked
        assert reasons == {FailureReason.NETWORK}
        assert all(isinstance(error, ProviderError) and error.retryable for error in ended)

        clock.advance(REST)
        with pytest.raises(ProviderError, match="get_metrics"):
            await client.get_metrics(ID)
        assert len(server.requests) == asked + 1  # one finds out for all

        clock.advance(REST)
        server.answer = script(ok({"metrics": []}))
        await client.get_metrics(ID)
        server.answer = script(CUT)
        for _ in range(FAILURES - 1):
            with pytest.raises(ProviderError):
                await client.get_metrics(ID)
            clock.advance(1.0)
        assert len(server.requests) == asked + 1 + FAILURES


async def test_a_short_outage_is_for_tries(clock: SkippingClock) -> None:
    async with serving(script(CUT)) as server, _client(server.url, clock) as client:
        for _ in range(3 * FAILURES):
            clock.advance(LASTING / FAILURES / 4)
            with pytest.raises(ProviderError):
                await client.get_metrics(ID)

        assert len(server.requests) == 3 * FAILURES


@pytest.mark.parametrize("status", [401, 404, 429])
async def test_an_api_that_answers_is_not_down(status: int, clock: SkippingClock) -> None:
    async with serving(script(Answer(status=status))) as server, _client(server.url, clock) as client:
        for _ in range(2 * FAILURES):
            clock.advance(LASTING)
            with pytest.raises(ProviderError):
                await client.get_metrics(ID)

        assert len(server.requests) == 2 * FAILURES


@asynccontextmanager
async def _client(url: str, clock: SkippingClock) -> AsyncIterator[TogetherProvider]:
    """One that tries each call once."""
    limits = Limits(per_second=1e5, attempts=1, concurrency=4)
    client = TogetherProvider(account="acme", api_key=KEY, clock=clock, base_url=url, limits=limits)
    try:
        yield client
    finally:
        await client.aclose()
