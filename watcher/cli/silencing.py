"""`silence` and `ack`: what people say to those who would be told."""

from datetime import timedelta
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
from watcher.clock import SystemClock
from watcher.service.errors import ConfigError
from watcher.service.people import ack_asked, expire_asked, parse_matchers, silence_asked, silence_views
from watcher.settings import parse_duration

silence = typer.Typer(help="Hold back what is told of some alerts for a while.", no_args_is_help=True)

AuthorOption = Annotated[str | None, typer.Option("--author", help="Who says so. Default: you, by your login.")]
Json = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(silence, name="silence")
    app.command()(ack)


@silence.command()
def add(
    matchers: Annotated[
        list[str],
        typer.Argument(metavar="MATCHER", help="label=glob|glob or label!=glob, all of which must match."),
    ],
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="For how long: 30m, 2h, 1d.")],
    comment: Annotated[str, typer.Option("--comment", help="Why, for those who wonder.")],
    author: AuthorOption = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Tell nobody of alerts that match, for a while. What still fires when it ends is told then.

    Labels are account, selection, job, model, suffix, owner, rule, kind and severity. JSON is the silence.
    """
    parse_matchers(matchers)
    request = {
        "do": "silence",
        "matchers": matchers,
        "seconds": _seconds(duration),
        "author": author or login(),
        "comment": comment,
    }
    made = written(request, silence_asked, config, state_dir)[0]
    if format is Format.JSON:
        print_json(made)
    else:
        until = tables.moment(made["ends_at"])
        typer.echo(f"silence {made['id']} until {until}: {' '.join(made['matchers'])}")
    return 0


@silence.command("list")
def list_silences(
    past: Annotated[bool, typer.Option("--past", help="Also those that are over.")] = False,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Show silences, the first to end first.

    JSON is one document, {"silences": […]}.
    """
    with reading(config, state_dir) as store:
        found = store.read_now(lambda reads: silence_views(reads, SystemClock().now(), past=past))
    if format is Format.JSON:
        print_json({"silences": found})
        return 0
    drawing.put(drawing.person_console(), _table(found) if found else "no silences")
    return 0


@silence.command()
def expire(
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="The id that `silence list` shows.")],
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """End a silence now; what it held back and still fires is told.

    JSON is the silence.
    """
    request = {"do": "expire", "id": silence_id, "author": login()}
    ended = written(request, expire_asked, config, state_dir)[0]
    if format is Format.JSON:
        print_json(ended)
    else:
        typer.echo(f"silence {ended['id']} is over: {' '.join(ended['matchers'])}")
    return 0


def ack(
    alert: Annotated[
        str, typer.Argument(metavar="ALERT", help="Its id, as `watcher alerts` shows it, or that of a message.")
    ],
    comment: Annotated[str, typer.Option("--comment", help="What is done about it.")] = "",
    until: Annotated[str, typer.Option("--until", help="For so long (2h), or until a moment; else for good.")] = "",
    author: AuthorOption = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Say that you take care of an alert: it is not repeated and goes to nobody else. Its end is told all the same.

    JSON is one document, {"alert", "acknowledged_by", "acknowledged_at", "comment", …}; who was first stays.
    """
    request = {"do": "ack", "alert": alert, "author": author or login(), "comment": comment, "until": until}
    known = written(request, ack_asked, config, state_dir)[0]
    if format is Format.JSON:
        print_json(known)
    else:
        who, when = drawing.sentence(known["acknowledged_by"]), tables.moment(known["acknowledged_at"])
        until = f" until {tables.moment(known['acknowledged_until'])}" if known["acknowledged_until"] else ""
        about = f"{known['rule']} on {drawing.sentence(known['subject'])}"
        typer.echo(f"{known['alert']} ({about}): {who} has it since {when}{until}")
    return 0


def _seconds(duration: str) -> float:
    try:
        found = parse_duration(duration)
    except ValueError as error:
        raise ConfigError(f"--for {drawing.sentence(duration)}: {error}") from None
    if found <= timedelta(0):
        raise ConfigError(f"--for {duration}: expected more than 0s")
    return found.total_seconds()


def _table(found: list[Json]) -> Table:
    table = tables.plain()
    for column in ("id", "until", "author"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", overflow="fold")
    table.add_column("why", overflow="fold", ratio=1)
    for entry in found:
        table.add_row(
            Text(entry["id"], "" if entry["active"] else "dim"),
            tables.moment(entry["ends_at"]),
            Text(drawing.sentence(entry["author"])),
            Text(drawing.sentence(" ".join(entry["matchers"]))),
            Text(drawing.sentence(entry["comment"])),
        )
    return table
