"""Rule tests as `check` runs them: a line each, and what was not as expected."""

import os
from collections.abc import Sequence
from pathlib import Path

import typer

from watcher.cli import drawing
from watcher.domain.replay import judged_by_rows
from watcher.domain.ruletest import failures
from watcher.settings import Settings
from watcher.settings.ruletests import load_rule_tests


def passed(settings: Settings, files: Sequence[Path], *, err: bool = False) -> bool:
    """Run the tests of these files; whether all went as expected.

    Raises:
        ConfigError: a file can't be read.
    """
    rules, policy = judged_by_rows(settings.rules_for(settings.jobs[0])), settings.cancel_policy(settings.jobs[0])
    tests = [(file, test) for file in files for test in load_rule_tests(file, os.environ, rules)]
    failed = 0
    for file, test in tests:
        found = failures(test, policy)
        failed += bool(found)
        typer.echo(f"{'FAILED' if found else 'ok'}  {file}: {drawing.sentence(test.name)}", err=err)
        for line in found:
            typer.echo(f"    {drawing.sentence(line)}", err=err)
    if failed:
        typer.echo(f"{failed} of {len(tests)} rule tests failed", err=True)
    return not failed


def beside(config: Path | None, files: Sequence[Path]) -> list[Path]:
    """Where the files are that a configuration names: relative ones stand beside it."""
    return [file if config is None else config.parent / file for file in files]
