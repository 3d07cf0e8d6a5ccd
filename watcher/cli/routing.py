"""`routes show` and `routes test`: who would be told of what, from the configuration alone."""

from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing, tables
from watcher.cli.common import ConfigOption, Format, FormatOption, print_json, settings_of
from watcher.clock import SystemClock
from watcher.domain.matching import LABELS
from watcher.domain.routing import Route, Routing, matching_routes
from watcher.service.errors import ConfigError
from watcher.settings import format_duration

routes = typer.Typer(help="Who would be told of what: from the configuration alone.", no_args_is_help=True)

Json = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(routes, name="routes")


@routes.command()
def show(config: ConfigOption = None, format: FormatOption = Format.TABLE) -> int:
    """Show the routes in order; the last one takes what no other does.

    JSON is one document, {"routes": […]}.
    """
    routing = settings_of(config).routing()
    found = [_view(routing, place) for place in range(len(routing.routes))]
    if format is Format.JSON:
        print_json({"routes": found})
        return 0
    drawing.put(drawing.person_console(), _table(found))
    return 0


@routes.command("test")
def try_labels(
    labels: Annotated[list[str], typer.Argument(metavar="LABEL=VALUE", help="The labels of an alert.")],
    config: ConfigOption = None,
    format: FormatOption = Format.TABLE,
    labelled: Annotated[bool, typer.Option("--labels", help="May stand before the labels; changes nothing.")] = False,  # noqa: ARG001
) -> int:
    """Show which routes take an alert with these labels, who is told, with what, how soon and how often.

    A label that is not given is empty. JSON is one document, {"labels", "receivers", "routes": […]}.
    """
    given, routing = _labels(labels), settings_of(config).routing()
    found = [
        _view(routing, place) | {"group": {label: given.get(label, "") for label in routing.routes[place].group_by}}
        for place in matching_routes(routing, given)
    ]
    receivers = list(dict.fromkeys(receiver for view in found for receiver in view["receivers"]))
    if format is Format.JSON:
        print_json({"labels": given, "receivers": receivers, "routes": found})
        return 0
    typer.echo(f"told: {', '.join(receivers)}")
    drawing.put(drawing.person_console(), _table(found))
    return 0


def _labels(words: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for word in words:
        label, sign, value = word.partition("=")
        if not sign:
            raise ConfigError(f"{drawing.sentence(word)!r}: expected label=value, such as rule=divergence")
        if label not in LABELS:
            shown = drawing.sentence(label)
            raise ConfigError(f"{drawing.sentence(word)!r}: no label {shown!r}; expected one of {', '.join(LABELS)}")
        found[label] = value
    return found


def _view(routing: Routing, place: int) -> Json:
    route = routing.routes[place]
    timing, now = route.timing, SystemClock().now()
    return {
        "route": "default" if place == len(routing.routes) - 1 else place,
        "match": [str(matcher) for matcher in route.matchers],
        "receivers": list(route.receivers),
        "continue": route.go_on,
        "group_by": list(route.group_by),
        "group_wait": format_duration(timing.group_wait),
        "group_interval": format_duration(timing.group_interval),
        "repeat_interval": None if timing.repeat_interval is None else format_duration(timing.repeat_interval),
        "send_resolved": route.send_resolved,
        "mute_times": [{"name": mute.name, "now": mute.holds(now)} for mute in route.mute_times],
        "escalate": _escalation(route),
    }


def _escalation(route: Route) -> Json | None:
    after = route.timing.escalate_after
    return {"to": route.escalate_to, "after": format_duration(after)} if after is not None else None


def _table(found: list[Json]) -> Table:
    table = tables.plain()
    table.add_column("route", no_wrap=True)
    for column in ("takes", "tells", "together", "when", "muted"):
        table.add_column(column, overflow="fold")
    for view in found:
        table.add_row(
            str(view["route"]),
            Text(" ".join(view["match"]) or "everything"),
            Text(", ".join(view["receivers"]) + (", and goes on" if view["continue"] else "")),
            Text(_together(view)),
            Text(_when(view)),
            Text(", ".join(m["name"] + (" (now)" if m["now"] else "") for m in view["mute_times"]) or "never"),
        )
    return table


def _together(view: Json) -> str:
    if "group" in view:
        return ", ".join(f"{label}={drawing.sentence(value)}" for label, value in view["group"].items()) or "all"
    return ", ".join(view["group_by"]) or "all"


def _when(view: Json) -> str:
    parts = [f"after {view['group_wait']}, then every {view['group_interval']}"]
    parts.append(f"again every {view['repeat_interval']}" if view["repeat_interval"] else "never again")
    parts.append("with its end" if view["send_resolved"] else "not its end")
    if view["escalate"]:
        parts.append(f"to {view['escalate']['to']} when nobody has it after {view['escalate']['after']}")
    return "; ".join(parts)
