"""Every test's secrets contain one word; whatever the tests leave behind is searched for it, and a find fails the run.

Searched are the files in all temporary folders (databases, logs, journals, pictures), what tests and their processes
print, and what receivers and browsers are sent. Where tests put a secret themselves is listed here.
"""

import base64
import os
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest

CANARY = "planted-canary-7b19f3c2"
"""Part of every key, token and address that tests give to the program."""
WRITTEN_BY_TESTS: Mapping[str, str] = {
    "*/watcher.yaml": "settings",
    "test_one_mistake_is_one_line_*/w.yaml": "settings with a mistake",
    "*/key": "a key in a file of its own",
    "*/together.key": "one that is replaced",
    "*/watcher-secrets/together_api_key": "a key that was typed into `watcher init`",
    "*/watcher-secrets/alert_url": "an address that was typed into it",
}
"""Files in which a secret may stand, as globs under the folder of the run, and what they are."""


def forms(word: str) -> list[bytes]:
    """The word as it may stand in a file: in clear, and inside base64, where it looks in three ways."""
    shifted = (base64.b64encode(b"\0" * shift + word.encode())[shift and 4 : -4] for shift in range(3))
    return [word.encode(), *shifted]


@dataclass(slots=True)
class Search:
    """Looks for one word, and remembers where it was."""

    word: str = CANARY
    allowed: Mapping[str, str] = field(default_factory=lambda: WRITTEN_BY_TESTS)
    found: list[str] = field(default_factory=list)
    files: int = 0
    texts: int = 0

    def text(self, where: str, text: str | bytes) -> None:
        """Something that was printed or sent."""
        self.texts += 1
        data = text.encode(errors="replace") if isinstance(text, str) else text
        if any(form in data for form in forms(self.word)):
            self.found.append(where)

    def folder(self, root: Path) -> None:
        """All files of a folder."""
        wanted = forms(self.word)
        for path in _files(root):
            name = str(path.relative_to(root))
            try:
                data = path.read_bytes()
            except OSError:
                continue  # made unreadable by its test
            self.files += 1
            if any(form in data for form in wanted) and not any(fnmatch(name, glob) for glob in self.allowed):
                self.found.append(name)


SEARCH = Search()
"""The one of this process."""


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            if path.is_file() and not path.is_symlink():
                yield path


class Leaks:
    """The plug-in: in each process it searches, in the first one it collects what all of them found."""

    def __init__(self, config: pytest.Config, search: Search = SEARCH) -> None:
        self._config, self._search = config, search
        self._runs_tests = False

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        self._runs_tests = True
        if report.when == "teardown":  # has those of all phases
            for name, text in report.sections:
                self._search.text(f"{item.nodeid}: {name}", text)
        return report

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self._runs_tests:  # not in the one that only hands them out
            folders: pytest.TempPathFactory = self._config._tmp_path_factory  # type: ignore[attr-defined]
            self._search.folder(folders.getbasetemp())
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["leaks"] = [self._search.found, self._search.files, self._search.texts]
        elif self._search.found:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        found, files, texts = getattr(node, "workeroutput", {}).get("leaks", ([], 0, 0))
        self._search.found += found
        self._search.files += files
        self._search.texts += texts

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        search = self._search
        if search.found:
            terminalreporter.section("planted secrets were found", red=True, bold=True)
            for where in search.found:
                terminalreporter.line(where)
        else:
            terminalreporter.line(f"no planted secret in {search.files} files and {search.texts} outputs")
