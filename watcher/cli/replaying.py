"""`replay`: the rules over recorded runs."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from watcher.cli import drawing, replaysummary
from watcher.cli.common import ConfigOption, Format, FormatOption, print_json, settings_of
from watcher.cli.plotting import Plots
from watcher.cli.recordings import read_recordings
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.replay import Replay, judged_by_rows, replay
from watcher.domain.rule import Rule


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="replay")(replay_files)


def replay_files(
    files: Annotated[
        list[Path], typer.Argument(help="Runs: .jsonl[.gz], a Together metrics dump, trainer_state.json.")
    ],
    config: ConfigOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="Draw each run as a PNG into this directory.")
    ] = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Back-test the rules on recorded runs: what would have fired at which step, and what would have been cancelled.

    It is the fold that the daemon runs, row by row. Steps count as saved from the cancel to the last row recorded. With
    --format json, one JSON object a run in input order.
    """
    settings = settings_of(config, offline=True)
    rules, policy = judged_by_rows(settings.rules_for(settings.jobs[0])), settings.cancel_policy(settings.jobs[0])
    plots = Plots(plot) if plot is not None else None
    lines = []
    with _progress(format) as tell:
        for number, result in enumerate(_replays(files, rules, policy), 1):
            tell(f"{number} runs")
            if format is Format.JSON:
                print_json(as_json(result))
            else:
                lines.append(replaysummary.line_of(result))
            if plots is not None:
                plots.draw(result)
        failures = plots.finish(tell) if plots is not None else []
    if format is Format.TABLE:
        drawing.put(drawing.person_console(), *replaysummary.report(lines, [rule.name for rule in rules]))
    for failure in failures:
        typer.echo(failure, err=True)
    return 1 if failures else 0


def _replays(files: list[Path], rules: tuple[Rule, ...], policy: CancelPolicy) -> Iterator[Replay]:
    for file in files:
        for recording in read_recordings(file):
            result = replay(recording, rules, policy)
            for crash in result.crashes:
                typer.echo(f"{recording.id}: rule {crash.rule} crashed: {crash.error!r}", err=True)
            yield result


@contextlib.contextmanager
def _progress(format: Format) -> Iterator[Callable[[str], None]]:
    """A line on stderr for a person who waits; nothing where it would run into output on the same screen."""
    if not sys.stderr.isatty() or (format is Format.JSON and sys.stdout.isatty()):
        yield lambda _: None
        return
    # Rich would otherwise take over stdout too, and send to the screen what a program waits for.
    with Live(console=Console(stderr=True), transient=True, redirect_stdout=False) as live:
        yield lambda text: live.update(Text(f"replaying: {text}"))


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
