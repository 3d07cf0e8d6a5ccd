"""The documents keep up with the program: what it writes itself is current, and what people write holds."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from tests.documents import ROOT, Block, all_blocks, anchors, commands, documents, prose
from tests.leaks import CANARY
from tools.reference import DOCUMENTS, tree
from watcher.cli.main import app_of
from watcher.settings import effective, load_settings

SHELL = ("", "sh", "console")
WHOLE = "# watcher.yaml\n"
"""With this a block says that it is a configuration, and no part of one."""
FILLED_IN = {
    "TOGETHER_API_KEY": CANARY,
    "TEAM_URL": "json://127.0.0.1/",
    "SLACK_URL": f"slack://xoxb-{CANARY}/#training",
    "MAIL_URL": f"mailtos://user:{CANARY}@smtp.example.com:465?mode=ssl&from=watcher@example.com&to=ada@example.com",
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_the_program_writes_itself_is_current(name: str) -> None:
    assert (ROOT / name).read_text() == DOCUMENTS[name](), "run `make docs`"


def test_every_command_says_what_it_is_for() -> None:
    found = list(tree())

    assert len(found) > 30
    assert [command.words for command in found if not command.help] == []
    assert [name for command in found for name, text in (*command.arguments, *command.options) if not text] == []


def test_the_man_page_is_good_roff() -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed (Debian: apt-get install groff-base)")
    page = ROOT / "docs" / "man" / "watcher.1"
    done = subprocess.run([groff, "-man", "-ww", "-z", page], capture_output=True, text=True, check=True)  # noqa: S603

    assert done.stderr == ""
    assert page.read_text().isascii()


def test_links_lead_somewhere() -> None:
    dead = []
    for document in documents():
        for target in re.findall(r"\]\((?![a-z]+:)([^)\s]+)\)", prose(document)):
            path, _, anchor = target.partition("#")
            there = document.parent / path if path else document
            if not there.exists() or (anchor and anchor not in anchors(there)):
                dead.append(f"{document.relative_to(ROOT)}: {target}")

    assert dead == []


def test_the_index_names_every_document() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#\s]+)", index.read_text())}
    told = {path for path in documents() if path.is_relative_to(index.parent) and path.parent.name != "adr"}

    assert told - named == {index}, "name it in docs/README.md"


SHOWN = [
    pytest.param(line, id=f"{block.place}: {line}")
    for block in all_blocks()
    if block.kind in SHELL and not block.document.startswith(("CHANGELOG", "docs/reference/commands"))
    for line in dict.fromkeys(commands(block))
]


PROGRAM: Any = get_command(app_of())


@pytest.mark.parametrize("line", SHOWN)
def test_commands_that_are_shown_exist_with_their_options(line: str) -> None:
    command = PROGRAM
    words = shlex.split(line)[1:]
    if words[0].startswith("-"):  # acts as soon as it is read
        assert words[0] in {name for option in command.params for name in option.opts}
        return
    while hasattr(command, "commands"):
        command = command.commands[words.pop(0)]

    assert command.make_context(line, words).args == []


CONFIGURATIONS = [pytest.param(block, id=block.place) for block in all_blocks() if block.kind == "yaml"]


@pytest.mark.parametrize("block", CONFIGURATIONS)
def test_configurations_that_are_shown_are_good(block: Block, tmp_path: Path) -> None:
    known = yaml.safe_load(block.text)
    if block.text.startswith(WHOLE):
        path = tmp_path / "watcher.yaml"
        path.write_text(block.text)
        assert effective(load_settings(path, FILLED_IN))

    assert known
