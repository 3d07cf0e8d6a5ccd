"""`explain`: why an alert was, or was not, told: to whom, when, with what result, and when next."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from rich.text import Text

from watcher.cli import drawing, tables
from watcher.cli.common import ConfigOption, Format, FormatOption, StateOption, print_json, reading
from watcher.service.explain import explain_view

Json = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(explain)


def explain(
    alert: Annotated[
        str, typer.Argument(metavar="ALERT", help="Its id, as `watcher alerts` shows it, or that of a message.")
    ],
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Say why an alert was told or not: what happened, each decision, each delivery, and what comes next.

    JSON is one document, {"alert", "acknowledged", "transitions", "decisions", "next", "policy", "guard",
    "cancels"}.
    """
    with reading(config, state_dir) as store:
        found = store.read_now(lambda reads: explain_view(reads, alert))
    if format is Format.JSON:
        print_json(found)
        return 0
    drawing.put(drawing.person_console(), *_story(found))
    return 0


def _story(found: Json) -> Iterator[Text]:
    alert = found["alert"]
    yield Text(
        f"{drawing.title(alert)} on {drawing.sentence(alert['subject'])}: {alert['severity']}, {alert['state']}", "bold"
    )
    yield Text(f"  {drawing.sentence(alert['reason'])}")
    if found["acknowledged"]:
        yield Text(f"  {_ack(found['acknowledged'])}")
    yield from _section("what happened", (_transition(entry) for entry in found["transitions"]))
    yield from _section("who was told", [line for entry in found["decisions"] for line in _decision(entry)], "nobody")
    yield from _section("next", (_next(entry) for entry in found["next"]), "nothing is to be told")
    policy = [drawing.sentence(found["policy"])] if found["policy"] else []
    if found["guard"]:
        policy.append(f"now: {drawing.sentence(found['guard']['reason'])} (guard: {found['guard']['name']})")
    yield from _section("cancel", policy + [_cancel(entry) for entry in found["cancels"]], "none")


def _section(title: str, lines: Iterable[str], nothing: str = "nothing") -> Iterator[Text]:
    yield Text(f"{title}:", "bold")
    for line in list(lines) or [nothing]:
        yield Text(f"  {line}")


def _ack(known: Json) -> str:
    note = f": {drawing.sentence(known['comment'])}" if known["comment"] else ""
    until = f"until {tables.moment(known['acknowledged_until'])}" if known["acknowledged_until"] else "for good"
    return f"{drawing.sentence(known['acknowledged_by'])} has it {until}{note}"


def _transition(entry: Json) -> str:
    note = f": {drawing.sentence(entry['note'])}" if entry["note"] else ""
    return f"{tables.moment(entry['at'])}  {entry['reason']}{note}"


def _decision(entry: Json) -> Iterator[str]:
    to = f"  {drawing.sentence(entry['receiver'])}" if entry["receiver"] else ""
    why = f" ({drawing.sentence(entry['why'])})" if entry["why"] else ""
    yield f"{tables.moment(entry['at'])}{to}  {entry['what']}{why}"
    for delivery in entry["deliveries"]:
        yield f"    {_delivery(delivery)}"


def _delivery(row: Json) -> str:
    tries = f"{row['attempts']} failed" if row["attempts"] else ""
    error = drawing.sentence(row["error"])
    if row["delivered_at"]:
        what = f"delivered {tables.moment(row['delivered_at'])}"
    elif row["given_up_at"]:
        what = f"given up {tables.moment(row['given_up_at'])}"
    elif row["next_at"]:
        what = f"tried next {tables.moment(row['next_at'])}"
    else:
        what = "under way"
    return ", ".join(part for part in (f"{row['key']}: {what}", tries, error) if part)


def _next(entry: Json) -> str:
    when = f"{tables.moment(entry['at'])}  " if entry["at"] else ""
    to = f"{drawing.sentence(entry['receiver'])}  " if entry["receiver"] else ""
    why = f" ({drawing.sentence(entry['why'])})" if entry["why"] else ""
    return f"{when}{to}{entry['what']}{why}"


def _cancel(entry: Json) -> str:
    words = drawing.sentence(entry["detail"] or entry["reason"])
    return f"{tables.moment(entry['proposed_at'])}  {entry['state']} ({entry['mode']}){f': {words}' if words else ''}"
