"""Only a person deletes: nothing that the daemon runs can."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2] / "watcher"
ALLOWED = {ROOT / "cli" / "ending.py"}


def calls_of_delete(path: Path) -> bool:
    """Whether it uses a `delete` of something, called or handed on; the port's own definition is none."""
    return any(
        isinstance(node, ast.Attribute) and node.attr == "delete" for node in ast.walk(ast.parse(path.read_text()))
    )


def test_nothing_but_the_command_deletes_a_job() -> None:
    found = {path for path in ROOT.rglob("*.py") if "simulator" not in path.parts and calls_of_delete(path)}

    assert found == ALLOWED


def test_nobody_but_the_command_line_knows_that_command() -> None:
    naming = [
        path
        for folder in ("service", "daemon", "domain", "web", "notify")
        for path in (ROOT / folder).rglob("*.py")
        if "cli.ending" in path.read_text()
    ]

    assert naming == []
