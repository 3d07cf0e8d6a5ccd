"""The search for planted secrets finds them, wherever they are left: tried on a suite that leaks."""

import base64
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bench.fuzz import targets
from tests import commands, doors, processes, scene, simulated, together
from tests.leaks import CANARY, Search
from watcher.cli import main

WORD = "planted-elsewhere-52d0"
SUITE = """
import base64, contextlib, http.server, logging, subprocess, sys, threading
import httpx, pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from pydantic import SecretStr
from tests.leaks import Heard
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

def test_output_that_is_taken(capsys):
    print("the key is", WORD)
    assert WORD in capsys.readouterr().out

def test_errors_that_are_taken(capfd):
    print("the key is", WORD, file=sys.stderr)
    assert WORD in capfd.readouterr().err

def test_a_process():
    said = subprocess.run([sys.executable, "-c", f"print('{WORD}')"], capture_output=True, check=True).stdout
    assert WORD.encode() in said

def test_a_stream_in_pieces():
    print(WORD[:9], WORD[9:], sep="", end="", file=(stream := Heard()))
    assert stream.getvalue() == WORD

@pytest.fixture
def app():
    def told(request):
        return PlainTextResponse("", headers={"x-key": WORD})

    async def pieces():
        for letter in WORD:
            yield letter

    return Starlette(routes=[Route("/head", told), Route("/body", lambda _: StreamingResponse(pieces()))])

@pytest.mark.parametrize("path", ["/head", "/body"])
@pytest.mark.anyio
async def test_an_answer_of_ours(app, path, anyio_backend_name="asyncio"):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
        await client.get(path)

class Other(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("X-Key", WORD if self.path == "/head" else "")
        self.end_headers()
        self.wfile.write(WORD.encode() if self.path == "/body" else b"")

    def log_message(self, *_):
        pass

@pytest.fixture
def other():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=lambda: server.serve_forever(0.01), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()

@pytest.mark.parametrize("path", ["/head", "/body"])
def test_an_answer_of_others(other, path):
    httpx.get(other + path, trust_env=False)

def test_a_stream_of_others(other):
    with httpx.stream("GET", f"{other}/body", trust_env=False) as answer:
        assert WORD in list(answer.iter_lines())

def test_a_secret_without_the_word():
    SecretStr("sk-123")

def test_a_secret_with_it():
    SecretStr("sk-" + WORD)
    SecretStr("json://127.0.0.1:80/")

def test_nothing(tmp_path):
    (tmp_path / "clean").write_text("nothing")
"""
LEAKS = (
    "test_a_file0/deep/watcher.db",
    "test_leaky.py::test_output: Captured stdout call",
    "test_leaky.py::test_a_log: Captured log call",
    "what was taken from stdout in test_leaky.py::test_output_that_is_taken",
    "what was taken from stderr in test_leaky.py::test_errors_that_are_taken",
    "what a process printed in test_leaky.py::test_a_process",
    "what was written on a stream in test_leaky.py::test_a_stream_in_pieces",
    "the answer to /head in test_leaky.py::test_an_answer_of_ours[/head]",
    "the answer to /body in test_leaky.py::test_an_answer_of_ours[/body]",
    "the head of the answer to /head in test_leaky.py::test_an_answer_of_others[/head]",
    "an answer in test_leaky.py::test_an_answer_of_others[/body]",
    "an answer in test_leaky.py::test_a_stream_of_others",
    "secret_value of a SecretStr of test_leaky.py::test_a_secret_without_the_word is a secret without the word",
)
CONFTEST = """
import pytest
from tests.ears import listen
from tests.leaks import Leaks, Search

listen()

@pytest.fixture
def anyio_backend():
    return "asyncio"

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

    ended.assert_outcomes(passed=16)
    assert ended.ret == pytest.ExitCode.TESTS_FAILED
    told = ended.stdout.str().partition("planted secrets were found")[2]
    assert [line for line in LEAKS if line not in told] == []
    assert told.count(" in test_leaky.py::") + told.count(" of test_leaky.py::") == len(LEAKS) - 3
    assert "watcher.yaml" not in told


@pytest.mark.parametrize("before", ["", "u", "us", "use"])
def test_a_secret_is_found_inside_base64_wherever_it_begins(before: str) -> None:
    packed = base64.b64encode(f"{before}{WORD}:pass".encode())
    search = Search(WORD)
    search.text("an answer", b"Authorization: Basic " + packed)
    search.text("another", base64.b64encode(b"user:pass"))

    assert search.found == ["an answer"]


def test_what_tests_send_and_print_contains_the_word_that_is_searched_for() -> None:
    keys = {
        commands.PLANTED,
        processes.PLANTED,
        simulated.KEY,
        together.KEY,
        together.SECRET,
        doors.TOKEN,
        scene.TOKEN,
        targets.PLANTED,
    }

    assert [key for key in keys if CANARY not in key] == []


def test_tests_hear_whatever_they_read_by_themselves() -> None:
    """What `tests/ears.py` does not hear: pipes and terminals that are read by hand, other clients, other streams."""
    by_hand = re.compile(r"subprocess\.PIPE|openpty\(|CliRunner\(|StringIO\(\)")
    deaf = re.compile(r"urllib\.request|http\.client")
    texts = {path: path.read_text() for path in Path(__file__).parents[1].rglob("*.py") if path != Path(__file__)}

    assert [path.name for path, text in texts.items() if by_hand.search(text) and "heard(" not in text] == []
    assert [path.name for path, text in texts.items() if deaf.search(text)] == []


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
