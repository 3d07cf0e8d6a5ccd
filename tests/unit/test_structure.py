"""Promises about the tree itself: sizes, words, and documents that keep up with the code."""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_group

from watcher.cli.main import PARTS, app_of
from watcher.domain.rules import RULES

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "watcher").rglob("*.py"))
LONGEST = 400
TEXT_SUFFIXES = {".py", ".md", ".yaml", ".yml", ".toml", ".service", ".cfg", ".sh", ".html", ".css", ".js", ""}
FOLDERS = ("watcher", "tests", "config", "deploy", "docs", "bench", ".ci")
# Split, so that this file does not hold what it looks for.
MACHINE_PATH = re.compile("|".join(("/wor" + r"k/\w", "/home" + r"/\w+/", "/Use" + r"rs/\w+/")))
LOG_METHODS = {"debug", "info", "warning", "error", "exception", "critical"}
LOG_EVENT = re.compile(r"[a-z][a-z_]*(\.[a-z][a-z_]*)+")


def files() -> Iterator[Path]:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*"):
            if (
                path.is_file()
                and path.suffix in TEXT_SUFFIXES
                and not {".venv", "__pycache__", "out"} & set(path.parts)
            ):
                yield path
    yield from (path for path in ROOT.iterdir() if path.is_file() and path.suffix in TEXT_SUFFIXES - {""})


def name_of(rule: type[Any]) -> str:
    return str(next(f.default for f in dataclasses.fields(rule) if f.name == "name"))


def sections_of(document: Path) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", document.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def log_events(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log") | ast.Attribute(attr="log"), attr=method),
                args=[ast.Constant(value=str(event)), *_],
            ) if method in LOG_METHODS:
                yield node.lineno, event


def test_no_module_is_too_long_to_read() -> None:
    long = {str(path.relative_to(ROOT)): count for path in MODULES if (count := _lines(path)) > LONGEST}

    assert long == {}


def _lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_every_module_says_what_it_holds() -> None:
    mute = [str(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))]

    assert mute == []


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    found = [str(path.relative_to(ROOT)) for path in files() if MACHINE_PATH.search(path.read_text(errors="replace"))]

    assert found == []


def test_log_events_are_noun_and_verb() -> None:
    odd = [
        f"{path.relative_to(ROOT)}:{line}: {event}"
        for path in MODULES
        for line, event in log_events(path)
        if not LOG_EVENT.fullmatch(event)
    ]

    assert odd == []


def test_rules_have_names_of_their_own() -> None:
    names = [name_of(rule) for rule in RULES]

    assert len(set(names)) == len(names)


@pytest.mark.parametrize("rule", RULES, ids=name_of)
def test_every_rule_has_its_heading_with_every_setting(rule: type[Any]) -> None:
    section = sections_of(ROOT / "docs" / "reference" / "rules.md")[name_of(rule)]
    shown = set(re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE))

    assert shown == {f.name for f in dataclasses.fields(rule)} - {"name"}
    assert ("off by default" in section) is not getattr(rule, "default_on", True)


def test_every_documented_rule_is_there() -> None:
    assert set(sections_of(ROOT / "docs" / "reference" / "rules.md")) == {name_of(rule) for rule in RULES}


def test_every_rule_is_a_module_and_has_its_tests() -> None:
    for rule in RULES:
        module = rule.__module__.rpartition(".")[2]

        assert module == name_of(rule)
        assert list((ROOT / "tests" / "unit" / "rules").glob(f"test_{module}*.py")), f"no tests of {module}"


def test_decisions_are_numbered_short_and_complete() -> None:
    records = sorted((ROOT / "docs" / "adr").glob("*.md"))

    assert [record.name[:4] for record in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    for record in records:
        assert _lines(record) <= 40
        assert list(sections_of(record)) == ["Context", "Decision", "What we give up"]


def test_the_changelog_keeps_what_is_not_released_on_top() -> None:
    headings = list(sections_of(ROOT / "CHANGELOG.md"))

    assert headings[0] == "[Unreleased]"


def test_each_command_is_brought_by_the_module_that_the_program_imports_for_it() -> None:
    for part, names in PARTS.items():
        brought = app_of([part])

        assert {*names} == {*get_group(brought).commands}, part
