"""`replay`: the rules over recorded runs."""

import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from watcher.cli import drawing, rehearsed, replaysummary
from watcher.cli.common import ConfigOption, Format, FormatOption, print_json, settings_of
from watcher.cli.plotting import Plots
from watcher.cli.recordings import read_recordings
from watcher.cli.rehearsed import Case, Trial
from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.rehearsal import Rehearsal, Timing
from watcher.domain.replay import Replay, judged_by_rows, replay
from watcher.domain.rule import Rule
from watcher.service.errors import ConfigError
from watcher.settings import Settings, parse_duration

_DEAREST = 1_000_000_000
"""Dollars: more is a slip of the pen, and no 64-bit number of nano-dollars."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(name="replay")(replay_files)


def replay_files(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE", help="Runs: .jsonl[.gz], a Together metrics dump, trainer_state.json."),
    ],
    config: ConfigOption = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="DIR", help="Draw each run as a PNG into this directory.")
    ] = None,
    cancel: Annotated[
        CancelMode | None, typer.Option("--cancel", help="Try the cancel policy, guards and all, in this mode.")
    ] = None,
    step_seconds: Annotated[
        float | None, typer.Option("--step-seconds", help="What a step takes, where the rows have no time.")
    ] = None,
    interval: Annotated[str | None, typer.Option("--interval", help="Time from sweep to sweep. Default: 30s.")] = None,
    price: Annotated[str | None, typer.Option("--price", metavar="USD", help="What each run is to cost.")] = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Back-test the rules on recorded runs: what would have fired at which step, and what would have been cancelled.

    It is the fold that the daemon runs, row by row. Steps count as saved from the cancel to the last row recorded. With
    --format json, one JSON object a run in input order.

    With --cancel the whole policy of the configuration is tried instead, in the mode given: what every guard says, what
    is cancelled, and whether the run later had a better loss, so that the cancel was wrong. Steps count as saved to
    the end of the plan. In JSON that is the key "policy".
    """
    settings = settings_of(config, offline=True)
    trial = _trial(settings, cancel, step_seconds, interval, price)
    rules, policy = judged_by_rows(settings.rules_for(settings.jobs[0])), settings.cancel_policy(settings.jobs[0])
    plots = Plots(plot) if plot is not None else None
    lines, cases = list[replaysummary.Line](), list[Case]()
    with _progress(format) as tell:
        for number, (result, case) in enumerate(_replays(files, rules, policy, trial), 1):
            tell(f"{number} runs")
            if format is Format.JSON:
                print_json(as_json(result) | ({"policy": rehearsed.as_json(case, trial)} if trial and case else {}))
            elif case is not None:
                cases.append(case)
            else:
                lines.append(replaysummary.line_of(result))
            if plots is not None:
                plots.draw(result, _cancelled_at(result, case))
        failures = plots.finish(tell) if plots is not None else []
    if format is Format.TABLE:
        found = rehearsed.report(cases, trial) if trial else replaysummary.report(lines, [rule.name for rule in rules])
        drawing.put(drawing.person_console(), *found)
    for failure in failures:
        typer.echo(failure, err=True)
    return 1 if failures else 0


def _cancelled_at(result: Replay, case: Case | None) -> float | None:
    if case is not None:
        return case.cancel.ended if case.cancel else None
    return result.cancel.step if result.cancel else None


def _trial(
    settings: Settings, mode: CancelMode | None, step_seconds: float | None, interval: str | None, price: str | None
) -> Trial | None:
    """The policy to try.

    Raises:
        ConfigError: an option is out of its range, or says nothing without --cancel.
    """
    if mode is None:
        for option, value in (("--step-seconds", step_seconds), ("--interval", interval), ("--price", price)):
            if value is not None:
                raise ConfigError(f"{option}: expected together with --cancel")
        return None
    if step_seconds is not None and not 0 < step_seconds < math.inf:
        raise ConfigError(f"--step-seconds {step_seconds}: expected a finite number above 0")
    # Accounts are not read here, for which keys would be needed: the interval is that of a new one.
    every = settings.accounts[0].interval if interval is None else _interval(interval)
    return Trial(
        policy=replace(settings.cancel_policy(settings.jobs[0]), mode=mode),
        timing=Timing(step_seconds=step_seconds, interval=every),
        price=None if price is None else _dollars(price),
    )


def _interval(text: str) -> timedelta:
    try:
        found = parse_duration(text)
    except ValueError as error:
        raise ConfigError(f"--interval {drawing.sentence(text)}: {error}") from error
    if found <= timedelta():
        raise ConfigError(f"--interval {drawing.sentence(text)}: expected more than 0s")
    return found


def _dollars(text: str) -> Decimal:
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not (found.is_finite() and 0 < found < _DEAREST):
        raise ConfigError(f"--price {drawing.sentence(text)}: expected dollars, a number above 0 such as 12.40")
    return found


def _replays(
    files: list[Path], rules: tuple[Rule, ...], policy: CancelPolicy, trial: Trial | None
) -> Iterator[tuple[Replay, Case | None]]:
    for file in files:
        for recording in read_recordings(file):
            rehearsal = Rehearsal(recording, trial.policy, trial.timing) if trial else None
            result = replay(recording, rules, policy, rehearsal)
            for crash in result.crashes:
                typer.echo(f"{recording.id}: rule {crash.rule} crashed: {crash.error!r}", err=True)
            yield result, rehearsed.case_of(recording, rehearsal, trial) if trial and rehearsal else None


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
