"""Whose key it is: asked beside the first sweep, shown by `status`, and needed by nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.commands import run
from tests.fakes import FakeClock, FakeProvider, FlakyStore, settle, unseen
from watcher.daemon.introductions import Introductions
from watcher.service.errors import FailureReason, ProviderError
from watcher.service.introduce import identities, introduce
from watcher.service.records import Identity
from watcher.store.sqlite import open_store


class Provider(FakeProvider):
    """Says who it is, fails, or never answers."""

    def __init__(self, identity: Identity | ProviderError | None) -> None:
        super().__init__(FakeClock())
        self.identity = identity

    async def whoami(self) -> Identity:
        if self.identity is None:
            await asyncio.Event().wait()
        if isinstance(self.identity, Identity):
            return self.identity
        raise self.identity or AssertionError


KNOWN = Identity(project_id="proj_1", project_name="Small models", organization="Example")


@pytest.fixture
async def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FlakyStore]:
    monkeypatch.setenv("WATCHER_STATE_DIR", str(tmp_path))
    made = FlakyStore(open_store(tmp_path / "watcher.db"))
    yield made
    await made.aclose()


async def test_each_account_is_asked_and_one_that_fails_costs_no_other(store: FlakyStore) -> None:
    providers = {
        "first": Provider(KNOWN),
        "dead": Provider(unseen(FailureReason.AUTH, 401)),
        "silent": Provider(None),
        "second": Provider(Identity(organization="Example")),
    }
    part = Introductions(providers, store)
    await part.start()
    async with asyncio.timeout(5):
        while set(await store.read(identities)) < {"first", "second"}:
            await settle()
    await part.stop()

    assert await store.read(identities) == {
        "first": {"project": "Small models", "project_id": "proj_1", "organization": "Example"},
        "second": {"project": None, "project_id": None, "organization": "Example"},
    }


async def test_what_cannot_be_stored_is_only_logged(store: FlakyStore, capsys: pytest.CaptureFixture[str]) -> None:
    store.broken = True
    await introduce("first", Provider(KNOWN), store)

    assert "account.not_introduced" in capsys.readouterr().out


async def test_status_shows_the_project_of_each_account(store: FlakyStore) -> None:
    await introduce("first", Provider(KNOWN), store)
    hostile = Identity(project_name="\x1b[31mred", organization=None)
    await introduce("second", Provider(hostile), store)
    shown = await asyncio.to_thread(run, "status")
    document = (await asyncio.to_thread(run, "status", "--format", "json")).json

    assert "first (project Small models, organization Example); second (project [31mred)" in shown.out
    assert document["accounts"][0] == {
        "name": "first",
        "project": "Small models",
        "project_id": "proj_1",
        "organization": "Example",
    }
