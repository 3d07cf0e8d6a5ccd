"""The examples in the documents do what is shown under them.

A block of the kind `console` holds commands after `$ ` and what they print; `…` stands for anything in a line, and on a
line of its own for any number of lines. Commands run in this process, beside a simulated API as the tutorial starts it.
"""

import importlib.util
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands import World, restored_logs, run, world
from tests.documents import ROOT, Block, blocks, documents

TUTORIAL = ROOT / "docs" / "tutorial.md"
WIDTH = "130"
AT_ONCE = "    requests_per_second: 10000\n"
"""Added to accounts: no test waits for its turn."""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder that has of the repository what examples name."""
    for name in ("bench", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", WIDTH)
    with restored_logs():
        yield tmp_path


def examples(document: Path) -> list[Block]:
    return [block for block in blocks(document) if block.kind == "console"]


def follow(block: Block) -> None:
    """Run each command of a block and compare what it prints."""
    parts = re.split(r"^\$ (.+)\n", block.text, flags=re.MULTILINE)
    for command, shown in zip(parts[1::2], parts[2::2], strict=True):
        words = shlex.split(command)
        assert words.pop(0) == "watcher"
        done = run(*words)
        printed = "".join(line.rstrip() + "\n" for line in done.out.splitlines())
        assert done.code == 0, f"{block.place}: {command}: {done.err}"
        assert re.fullmatch(_pattern(shown), printed), f"{block.place}: {command}:\n{printed}"


def _pattern(shown: str) -> str:
    lines = shown.rstrip("\n").splitlines(keepends=True)
    return "".join(_line(line.rstrip("\n")) for line in lines)


def _line(line: str) -> str:
    return r"(?:.*\n)*?" if line == "…" else re.escape(line.rstrip()).replace("…", ".*") + r"\n"


OTHERS = [
    pytest.param(block, id=block.place)
    for document in documents()
    if document != TUTORIAL
    for block in examples(document)
]


@pytest.mark.parametrize("block", OTHERS)
def test_examples_print_what_is_shown(block: Block) -> None:
    follow(block)


@pytest.fixture
def simulated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The simulator as the tutorial starts it, two steps a second."""
    with world(tmp_path, monkeypatch, None, speed=2.0) as made:
        yield made


def test_the_tutorial_can_be_followed(simulated: World, monkeypatch: pytest.MonkeyPatch) -> None:
    (written,) = re.findall(r"^printf .*$", TUTORIAL.read_text(), re.MULTILINE)
    subprocess.run(["sh", "-c", written], check=True)  # noqa: S603, S607 - as a reader would
    with Path("try.yaml").open("a") as settings:
        settings.write(AT_ONCE)
    for seconds in (0, 5, 85, 5):  # in place of the daemon, which sweeps every two seconds
        simulated.clock.advance(seconds)
        assert run("once", "--config", "try.yaml").code == 0
    first, second = (
        [block for block in examples(TUTORIAL) if ("once" in block.text) is with_key] for with_key in (False, True)
    )
    assert len(first) == 3
    for block in first:
        follow(block)

    simulated.clock.advance(600)  # by now all of them have ended
    monkeypatch.setenv("WATCHER_STATE_DIR", "another")
    (shown,) = (block.text for block in blocks(TUTORIAL) if block.kind == "yaml")
    Path("watcher.yaml").write_text(shown + AT_ONCE)
    (block,) = second
    follow(block)


def test_the_example_of_a_rule_works(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rule, its_tests = (
        block.text for block in blocks(ROOT / "docs" / "how-to" / "write-a-rule.md") if block.kind == "python"
    )
    for name, text in (("watcher.domain.rules.loss_above", rule), ("test_loss_above", its_tests)):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    found = [test for name, test in vars(sys.modules["test_loss_above"]).items() if name.startswith("test_")]

    assert len(found) == 2
    for test in found:
        test()
