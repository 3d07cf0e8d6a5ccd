"""An id is a name and never a path: on the wire, in the page's addresses, and in file names."""

from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from tests.loopback import SkippingClock, ok, serving
from tests.together import provider
from tests.website import open_site
from watcher.cli.demo.receiver import NotificationReceiver
from watcher.service.errors import ProviderError
from watcher.service.ports import Provider

IDS = [
    pytest.param("..", id="the folder above"),
    pytest.param("../../v1/files", id="another endpoint"),
    pytest.param("ft-1/cancel", id="another call on the job"),
    pytest.param("ft-1?force=true", id="a query"),
    pytest.param("ft-1#x", id="a fragment"),
    pytest.param("%2e%2e/x", id="encoded before"),
    pytest.param("..%2f..%2fx", id="a slash encoded before"),
    pytest.param("ft-1\r\nX-Evil: 1", id="a header"),
    pytest.param("http://evil.example/", id="an address"),
    pytest.param("\\\\evil\\share", id="backslashes"),
    pytest.param("ft-\x00", id="a null"),
    pytest.param("", id="nothing"),
]


@pytest.mark.parametrize("job_id", IDS)
async def test_a_hostile_id_stays_one_segment_of_its_call(job_id: str) -> None:
    async with serving(lambda _: ok({"id": "x", "status": "running", "data": [], "metrics": []})) as server:
        client = provider(server.url, SkippingClock())
        calls: list[tuple[str, str]] = []
        for method, ending, call in (
            ("GET", "", client.get_job),
            ("GET", "/metrics", client.get_metrics),
            ("GET", "/checkpoints", client.get_checkpoints),
            ("POST", "/cancel", client.cancel),
            ("DELETE", "", client.delete),
        ):
            before = len(server.requests)
            try:
                await call(job_id)
            except ProviderError:
                if len(server.requests) == before:
                    continue  # refused before anything was sent
            calls.append((method, ending))
        await client.aclose()

    assert len(server.requests) == len(calls)
    for request, (method, ending) in zip(server.requests, calls, strict=True):
        path = request.target.partition("?")[0]
        segment = path.removeprefix("/v1/fine-tunes/").removesuffix(ending)
        assert request.method == method
        assert "/" not in segment
        assert unquote(segment) == job_id
        assert "x-evil" not in request.headers


@pytest.mark.parametrize(
    "path",
    [
        "/static/../templates/base.html",
        "/static/..%2ftemplates%2fbase.html",
        "/static/%2e%2e/%2e%2e/store/schema.py",
        "/static//etc/passwd",
        "/static/..\\..\\web\\app.py",
        "/jobs/../../etc/passwd",
        "/jobs/%00",
        "/api/v1/jobs/..%2f..%2fetc%2fpasswd",
    ],
)
async def test_no_address_of_the_page_leads_to_a_file_that_is_not_served(tmp_path: Path, path: str) -> None:
    async with open_site(tmp_path) as site:
        request = site.client.build_request("GET", "http://localhost/")
        request.url = httpx.URL(scheme="http", host="localhost", raw_path=path.encode())
        answer = await site.client.send(request)

    assert answer.status_code in (400, 404)
    for planted in ("root:", "{% block", "SQLite", "import "):
        assert planted not in answer.text


def test_a_title_becomes_a_file_name_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    with NotificationReceiver(folder) as receiver:
        for title in ("../../evil", "/etc/evil", "a\x00b", "..", "", "x" * 5000, "con\r\nX: y"):
            httpx.post(
                f"http://{receiver.address}/..%2f..%2fup", json={"title": title, "message": "m\nid: k"}, trust_env=False
            )

    assert len(list(folder.iterdir())) == 7
    assert list(tmp_path.iterdir()) == [folder]


def test_the_provider_is_one() -> None:
    """The calls above are all that the port has with an id in them."""
    with_id = {name for name in vars(Provider) if not name.startswith("_")} - {"whoami", "list_jobs", "aclose"}

    assert with_id == {"get_job", "get_metrics", "get_checkpoints", "cancel", "delete"}
