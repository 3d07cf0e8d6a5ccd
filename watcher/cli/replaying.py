"""`replay`: the rules over recorded runs."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher.cli.common import ConfigOption, Format, FormatOption, print_json, settings_of
from watcher.cli.recordings import read_recordings
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.observations import EvalRow, TrainRow
from watcher.domain.replay import Replay, replay
from watcher.domain.rule import Rule
from watcher.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="replay")(replay_files)


def replay_files(
    files: Annotated[
        list[Path], typer.Argument(help="Runs: .jsonl[.gz], a Together metrics dump, trainer_state.json.")
    ],
    config: ConfigOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Back-test the rules on recorded runs: what would have fired at which step, and what would have been cancelled.

    It is the fold that the daemon runs, row by row. With --format json, one JSON object a run in input order.
    """
    settings = settings_of(config, offline=True)
    rules, policy = _rules(settings), settings.cancel_policy(settings.jobs[0])
    for result in _replays(files, rules, policy):
        if format is Format.JSON:
            print_json(as_json(result))
        else:
            _print(result)
    return 0


def _rules(settings: Settings) -> tuple[Rule, ...]:
    """The rules that rows alone can set off: a recording holds nothing else."""
    return tuple(
        rule for rule in settings.rules_for(settings.jobs[0]) if not rule.timed and {TrainRow, EvalRow} & set(rule.sees)
    )


def _replays(files: list[Path], rules: tuple[Rule, ...], policy: CancelPolicy) -> Iterator[Replay]:
    for file in files:
        for recording in read_recordings(file):
            result = replay(recording, rules, policy)
            for crash in result.crashes:
                typer.echo(f"{recording.id}: rule {crash.rule} crashed: {crash.error!r}", err=True)
            yield result


def as_json(result: Replay) -> dict[str, Any]:
    """The line that programs read."""
    cancel = result.cancel
    return {
        "id": result.recording.id,
        "total_steps": result.recording.total_steps,
        "alerts": [
            {
                "rule": alert.rule,
                "kind": alert.kind,
                "severity": alert.severity.value,
                "step": alert.step,
                "onset": alert.onset,
                "reason": alert.reason,
            }
            for alert in result.alerts
        ],
        "cancel": {"step": cancel.step, "rule": cancel.rule, "reason": cancel.reason} if cancel else None,
    }


def _print(result: Replay) -> None:
    steps = result.recording.total_steps
    typer.echo(f"{result.recording.id} ({len(result.recording.rows)} rows, plan {steps or 'unknown'})")
    for alert in result.alerts:
        typer.echo(f"  step {alert.step}: [{alert.severity}] {alert.rule} ({alert.kind}): {alert.reason}")
    if result.cancel:
        typer.echo(f"  step {result.cancel.step}: would be cancelled by {result.cancel.rule}")
    if not result.alerts:
        typer.echo("  nothing")
