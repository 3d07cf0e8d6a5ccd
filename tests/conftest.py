"""What all tests share."""

import os

import pytest
from hypothesis import settings

from tests.chromium import executable
from tests.ears import listen
from tests.leaks import Leaks
from tests.plainlogs import plain_logs

settings.register_profile("untimed", deadline=None)  # the machine may be busy
settings.load_profile("untimed")


plain_logs()
listen()


def pytest_configure(config: pytest.Config) -> None:
    """What the tests leave behind is searched for secrets."""
    config.pluginmanager.register(Leaks(config), "leaks")


@pytest.fixture
def anyio_backend() -> str:
    """The program runs on asyncio alone."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the settings or keys of whoever runs it."""
    for name in [name for name in os.environ if name.startswith(("WATCHER_", "TOGETHER_"))]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("COLUMNS", raising=False)  # parallel test processes are given a width of their own


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A browser that is not there is said once, in a line of its own."""
    skipped = [report for report in terminalreporter.getreports("skipped") if "tests/browser/" in report.nodeid]
    if skipped and executable() is None:
        terminalreporter.write_line(
            f"browser tests: {len(skipped)} NOT run, no Chromium found: install it (apt), or name one by CHROMIUM",
            yellow=True,
        )
