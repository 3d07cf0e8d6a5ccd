import io
import json
import logging
import os
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from tests.leaks import CANARY, Heard
from tests.plainlogs import plain_logs
from watcher.logs import Redactor, configure_logs, redact, register_secret

PLANTED = f"{CANARY}-0123456789abcdef"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    plain_logs()
    structlog.contextvars.clear_contextvars()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_everybody_but_a_person_gets_json_with_context_level_and_time() -> None:
    out = Heard()
    configure_logs(stream=out, environ={})
    structlog.contextvars.bind_contextvars(account="main")
    structlog.get_logger("watcher.sweep").info("sweep.finished", rows=3, loss=float("nan"))

    (line,) = lines(out)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "sweep.finished",
        "rows": 3,
        "loss": "nan",
        "account": "main",
        "level": "info",
        "logger": "watcher.sweep",
    }


def test_a_person_gets_lines_to_read() -> None:
    out = Terminal()
    configure_logs(stream=out, environ={"NO_COLOR": "1"})
    structlog.get_logger().warning("job.lost", job_id="ft-1")

    assert "job.lost" in out.getvalue()
    assert "job_id=ft-1" in out.getvalue()
    assert "\x1b[" not in out.getvalue()


@pytest.mark.parametrize(("style", "starts"), [("json", "{"), ("console", "2")])
def test_the_style_can_be_chosen(style: str, starts: str) -> None:
    out = Heard()
    configure_logs(stream=out, style=style, environ={})
    structlog.get_logger().info("job.seen")

    assert out.getvalue().startswith(starts)


def test_other_libraries_go_through_the_same_chain_and_the_chatty_ones_are_quiet() -> None:
    out = Heard()
    configure_logs(stream=out, level="debug", environ={})
    logging.getLogger("elsewhere").info("sent to %s", f"https://user:{PLANTED}@host/x")
    for name in ("httpx", "apscheduler", "apprise"):
        logging.getLogger(name).info("chatter")
        logging.getLogger(f"{name}.part").warning("trouble")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("odd", UserWarning, stacklevel=1)

    events = [line["event"] for line in lines(out)]
    assert events[:4] == ["sent to https://***@host/x", "trouble", "trouble", "trouble"]
    assert "odd" in events[4]


def test_the_level_holds_for_our_own_lines_and_for_the_chatty_ones() -> None:
    out = Heard()
    configure_logs(stream=out, level="error", environ={})
    structlog.get_logger().warning("job.lost")
    logging.getLogger("httpx").warning("trouble")

    assert out.getvalue() == ""


@pytest.mark.parametrize("style", ["json", "console"])
def test_tracebacks_are_told_without_locals_and_without_secrets(style: str) -> None:
    register_secret(PLANTED)
    out = Heard()
    configure_logs(stream=out, style=style, environ={})

    def fail() -> None:
        a_local = "only in a local variable"
        raise RuntimeError(f"call with {PLANTED} failed", len(a_local))

    for log in (structlog.get_logger("own"), logging.getLogger("foreign")):
        try:
            fail()
        except RuntimeError:
            log.exception("call.failed")

    assert out.getvalue().count("RuntimeError") >= 2
    assert PLANTED not in out.getvalue()
    assert "only in a local variable" not in out.getvalue().replace('a_local = "only in a local variable"', "")


