"""`watcher init` against the simulator and a receiver on loopback: with answers typed in, and without a question."""

import contextlib
import os
import pty
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer.testing
import yaml

from tests.commands import restored_logs
from tests.leaks import CANARY, heard
from tests.processes import PLANTED, surroundings, watcher
from tests.receivers import HttpReceiver, Reply, free_port, http_receiver
from tests.simulated import a_run, running_simulator, write_curves
from watcher.cli.main import app_of

Init = Callable[..., typer.testing.Result]


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Init]:
    """The command with what is typed, in a folder of its own, beside a simulated API."""
    with running_simulator(curves=write_curves(tmp_path / "curves.jsonl", a_run("one"))) as url:
        monkeypatch.setenv("TOGETHER_BASE_URL", url)
        monkeypatch.chdir(tmp_path)

        def _init(*words: str, typed: str = "", **environ: str) -> typer.testing.Result:
            done = typer.testing.CliRunner().invoke(
                app_of(["starting"]), ["init", *words], input=typed, env=environ, standalone_mode=False
            )
            said = done.output
            for line in typed.splitlines():  # a terminal shows what is typed into it, once
                said = said.replace(f": {line}\n", ": \n", 1)
            heard("what `watcher init` printed", said)
            return done

        with restored_logs():
            yield _init


def test_three_questions_make_a_file_that_works(init: Init, http: HttpReceiver, tmp_path: Path) -> None:
    url = f"json://{http.place}/{PLANTED}-hook"
    done = init(typed=f"\n{PLANTED}\n{url}\nobserve\n")

    assert done.return_value == 0, done.output
    assert done.output.count("/3 ") == 3
    assert "the key works: 1 fine-tuning job(s)" in done.output
    assert "the receiver works" in done.output
    assert "drill" in http.requests[0].json["title"]
    text = (tmp_path / "watcher.yaml").read_text()
    assert PLANTED not in text
    assert yaml.safe_load(text)["cancel"] == {"mode": "observe"}
    for name in ("together_api_key", "alert_url"):
        secret = tmp_path / "watcher-secrets" / name
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        assert PLANTED in secret.read_text()
    assert PLANTED not in done.output.replace(url, "")  # typed in by the person, never repeated


def test_what_it_says_to_run_next_runs(init: Init, http: HttpReceiver, tmp_path: Path) -> None:
    done = init(typed=f"\n{PLANTED}\njson://{http.place}/\n\n")
    (exported,) = [line.split()[1].split("=", 1) for line in done.output.splitlines() if "export" in line]
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TOGETHER_BASE_URL": os.environ["TOGETHER_BASE_URL"]}
    env |= {exported[0]: exported[1], "PYTHONPATH": str(Path(__file__).parents[2])}
    commands = [line.split()[1:] for line in done.output.splitlines() if line.startswith("  watcher ")]

    assert [words[0] for words in commands] == ["check", "drill", "run"]
    for words in commands[:2]:
        ran = watcher(*words, env=env)
        assert ran.returncode == 0, ran.stderr
    assert len(http.requests) == 2


def test_without_a_question(init: Init, http: HttpReceiver, tmp_path: Path) -> None:
    words = ("--yes", "--key-env", "MY_KEY", "--receiver-url-env", "MY_URL", "--cancel", "enforce", "--file", "w.yaml")
    done = init(*words, MY_KEY=PLANTED, MY_URL=f"json://{http.place}/")

    assert done.return_value == 0, done.output
    assert "?" not in done.output
    text = (tmp_path / "w.yaml").read_text()
    assert "api_key_env: MY_KEY" in text
    assert 'urls: ["${MY_URL}"]' in text
    assert "mode: enforce" in text
    assert not (tmp_path / "watcher-secrets").exists()


def test_a_key_that_is_typed_where_its_name_is_asked_for_is_kept_apart_too(init: Init, tmp_path: Path) -> None:
    done = init(typed=f"tgp_v1_{CANARY}\n\n\n")

    assert done.return_value == 0, done.output
    assert "tgp_v1" not in (tmp_path / "watcher.yaml").read_text()
    assert "console://" in (tmp_path / "watcher.yaml").read_text()


@pytest.mark.parametrize(("answer", "kept"), [("n\n", True), ("y\n\n\n\n", False)], ids=["no", "yes"])
def test_a_file_that_is_there_is_replaced_only_when_asked(
    init: Init, tmp_path: Path, answer: str, *, kept: bool
) -> None:
    (tmp_path / "watcher.yaml").write_text("mine\n")
    done = init(typed=answer, TOGETHER_API_KEY=PLANTED)

    assert ((tmp_path / "watcher.yaml").read_text() == "mine\n") is kept
    assert ("nothing was changed" in done.output) is kept


def test_a_receiver_that_does_not_work_is_told_and_nothing_is_written(
    init: Init, http: HttpReceiver, tmp_path: Path
) -> None:
    http.otherwise = Reply(status=404)
    words = ("--yes", "--receiver-url-env", "MY_URL")
    done = init(*words, TOGETHER_API_KEY=PLANTED, MY_URL=f"json://{http.place}/")

    assert done.return_value == 1
    assert "the receiver does not work: json: answered 404" in done.output
    assert not (tmp_path / "watcher.yaml").exists()


def test_a_key_that_does_not_work_can_be_written_all_the_same(
    init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOGETHER_BASE_URL", f"http://127.0.0.1:{free_port()}")
    done = init(typed="\n\n\ny\n", TOGETHER_API_KEY=PLANTED)

    assert "the key does not work" in done.output
    assert (tmp_path / "watcher.yaml").exists()


def test_a_variable_that_is_not_set_is_bad_input(init: Init, tmp_path: Path) -> None:
    done = init("--yes", "--key-env", "NOT_SET_ANYWHERE")

    assert "NOT_SET_ANYWHERE" in str(done.exception)
    assert not (tmp_path / "watcher.yaml").exists()


def test_on_a_terminal_the_key_is_not_shown(init: Init, tmp_path: Path) -> None:
    assert init is not None  # for the simulated API and the folder
    ours, theirs = pty.openpty()
    env = surroundings(tmp_path, TOGETHER_BASE_URL=os.environ["TOGETHER_BASE_URL"], TERM="dumb")
    command = [sys.executable, "-m", "watcher", "init"]
    with subprocess.Popen(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, cwd=tmp_path) as process:  # noqa: S603
        os.close(theirs)
        shown = b""
        for prompt, answer in (("1/3", ""), ("is not set", PLANTED), ("2/3", ""), ("3/3", "")):
            while prompt.encode() not in shown or not shown.endswith(b": "):
                shown += os.read(ours, 4096)
            os.write(ours, f"{answer}\n".encode())
        with contextlib.suppress(OSError):  # how a terminal says that the other end is closed
            while more := os.read(ours, 4096):
                shown += more
        code = process.wait(10)
    os.close(ours)
    heard("what `watcher init` showed on a terminal", shown)

    assert code == 0, shown
    assert b"the key works" in shown
    assert PLANTED.encode() not in shown
    assert (tmp_path / "watcher-secrets" / "together_api_key").read_text() == f"{PLANTED}\n"
