"""Every store there is: the contract's tests run over each of them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from watcher.service.ports import Store
from watcher.store.sqlite import open_store


@pytest.fixture(params=["sqlite"])
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = open_store(tmp_path / "state" / "watcher.db")
    yield opened
    await opened.aclose()
