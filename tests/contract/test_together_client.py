"""The Together client against a scripted server on loopback: what goes out, what comes back, and how it fails."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.loopback import Answer, Request, SkippingClock, ok, script, serving
from tests.together import EMPTY, ID, KEY, RUNNING, SECRET, Call, answered, provider, shown, without_network_settings
from watcher import __version__
from watcher.domain.observations import EvalRow, Status
from watcher.providers.together import Limits, TogetherProvider
from watcher.service.errors import ConfigError, FailureReason, ProviderError

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "together-api-examples.json").read_text(encoding="utf-8")
)


@pytest.fixture(autouse=True)
def no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    without_network_settings(monkeypatch)


@pytest.fixture
def clock() -> SkippingClock:
    return SkippingClock()


# --- what goes out


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "//v1//"])
async def test_the_base_url_is_taken_with_and_without_its_version(suffix: str, clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = provider(server.url + suffix, clock)
        await client.list_jobs()
        await client.aclose()

    assert server.targets == ["/v1/fine-tunes"]


@pytest.mark.parametrize("path", ["gateway", "a%20b", "a b", "pfad-ä", "x/../y"])
async def test_a_path_before_the_version_is_kept(path: str, clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = provider(f"{server.url}/{path}/v1", clock)
        await client.list_jobs()
        await client.aclose()

    assert server.targets == [httpx.URL(f"http://h/{path}/v1/fine-tunes").raw_path.decode()]


async def test_every_request_names_the_program_and_carries_the_key(clock: SkippingClock) -> None:
    async with serving(script(EMPTY)) as server:
        client = TogetherProvider(account="acme", api_key=f" {KEY}\n", clock=clock, base_url=server.url)
        await client.list_jobs()
        await client.aclose()
    headers = server.requests[0].headers

    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"] == f"watcher/{__version__}"
    assert headers["accept"] == "application/json"


async def test_no_cookie_is_sent_back(clock: SkippingClock) -> None:
    async with serving(script(ok({"data": []}, **{"set-cookie": "edge=1; Path=/"}))) as server:
        client = provider(server.url.replace("127.0.0.1", "localhost"), clock)  # a jar keeps none of an IP address
        await client.list_jobs()
        await client.list_jobs()
        await client.aclose()

    assert "cookie" not in server.requests[1].headers


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

    assert ([row.step for row in found.rows], found.torn) == ([7], None)


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


# --- settings


@pytest.mark.parametrize("key", ["", " ", f"{KEY} b", f"{KEY}\nb", f"{KEY}clé", f"{KEY}\x00b"], ids=repr)
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
