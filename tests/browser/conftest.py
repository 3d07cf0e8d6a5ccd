"""One headless Chromium for the tests of a module; `tests/conftest.py` says where there is none."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.chromium import executable, launched
from tests.leaks import CANARY
from tests.receivers import HttpReceiver, Reply, http_receiver
from tests.scene import Scene, served

expect.set_options(timeout=10_000)  # the machine may be busy


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if executable() is None:
        pytest.skip("no Chromium here")
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def team() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def refusing() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        receiver.otherwise = Reply(status=404)
        yield receiver


@pytest.fixture(scope="module")
def scene(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, team: HttpReceiver, refusing: HttpReceiver
) -> Iterator[Scene]:
    """Twelve jobs and the one that diverges; a receiver that takes all, and one that takes nothing."""
    assert browser.is_connected()
    addresses = {"team": f"json://{team.place}/{CANARY}", "refusing": f"json://{refusing.place}/{CANARY}"}
    with served(tmp_path_factory.mktemp("scene"), **addresses) as opened:
        opened.fill(12)
        opened.fall_ill()
        yield opened
