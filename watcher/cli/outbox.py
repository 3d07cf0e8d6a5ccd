"""`outbox list` and `outbox retry`: what is still to be delivered, and what was given up."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing, tables
from watcher.cli.acts import written
from watcher.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    StateOption,
    login,
    print_json,
    reading,
)
from watcher.service.errors import ConfigError
from watcher.service.parked import outbox_views, retry_asked

outbox = typer.Typer(help="What is still to be delivered, and what was given up.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(outbox, name="outbox")


@outbox.command("list")
def list_rows(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    dead: Annotated[bool, typer.Option("--dead", help="Only what was given up.")] = False,
    format: FormatOption = Format.TABLE,
) -> int:
    """Show what waits for its delivery and what was given up, oldest first.

    JSON is one document, {"outbox": […]}.
    """
    with reading(config, state_dir) as store:
        found = store.read_now(lambda reads: outbox_views(reads, dead_only=dead))
    if format is Format.JSON:
        print_json({"outbox": found})
        return 0
    nothing = "no dead letters" if dead else "nothing waits, and nothing was given up"
    drawing.put(drawing.person_console(), _table(found) if found else nothing)
    return 0


@outbox.command()
def retry(
    key: Annotated[str | None, typer.Argument(metavar="KEY", help="The key that `outbox list --dead` shows.")] = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Every notification that was given up.")] = False,
    format: FormatOption = Format.TABLE,
) -> int:
    """Send again what was given up: one dead letter by its key, or all notifications.

    A running daemon sends them at once; without one, the next `watcher run` or `watcher once` does.
    JSON is one document, {"retried": [keys], "daemon": true or false}.
    """
    if (key is None) is not everything:
        raise ConfigError("outbox retry: expected either one KEY or --all")
    request = {"do": "retry", "key": key, "by": login()}
    answer, running = written(request, retry_asked, config, state_dir)
    if format is Format.JSON:
        print_json({"retried": answer["retried"], "daemon": running})
        return 0
    when = "the running watcher sends them now" if running else "the next `watcher run` or `watcher once` sends them"
    typer.echo(f"{len(answer['retried'])} due again" + (f": {when}" if answer["retried"] else ""))
    return 0


def _table(found: list[dict[str, Any]]) -> Table:
    table = tables.plain()
    for column in ("key", "state", "tries", "since", "next", "receiver"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("error", overflow="fold", ratio=1)
    for row in found:
        table.add_row(
            Text(row["key"]),
            Text("given up", "bold red") if row["state"] == "dead" else row["state"],
            str(row["attempts"]),
            tables.moment(row["created_at"]),
            tables.moment(row["next_at"]),
            Text(row["receiver"] or row["effect"]),
            Text(drawing.sentence(row["title"])),
            Text(drawing.sentence(row["error"])),
        )
    return table
