"""When a file counts as changed, what a reload says to the service manager, and what new settings wait for."""

import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.fakes import FakeClock, FlakyStore
from tests.leaks import CANARY
from watcher.daemon.reload import FileWatch, Reloader
from watcher.daemon.sdnotify import SdNotify
from watcher.domain.alerts import WATCHER, AlertState
from watcher.domain.rules.watcher_fault import WatcherFault
from watcher.service.errors import ConfigError
from watcher.service.ports import NoTelemetry
from watcher.service.subjects import Faults
from watcher.settings import load_settings
from watcher.settings.renewal import renewed
from watcher.store.sqlite import open_store


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "watcher.yaml"
    path.write_text("web: {port: 1}\n")
    return path


def test_a_file_that_rests_as_it_was_has_not_changed(file: Path) -> None:
    watch = FileWatch([file])

    assert [watch.changed() for _ in range(3)] == [False, False, False]


def test_a_changed_file_is_taken_once_when_it_is_at_rest(file: Path) -> None:
    watch = FileWatch([file])
    file.write_text("web: {port: 22}\n")

    assert [watch.changed() for _ in range(3)] == [False, True, False]


def test_a_file_that_is_still_written_to_is_waited_for(file: Path) -> None:
    watch = FileWatch([file])
    seen = []
    for length in range(1, 5):
        file.write_text("web: {port: 22}\n"[: 4 * length])
        seen.append(watch.changed())

    assert seen == [False] * 4
    assert watch.changed()


def test_a_replaced_file_counts_also_through_a_link_and_one_that_is_only_touched_does_not(
    file: Path, tmp_path: Path
) -> None:
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    watch = FileWatch([link])
    file.touch()
    same = [watch.changed(), watch.changed()]
    other = tmp_path / "other.yaml"
    other.write_text("web: {port: 2}\n")
    other.rename(file)

    assert same == [False, False]
    assert [watch.changed(), watch.changed()] == [False, True]


def test_a_file_that_is_gone_counts_as_changed_but_not_for_the_moment_of_a_replacement(file: Path) -> None:
    watch = FileWatch([file])
    text = file.read_text()
    file.unlink()
    gone = watch.changed()
    file.write_text(text)
    back = [watch.changed(), watch.changed()]
    file.unlink()

    assert not gone
    assert back == [False, False]
    assert [watch.changed(), watch.changed()] == [False, True]


def test_every_file_is_looked_at_and_others_may_be_followed_later(file: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.key", tmp_path / "second.key"
    first.write_text("one")
    watch = FileWatch([file, first])
    first.write_text("other")
    file.write_text("web: {port: 22}\n")
    both = [watch.changed() for _ in range(3)]
    first.write_text("a third")
    second.write_text("one")
    watch.follow([file, second])
    followed = [watch.changed(), watch.changed()]
    second.write_text("other")

    assert both == [False, True, False]
    assert followed == [False, False]
    assert [watch.changed(), watch.changed()] == [False, True]


class Reloaded:
    """A reloader whose `apply` a test decides, and what the service manager hears."""

    def __init__(self, directory: Path) -> None:
        self.clock = FakeClock()
        self.store = FlakyStore(open_store(directory / "watcher.db"))
        self.faults = Faults((WatcherFault(),), self.store, self.clock, NoTelemetry())
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(directory / "notify"))
        self.manager.setblocking(False)  # noqa: FBT003
        self.waits: Sequence[str] = ()
        self.error: Exception | None = None
        self.reloader = Reloader(
            apply=self._apply,
            watch=FileWatch([]),
            faults=self.faults,
            store=self.store,
            clock=self.clock,
            notify=SdNotify({"NOTIFY_SOCKET": str(directory / "notify")}),
            told=lambda: None,
        )

    async def _apply(self) -> Sequence[str]:
        if self.error is not None:
            raise self.error
        return self.waits

    async def faulty(self) -> list[AlertState]:
        await self.faults.flush()
        alerts = await self.store.read(lambda reads: reads.latest_alerts(WATCHER))
        return [alert.state for alert in alerts if alert.kind == "reload"]


@pytest.fixture
async def reloaded(tmp_path: Path) -> AsyncIterator[Reloaded]:
    made = Reloaded(tmp_path)
    yield made
    made.manager.close()
    await made.store.aclose()


async def test_the_service_manager_hears_begin_and_end_of_a_good_and_of_a_bad_reload(reloaded: Reloaded) -> None:
    reloaded.clock.advance(1.5)
    for error in (None, ConfigError("bad")):
        reloaded.error = error
        await reloaded.reloader.reload()

        assert reloaded.manager.recv(100) == b"RELOADING=1\nMONOTONIC_USEC=1500000"
        assert reloaded.manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("error", [ConfigError("bad key"), RuntimeError("planted")], ids=["bad", "a fault of ours"])
async def test_a_failed_reload_is_a_fault_until_one_succeeds(reloaded: Reloaded, error: Exception) -> None:
    reloaded.error = error
    assert not await reloaded.reloader.reload()
    assert await reloaded.faulty() == [AlertState.FIRING]

    reloaded.error = None
    assert await reloaded.reloader.reload()
    assert await reloaded.faulty() == [AlertState.RESOLVED]


def test_what_was_opened_at_the_start_waits_and_the_rest_is_taken_over(tmp_path: Path) -> None:
    def settings(key: str, port: int, interval: str, settle: str) -> Path:
        path = tmp_path / "watcher.yaml"
        accounts = f"accounts: [{{name: a, api_key: {key}, interval: {interval}}}]"
        path.write_text(f"{accounts}\nweb: {{port: {port}}}\ncancel: {{settle: {settle}, max_per_hour: {port}}}\n")
        return path

    running = load_settings(settings(f"{CANARY}-one", 1, "30s", "60s"), {})
    new, waits = renewed(running, load_settings(settings(f"{CANARY}-two", 2, "10s", "30s"), {}))

    assert waits == ["web.port", "cancel.settle"]
    assert new.web.port == 1
    assert new.cancel.settle == running.cancel.settle
    assert new.cancel.max_per_hour == 2
    assert new.accounts[0].api_key.get_secret_value() == f"{CANARY}-two"
    assert new.accounts[0].interval.total_seconds() == 10
    assert new.rules_for(new.jobs[0]) == running.rules_for(running.jobs[0])
    assert renewed(running, running) == (running, [])
