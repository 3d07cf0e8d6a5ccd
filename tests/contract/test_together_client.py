"""The Together client against a scripted server on loopback: what goes out, what comes back, and how it fails."""

import asyncio
import gzip
import json
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import pytest

from tests.loopback import Answer, Request, SkippingClock, ok, script, serving
from watcher import __version__
from watcher.domain.observations import EvalRow, Status
from watcher.providers.together import Limits, TogetherProvider, failures
from watcher.service.errors import ConfigError, FailureReason, ProviderError
from watcher.service.ports import NoTelemetry

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "together-api-examples.json").read_text(encoding="utf-8")
)
KEY = "tgp_v1_planted-key-6041"
SECRET = "planted-secret-77"
ID = "ft-0f1e2d3c-4b5a-4697-8877-665544332211"
RUNNING = {"id": ID, "status": "running", "events": [{"type": "JOB_START", "created_at": "2026-07-02T10:05:00Z"}]}
EMPTY = ok({"data": []})
QUICK = Limits(per_second=1e6, burst=1000)
ONCE = Limits(per_second=1e6, burst=1000, attempts=1)
Call = Callable[[TogetherProvider], Awaitable[object]]
READS: tuple[Call, ...] = (
    lambda p: p.whoami(),
    lambda p: p.list_jobs(),
    lambda p: p.get_job(ID),
    lambda p: p.get_metrics(ID),
    lambda p: p.get_checkpoints(ID),
)
EFFECTS: tuple[Call, ...] = (lambda p: p.cancel(ID), lambda p: p.delete(ID))


