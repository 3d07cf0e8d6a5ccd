"""The documents keep up with the program: what it writes itself is current, and links lead somewhere."""

import pytest

from tools.reference import DOCUMENTS, ROOT


@pytest.mark.parametrize("name", DOCUMENTS)
def test_what_the_program_writes_itself_is_current(name: str) -> None:
    assert (ROOT / name).read_text() == DOCUMENTS[name](), "run `make docs`"
