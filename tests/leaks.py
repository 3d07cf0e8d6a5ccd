"""Every test's secrets contain one word; whatever the tests leave behind is searched for it, and a find fails the run.

Searched are the files in all temporary folders (databases, logs, journals, pictures), what tests and their processes
print, and what receivers, browsers and programs are sent (`tests/ears.py` hears it). Where tests put a secret
themselves is listed here. A secret without the word would be looked for by nobody: one that a test gives to the program
in its own process fails the run as well.
"""

import base64
import io
import os
import re
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

CANARY = "planted-canary-7b19f3c2"
"""Part of every key, token and address that tests give to the program."""
WRITTEN_BY_TESTS: Mapping[str, str] = {
    "*/watcher.yaml": "settings",
    "*/w.yaml": "settings with a mistake",
    "*/all.yaml": "all settings there are",
    "*/key": "a key in a file of its own",
    "test_keys_come_from_the_file_v*/cred/together_api_key": "one",
    "test_the_examples_in_the_examp*/nightly_api_key": "one",
    "test_a_variable_wins_over_its_*/named": "one",
    "test_the_token_of_the_web_serv*/[to]*": "a token",
    "*/secret/token": "a token",
    "*/secrets/*": "what Docker puts there",
    "*/together.key": "one that is replaced",
    "*/watcher-secrets/together_api_key": "a key that was typed into `watcher init`",
    "*/watcher-secrets/alert_url": "an address that was typed into it",
}
"""Files in which a secret may stand, as globs under the folder of the run, and what they are."""
NOT_SECRET = re.compile(
    r"[\w+]*://[^/@?#]*/?(\?(from|to|mode|format|rto|inline)=.*)?"  # an address that has nothing but a place in it
    r"|slack://\*+"  # hidden already
    r"|(research|products)/any-key-will-do|json://127\.0\.0\.1:8124/(team|oncall)"  # of the demo
    r"|load-test"  # of the load benchmark, whose API takes any key
    r"|short"  # what is too short to be one
)
"""What stands where a secret would, and is none."""
ANYTHING = "tests/unit/test_anything_goes.py"
"""Gives secrets that Hypothesis thinks of."""


@lru_cache
def forms(word: str) -> list[bytes]:
    """The word as it may stand in a file: in clear, and inside base64, where it looks in three ways."""
    shifted = (base64.b64encode(b"\0" * shift + word.encode())[shift and 4 : -4] for shift in range(3))
    return [word.encode(), *shifted]


@dataclass(slots=True, eq=False)
class Search:
    """Looks for one word, and remembers where it was."""

    word: str = CANARY
    allowed: Mapping[str, str] = field(default_factory=lambda: WRITTEN_BY_TESTS)
    found: list[str] = field(default_factory=list)
    files: int = 0
    texts: int = 0

    def text(self, where: str, text: str | bytes) -> bool:
        """Something that was printed or sent; whether the word was in it."""
        self.texts += 1
        data = text.encode(errors="replace") if isinstance(text, str) else text
        found = any(form in data for form in forms(self.word))
        if found:
            self.found.append(where)
        return found

    def secret(self, where: str, secret: str) -> None:
        """Something that is given to the program and that it must keep."""
        if secret.strip() and self.word not in secret and not NOT_SECRET.fullmatch(secret):
            self.found.append(f"{where} is a secret without the word {self.word}")

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


SEARCHES = [Search()]
"""Those of this process: one, and in a test of the search that of the tests within."""


def heard(where: str, text: str | bytes) -> None:
    """Something that was printed or sent to somebody."""
    where = f"{where} in {_test()}"
    for search in SEARCHES:
        search.text(where, text)


def given(what: str, secret: str) -> None:
    """A secret that a test gives to the program."""
    if not (test := _test()).startswith(ANYTHING):
        SEARCHES[-1].secret(f"{what} of {test}", secret)


def _test() -> str:
    return os.environ.get("PYTEST_CURRENT_TEST", "no test").rpartition(" ")[0]


class Ear:
    """Hears something that comes in pieces: a secret may begin in one and end in the next."""

    def __init__(self, where: str) -> None:
        self._where, self._rest = where, b""

    def hear(self, piece: str | bytes) -> None:
        data = self._rest + (piece.encode(errors="replace") if isinstance(piece, str) else piece)
        heard(self._where, data)
        self._rest = data[-max(len(form) for search in SEARCHES for form in forms(search.word)) + 1 :]


class Heard(io.StringIO):
    """A stream for the program to write on."""

    def __init__(self, where: str = "what was written on a stream") -> None:
        super().__init__()
        self._ear = Ear(where)

    def write(self, text: str, /) -> int:
        self._ear.hear(text)
        return super().write(text)


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            if path.is_file() and not path.is_symlink():
                yield path


class Leaks:
    """The plug-in: in each process it searches, in the first one it collects what all of them found."""

    def __init__(self, config: pytest.Config, search: Search | None = None) -> None:
        self._config, self._search = config, search or SEARCHES[0]
        self._runs_tests = False
        if self._search not in SEARCHES:
            SEARCHES.append(self._search)

    def pytest_unconfigure(self) -> None:
        if self._search in SEARCHES[1:]:
            SEARCHES.remove(self._search)

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
            for where in dict.fromkeys(search.found):
                terminalreporter.line(where)
        else:
            terminalreporter.line(f"no planted secret in {search.files} files and {search.texts} outputs")
