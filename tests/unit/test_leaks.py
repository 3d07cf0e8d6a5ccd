"""The search for planted secrets finds them, wherever they are left: tried on a suite that leaks."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.main import get_command

from tests import commands, doors, processes, simulated, together
from tests.leaks import CANARY, Search
from watcher.cli import main

WORD = "planted-elsewhere-52d0"
SUITE = """
import base64, logging, sys
WORD = "planted-" + "elsewhere-52d0"

def test_a_file(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "watcher.db").write_bytes(b"\\0" * 100_000 + WORD.encode())

def test_a_file_of_its_own(tmp_path):
    (tmp_path / "watcher.yaml").write_text(WORD)

def test_output():
    print("the key is", WORD)

def test_a_log():
    logging.getLogger("x").error(base64.b64encode(b"key " + WORD.encode()).decode())

def test_nothing(tmp_path):
    (tmp_path / "clean").write_text("nothing")
"""
CONFTEST = """
from tests.leaks import Leaks, Search

def pytest_configure(config):
    search = Search("planted-" + "elsewhere-52d0", {"*/watcher.yaml": "the test"})
    config.pluginmanager.register(Leaks(config, search), "leaks-within")
"""


@pytest.mark.parametrize("workers", [["-n0"], ["-n1"]], ids=["in one process", "in a worker"])
def test_a_suite_that_leaks_fails_though_each_of_its_tests_passes(
    pytester: pytest.Pytester, workers: list[str]
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(test_leaky=SUITE)
    ended = pytester.runpytest_inprocess("-q", "-p", "no:randomly", *workers)

    ended.assert_outcomes(passed=5)
    assert ended.ret == pytest.ExitCode.TESTS_FAILED
    ended.stdout.fnmatch_lines_random(
        [
            "*planted secrets were found*",
            "test_a_file0/deep/watcher.db",
            "test_leaky.py::test_output: Captured stdout call",
            "test_leaky.py::test_a_log: Captured log call",
        ]
    )
    ended.stdout.no_fnmatch_line("*watcher.yaml*")


@pytest.mark.parametrize("before", ["", "u", "us", "use"])
def test_a_secret_is_found_inside_base64_wherever_it_begins(before: str) -> None:
    packed = base64.b64encode(f"{before}{WORD}:pass".encode())
    search = Search(WORD)
    search.text("an answer", b"Authorization: Basic " + packed)
    search.text("another", base64.b64encode(b"user:pass"))

    assert search.found == ["an answer"]


def test_what_tests_send_and_print_contains_the_word_that_is_searched_for() -> None:
    keys = {commands.PLANTED, processes.PLANTED, simulated.KEY, together.KEY, together.SECRET, doors.TOKEN}

    assert [key for key in keys if CANARY not in key] == []


def commands_under(group: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Every parameter of every command."""
    for child, command in getattr(group, "commands", {}).items():
        yield from commands_under(command, f"{name} {child}".strip())
    yield from ((name, str(parameter.name)) for parameter in group.params)


def test_no_command_takes_a_secret_where_ps_would_show_it() -> None:
    known = {
        ("outbox retry", "key"),  # of a message
        ("init", "key_env"),
        ("init", "receiver_url_env"),
    }
    secret = re.compile(r"key|token|password|secret|url|credential")
    found = set(commands_under(get_command(main.app_of())))

    assert len(found) > 100
    assert {parameter for parameter in found if secret.search(parameter[1])} == known
