"""One headless Chromium for the tests of a module; `tests/conftest.py` says where there is none."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.chromium import executable, launched
from tests.scene import Scene, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if executable() is None:
        pytest.skip("no Chromium here")
    with launched() as found:
        yield found


@pytest.fixture(scope="module")
def scene(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Twelve jobs and the one that diverges."""
    assert browser.is_connected()
    with served(tmp_path_factory.mktemp("scene")) as opened:
        opened.fill(12)
        opened.fall_ill()
        yield opened
