"""Every package that the program is installed with may be shipped with it, and the document says which they are."""

import re

import pytest

from tools.licences import ROOT, allowed, licence_of, locked

DOCUMENT = ROOT / "docs" / "reference" / "licences.md"


def test_every_installed_package_has_a_licence_that_is_on_the_list() -> None:
    found = {name: licence_of(name) for name in locked()}
    refused = {name: licence for name, licence in found.items() if licence is not None and not allowed(licence)}

    assert sum(licence is not None for licence in found.values()) > 30
    assert refused == {}


def test_the_document_names_what_is_locked_and_nothing_else() -> None:
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \| (\S+) \|", DOCUMENT.read_text(), re.MULTILINE))
    rows.pop("package", None)
    pins = locked()

    assert {name: version for name, version in rows.items() if pins.get(name) != version} == {}
    assert {name for name in pins if licence_of(name) is not None} <= set(rows)


@pytest.mark.parametrize(
    ("expression", "yes"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("Apache-2.0 AND MIT", True),
        ("MIT AND GPL-3.0-only", False),
        ("(MIT OR GPL-2.0-only) AND ISC", True),
        ("AGPL-3.0-or-later", False),
        ("", False),
    ],
)
def test_what_an_expression_allows(expression: str, *, yes: bool) -> None:
    assert allowed(expression) is yes