class Counted(NoTelemetry):
    """Remembers each exchange."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str, str]] = []

    def api_request(self, account: str, endpoint: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.outcomes.append((account, endpoint, outcome))


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


def provider(url: str, clock: SkippingClock, limits: Limits = QUICK, **more: Any) -> TogetherProvider:
    return TogetherProvider(account="acme", api_key=KEY, clock=clock, base_url=url, limits=limits, **more)


async def answered(answer: Answer | Callable[[Request], Answer], call: Call, limits: Limits = QUICK) -> Any:
    """What one call gives when the server answers so."""
    async with serving(answer if callable(answer) else script(answer)) as server:
        client = provider(server.url, SkippingClock(), limits)
        try:
            return await call(client)
        finally:
            await client.aclose()


async def failure(answer: Answer | Callable[[Request], Answer], call: Call, limits: Limits = ONCE) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await answered(answer, call, limits)
    return caught.value


def shown(exc: BaseException) -> str:
    return str(exc) + repr(exc) + "".join(traceback.format_exception(exc))


# --- what goes out


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "//v1//"])
async def test_the_base_url_is_taken_with_and_without_its_version(suffix: str, clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = provider(server.url + suffix, clock)
        await client.list_jobs()
        await client.aclose()

    assert server.targets == ["/v1/fine-tunes"]


async def test_a_path_before_the_version_is_kept(clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = provider(f"{server.url}/gateway/v1", clock)
        await client.list_jobs()
        await client.aclose()

    assert server.targets == ["/gateway/v1/fine-tunes"]


async def test_every_request_names_the_program_and_carries_the_key(clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = TogetherProvider(account="acme", api_key=f" {KEY}\n", clock=clock, base_url=server.url)
        await client.list_jobs()
        await client.aclose()
    headers = server.requests[0].headers

    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"] == f"watcher/{__version__}"
    assert headers["accept"] == "application/json"


@pytest.mark.parametrize(
    ("call", "method", "target", "answer"),
    [
        (lambda p: p.whoami(), "GET", "/v1/whoami", {}),
        (lambda p: p.list_jobs(), "GET", "/v1/fine-tunes", {}),
        (lambda p: p.get_job(ID), "GET", f"/v1/fine-tunes/{ID}", RUNNING),
        (lambda p: p.get_metrics(ID), "GET", f"/v1/fine-tunes/{ID}/metrics", {}),
        (lambda p: p.get_metrics(ID, from_step=7), "GET", f"/v1/fine-tunes/{ID}/metrics?global_step_from=7", {}),
        (lambda p: p.get_checkpoints(ID), "GET", f"/v1/fine-tunes/{ID}/checkpoints", {}),
        (lambda p: p.cancel(ID), "POST", f"/v1/fine-tunes/{ID}/cancel", RUNNING),
        (lambda p: p.delete(ID), "DELETE", f"/v1/fine-tunes/{ID}", {}),
        (lambda p: p.delete(ID, force=True), "DELETE", f"/v1/fine-tunes/{ID}?force=true", {}),
    ],
    ids=["whoami", "list", "job", "metrics", "metrics from", "checkpoints", "cancel", "delete", "delete by force"],
)
async def test_each_call_is_one_request(
    call: Call, method: str, target: str, answer: object, clock: SkippingClock
) -> None:
    async with serving(script(ok(answer))) as server:
        client = provider(server.url, clock)
        await call(client)
        await client.aclose()

    assert [(request.method, request.target) for request in server.requests] == [(method, target)]


async def test_an_id_stays_one_segment_of_the_path(clock: SkippingClock) -> None:
    async with serving(script(ok({"status": "running", "events": [{}]}))) as server:
        client = provider(server.url, clock)
        await client.get_job("../x?y#z%41")
        await client.aclose()

    assert server.targets == ["/v1/fine-tunes/..%2Fx%3Fy%23z%2541"]


@pytest.mark.parametrize("job_id", ["", ".", "..", "a b", "ft-\r\nx", "x" * 300])
@pytest.mark.parametrize("call", ["get_job", "get_metrics", "get_checkpoints", "cancel", "delete"])
async def test_an_id_that_would_change_the_path_is_never_sent(call: str, job_id: str, clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = provider(server.url, clock)
        with pytest.raises(ProviderError) as caught:
            await getattr(client, call)(job_id)
        await client.aclose()

    assert (server.requests, caught.value.reason, caught.value.retryable) == ([], FailureReason.CLIENT, False)


async def test_connections_are_kept(clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = provider(server.url, clock)
        for _ in range(5):
            await client.list_jobs()
        await client.aclose()

    assert server.connections == 1


# --- what comes back


async def test_the_recorded_answers_are_read() -> None:
    job_id = RECORDED["retrieve_early_stopped"]["body"]["id"]
    listing = await answered(ok(RECORDED["list"]["body"]), lambda p: p.list_jobs())
    detail = await answered(ok(RECORDED["retrieve_early_stopped"]["body"]), lambda p: p.get_job(job_id))
    metrics = await answered(ok(RECORDED["metrics_train_and_eval_early_stop"]["body"]), lambda p: p.get_metrics(ID))
    saved = await answered(ok(RECORDED["checkpoints_early_stopped"]["body"]), lambda p: p.get_checkpoints(ID))
    cancelled = await answered(ok(RECORDED["cancel_response"]["body"]), lambda p: p.cancel(ID))
    message = await answered(ok(RECORDED["delete_response"]["body"]), lambda p: p.delete(ID))

    assert len(listing.jobs) == 3
    assert detail.events[-1].type == "job_complete"
    assert sum(isinstance(row, EvalRow) for row in metrics.rows) == 6
    assert saved[-1].reference == f"{ID}:24"
    assert cancelled.status is Status.CANCEL_REQUESTED
    assert message == "Fine-tune job deleted"


@pytest.mark.parametrize("index", range(4))
async def test_every_way_to_write_no_number_is_survived(index: int) -> None:
    text = RECORDED["metrics_nonfinite_variants_raw_text"]["bodies_as_text"][index]
    found = await answered(Answer(body=text.encode()), lambda p: p.get_metrics(ID))

    assert ([row.step for row in found.rows], found.bad) == ([7], 0)


@pytest.mark.parametrize("index", range(3))
async def test_no_rows_in_three_forms(index: int) -> None:
    found = await answered(ok(RECORDED["metrics_empty_variants"]["bodies"][index]), lambda p: p.get_metrics(ID))

    assert found.rows == ()


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"data": [{"id": "ft-1", "status": "running"}]}',
        b'{"data": [{"id": "ft-1", "status": "running", "suffix": "\\ud800"}]}',
        b'{"data": [{"id": "ft-1", "status": "running", "suffix": "\xff\xfe"}]}',
        b'{"object": "list", "data": [{"id": "ft-1", "status": "running"}, {"id": "ft-1"}]}',
    ],
    ids=["byte order mark", "half a surrogate pair", "not UTF-8", "with object"],
)
async def test_a_list_is_not_lost_for_one_odd_text(body: bytes) -> None:
    found = await answered(Answer(body=body), lambda p: p.list_jobs())

    assert [job.job_id for job in found.jobs] == ["ft-1"]


async def test_packed_answers_are_unpacked() -> None:
    packed = gzip.compress(b'{"data": [{"id": "ft-1", "status": "running"}]}')
    found = await answered(Answer(body=packed, headers={"content-encoding": "gzip"}), lambda p: p.list_jobs())

    assert len(found.jobs) == 1


async def test_a_key_is_looked_up_where_the_newest_sdk_does_when_it_is_not_where(
    clock: SkippingClock,
) -> None:
    who = {"type": "project_api_key", "project": {"id": "p1", "name": "tuning"}, "organization": {"name": "Acme"}}
    async with serving(lambda r: ok(who) if r.target.startswith("/v3") else Answer(status=404)) as server:
        client = provider(server.url, clock)
        found = await client.whoami()
        await client.aclose()

    assert (found.project_id, found.project_name, found.organization) == ("p1", "tuning", "Acme")
    assert server.targets == ["/v1/whoami", "/v3/whoami"]


async def test_a_job_without_its_log_is_asked_for_it(clock: SkippingClock) -> None:
    log = ok(RECORDED["events_early_stopped_refund_wire_case"]["body"])
    async with serving(lambda r: log if r.target.endswith("/events") else ok(RUNNING | {"events": []})) as server:
        client = provider(server.url, clock)
        found = await client.get_job(ID)
        await client.aclose()

    assert found.events[-1].type == "job_complete"
    assert server.targets == [f"/v1/fine-tunes/{ID}", f"/v1/fine-tunes/{ID}/events"]


async def test_a_job_whose_log_is_nowhere_has_none() -> None:
    found = await answered(
        lambda r: Answer(status=404) if r.target.endswith("/events") else ok({"id": ID, "status": "pending"}),
        lambda p: p.get_job(ID),
    )

    assert (found.snapshot.status, found.events) == (Status.PENDING, ())


# --- windows


def history(first: int, last: int) -> Callable[[Request], Answer]:
    """A server with one train row a step that heeds the step filters."""

    def answer(request: Request) -> Answer:
        asked = httpx.URL(request.target).params
        low = max(first, int(asked.get("global_step_from", "0")))
        high = min(last, int(asked.get("global_step_to", str(last))))
        rows = [{"timestamp": 10**18 + n, "train/global_step": n, "train/loss": 1.0} for n in range(low, high + 1)]
        return ok({"metrics": rows})

    return answer


@pytest.mark.parametrize(
    ("from_step", "last_step", "queries"),
    [
        pytest.param(0, None, [""], id="nothing known: everything at once"),
        pytest.param(0, 9, [""], id="shorter than a window"),
        pytest.param(0, 25, ["to=9", "from=10&to=19", "from=20"], id="long history in windows"),
        pytest.param(5, 25, ["from=5&to=14", "from=15&to=24", "from=25"], id="the last window is open"),
        pytest.param(20, 25, ["from=20"], id="only what is new"),
        pytest.param(30, 25, ["from=30"], id="beyond the last known step"),
    ],
)
async def test_long_histories_are_asked_for_in_windows(
    from_step: int, last_step: int | None, queries: list[str], clock: SkippingClock
) -> None:
    async with serving(history(1, 27)) as server:
        client = provider(server.url, clock, Limits(per_second=1e6, window=10))
        found = await client.get_metrics(ID, from_step=from_step, last_step=last_step)
        await client.aclose()

    assert [target.partition("?")[2].replace("global_step_", "") for target in server.targets] == queries
    assert [row.step for row in found.rows] == list(range(max(from_step, 1), 28))


async def test_a_history_too_large_for_one_answer_is_asked_for_in_windows(
    clock: SkippingClock,
) -> None:
    async with serving(history(1, 27)) as server:
        client = provider(server.url, clock, Limits(per_second=1e6, window=10, max_body=1000))
        found = await client.get_metrics(ID)
        await client.aclose()

    assert [row.step for row in found.rows] == list(range(1, 28))
    assert len(server.targets) == 6  # all, three windows, an empty one, and the open end


async def test_a_new_key_in_several_windows_is_told_once() -> None:
    row = {"train/global_step": 1, "train/kl": 0.1}
    found = await answered(
        ok({"metrics": [row]}), lambda p: p.get_metrics(ID, last_step=25), Limits(per_second=1e6, window=10)
    )

    assert ([drift.word for drift in found.drift], len(found.rows)) == (["train/kl"], 3)


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
    ],
    ids=[
        "page", "page type", "page as JSON", "nothing", "204", "cut", "deep", "array", "string", "null", "not packed",
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
    bomb = Answer(body=gzip.compress(b" " * 5_000_000), headers={"content-encoding": "gzip"})
    exc = await failure(bomb, lambda p: p.list_jobs(), Limits(per_second=1e6, max_body=100_000))

    assert exc.reason is FailureReason.PAYLOAD


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
    exc = await failure(answer, call, Limits(per_second=1e6, attempts=1, timeout=0.2))

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


# --- settings


@pytest.mark.parametrize("key", ["", " ", "a b", "a\nb", "clé", "a\x00b"], ids=repr)
def test_a_key_that_no_header_takes_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TogetherProvider(account="acme", api_key=key, clock=SkippingClock())

    assert not key.strip() or key not in shown(caught.value)


@pytest.mark.parametrize("url", ["", "ftp://host", "host", "http://", f"https://user:{SECRET}@host/v1"])
def test_a_base_url_that_is_none_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TogetherProvider(account="acme", api_key=KEY, clock=SkippingClock(), base_url=url)

    assert SECRET not in str(caught.value)


async def test_nothing_shows_the_key(clock: SkippingClock) -> None:
    client = provider("http://127.0.0.1:9", clock)
    parts = (client, *vars(client).values(), *vars(client._caller).values())
    await client.aclose()

    assert repr(client) == "TogetherProvider(account='acme')"
    assert KEY not in "".join(map(repr, parts))


def test_telemetry_and_limits_have_defaults() -> None:
    client = TogetherProvider(account="acme", api_key=KEY, clock=SkippingClock())

    assert client._root == "https://api.together.ai"
