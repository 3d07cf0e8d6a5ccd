"""The documents keep up with the program: what it writes itself is current, and links lead somewhere."""

import shutil
import subprocess

import pytest

from tools.reference import DOCUMENTS, ROOT, tree


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
