"""What the tests of the Together client share: a client on a scripted server, and what planted secrets look like."""

import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.leaks import CANARY
from tests.loopback import Answer, Request, SkippingClock, ok, script, serving
from watcher.providers.together import Limits, TogetherProvider
from watcher.service.errors import ProviderError
from watcher.service.ports import NoTelemetry, Provider

KEY = f"tgp_v1_{CANARY}-key"
SECRET = f"{CANARY}-secret"
ID = "ft-0f1e2d3c-4b5a-4697-8877-665544332211"
RUNNING = {"id": ID, "status": "running", "events": [{"type": "JOB_START", "created_at": "2026-07-02T10:05:00Z"}]}
EMPTY = ok({"data": []})
QUICK = Limits(per_second=1e6, burst=1000)
ONCE = Limits(per_second=1e6, burst=1000, attempts=1)
Call = Callable[[Provider], Awaitable[Any]]


class Counted(NoTelemetry):
    """Remembers each exchange."""

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, str, str]] = []

    def api_request(self, account: str, endpoint: str, outcome: str, seconds: float) -> None:
        assert seconds >= 0
        self.outcomes.append((account, endpoint, outcome))


def without_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy and no certificate of whoever runs the tests."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


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
    """The error of one call when the server answers so."""
    with pytest.raises(ProviderError) as caught:
        await answered(answer, call, limits)
    return caught.value


def shown(exc: BaseException) -> str:
    """All that a log could show of an error, its causes too."""
    return str(exc) + repr(exc) + "".join(traceback.format_exception(exc))