def test_registered_secrets_are_blanked_at_any_depth_and_in_any_type() -> None:
    class Thing:
        def __str__(self) -> str:
            return f"<{PLANTED}>"

    register_secret(PLANTED)
    register_secret("päß wort")
    register_secret("abc")  # too short to be blanked without eating words
    out = Heard()
    configure_logs(stream=out, environ={})
    deep = {"a": [{"b": (PLANTED, Thing())}], PLANTED: {"c": frozenset({PLANTED})}}
    structlog.get_logger().info("thing.seen", deep=deep, quoted="x=p%C3%A4%C3%9F%20wort", word="abcdef")

    assert PLANTED not in out.getvalue()
    (line,) = lines(out)
    assert line["deep"] == {"a": [{"b": ["***", "<***>"]}], "***": {"c": ["***"]}}
    assert line["quoted"] == "x=***"
    assert line["word"] == "abcdef"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(f"Authorization: Bearer {PLANTED}", "Authorization: Bearer ***", id="a header"),
        pytest.param(f"api_key={PLANTED}&x=1", "api_key=***&x=1", id="a parameter"),
        pytest.param(f"{{'api_key': '{PLANTED}'}}", "{'api_key': '***'}", id="a printed dictionary"),
        pytest.param(f'{{"token": "{PLANTED}"}}', '{"token": "***"}', id="printed JSON"),
        pytest.param(f"https://me:{PLANTED}@host/p", "https://***@host/p", id="user and password in a URL"),
        pytest.param(f"https://host/p?token={PLANTED}", "https://host/p?token=***", id="a token in a query"),
        pytest.param(f"https://host/services/{PLANTED}/x", "https://host/services/***/x", id="a token in a path"),
        pytest.param(f"slack://{PLANTED}/b/c", "slack://***", id="an Apprise URL"),
        pytest.param("mailtos://u:p@h?to=x", "mailtos://***", id="a mail URL"),
        pytest.param("token_count=5 tokens seen", "token_count=5 tokens seen", id="no secret: a count of tokens"),
        pytest.param(
            "GET https://api.together.ai/v1/fine-tunes/ft-0123456789abcdef-01/metrics?from=3",
            "GET https://api.together.ai/v1/fine-tunes/ft-0123456789abcdef-01/metrics?from=3",
            id="no secret: a job's address",
        ),
        pytest.param("console:// and file:///var/x", "console:// and file:///var/x", id="no secret: local places"),
    ],
)
def test_what_looks_like_a_secret_is_blanked_unregistered(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_keys_that_name_a_secret_hide_their_value() -> None:
    event = {"api_key": 5, "x_token": "a", "headers": {"Authorization": ["b"]}, "token_count": 7, "password": None}

    assert Redactor().plain(event) == {
        "api_key": "***",
        "x_token": "***",
        "headers": {"Authorization": "***"},
        "token_count": 7,
        "password": None,
    }


def test_the_journal_gets_priorities_and_a_file_that_inherited_the_variable_does_not() -> None:
    with tempfile.TemporaryFile("w+") as out:
        stat = os.fstat(out.fileno())
        for number in (stat.st_ino, stat.st_ino + 1):
            configure_logs(stream=out, environ={"JOURNAL_STREAM": f"{stat.st_dev}:{number}"})
            structlog.get_logger().error("store.failed")
            structlog.get_logger().info("job.seen")
        out.seek(0)
        starts = [line[:4] for line in out]

    assert [start[:3] for start in starts[:2]] == ["<3>", "<6>"]
    assert all(start.startswith("{") for start in starts[2:])


def test_every_line_of_a_console_traceback_has_its_priority_in_the_journal() -> None:
    with tempfile.TemporaryFile("w+") as out:
        stat = os.fstat(out.fileno())
        configure_logs(stream=out, style="console", environ={"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"})
        structlog.get_logger().error("store.failed", exc_info=RuntimeError("no room"))
        out.seek(0)
        found = out.read().splitlines()

    assert len(found) > 1
    assert all(line.startswith("<3>") for line in found)


def test_a_line_that_cannot_be_written_tells_no_arguments() -> None:
    out = Heard()
    configure_logs(stream=out, environ={})
    logging.getLogger("elsewhere").warning("%d", PLANTED)

    assert out.getvalue() == "log line of elsewhere was lost: TypeError\n"


def test_a_closed_stderr_stops_nobody() -> None:
    out = Heard()
    configure_logs(stream=out, environ={})
    out.close()
    structlog.get_logger().error("store.failed")
