"""`drill`: a marked message through the whole path, to see whether everybody can be reached before it matters."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from watcher import bootstrap
from watcher.cli import drawing, tables
from watcher.cli.acts import ask
from watcher.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    StateOption,
    login,
    print_json,
    set_up_logs,
    settings_of,
    state_of,
)
from watcher.handlers import drill_of
from watcher.service.consent import person_of
from watcher.settings import Settings, parse_duration

_MORE = 15.0
"""Seconds beyond its own that the daemon may take to answer."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drill)


def drill(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    receiver: Annotated[str | None, typer.Option("--receiver", help="Only this one. Default: every receiver.")] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait for answers.")] = "60s",
    format: FormatOption = Format.TABLE,
) -> int:
    """Send a marked message through the whole path to every receiver, and report what each address answered.

    It goes through the running daemon, or without one does what `watcher once` does for delivery. A failure is not
    tried again. Exit code 1 when any address failed. JSON is one document, {"passed", "alert", "targets": […]}.
    """
    directory, seconds = state_of(state_dir), _seconds(timeout)
    request = {"do": "drill", "receiver": receiver, "timeout": seconds, "by": login()}
    answer = ask(directory, request, patience=seconds + _MORE)
    if answer is None:
        settings = settings_of(config)
        set_up_logs(settings)
        with bootstrap.state_lock(directory):
            answer = asyncio.run(_drill(settings, directory, request))
    answer.pop("ok", None)
    if format is Format.JSON:
        print_json(answer)
    else:
        _print(answer)
    return 0 if answer["passed"] else 1


async def _drill(settings: Settings, directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    app = bootstrap.build(settings, directory, console=sys.stderr)

    async def push() -> None:
        await app.faults.flush()
        await app.router.run()
        await app.dispatcher.run_due()

    try:
        await app.store.write(lambda tx: tx.release_claims())
        await app.faults.recall()
        person = person_of(request)
        answer = await drill_of(app, push).run(request["receiver"], request["timeout"], person)
        await app.faults.flush()
        await app.router.run()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(request["timeout"]):
                await app.dispatcher.run_until_idle()
        return answer
    finally:
        await app.close()


def _seconds(text: str) -> float:
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--timeout") from None


def _print(answer: dict[str, Any]) -> None:
    table = tables.plain()
    for column in ("receiver", "service", "result", "seconds"):
        table.add_column(column, no_wrap=True)
    table.add_column("why", overflow="fold", ratio=1)
    for result in answer["targets"]:
        table.add_row(
            Text(result["receiver"]),
            Text(result["scheme"]),
            Text("ok", "green") if result["ok"] else Text("failed", "bold red"),
            f"{result['seconds']:.1f}",
            Text(drawing.sentence(result["reason"])),
        )
    drawing.put(drawing.person_console(), table)
