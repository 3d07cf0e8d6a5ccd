"""Tables and pages that several commands draw."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from watcher.cli import drawing

Json = dict[str, Any]


def alert_table(found: list[Json], names: Mapping[str, str] | None) -> Table:
    """Alerts with their reasons; with `names` those of several subjects, named as people know them."""
    table = plain()
    table.add_column("")
    table.add_column("id", no_wrap=True)
    table.add_column("since", no_wrap=True)
    if names is not None:
        table.add_column("subject", no_wrap=True, max_width=24)
    table.add_column("alert", overflow="fold", max_width=28)
    table.add_column("state", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1)
    for alert in found:
        known = [Text((names or {}).get(alert["subject"], drawing.sentence(alert["subject"])))]
        table.add_row(
            drawing.mark(alert["severity"]),
            Text(alert["id"], "dim"),
            moment(alert["starts_at"]),
            *(known if names is not None else []),
            Text(drawing.title(alert), drawing.SEVERITY.get(alert["severity"], "")),
            _state(alert),
            "" if alert["step"] is None else str(alert["step"]),
            Text(drawing.sentence(alert["reason"])),
        )
    return table


def _state(alert: Json) -> str:
    state = "noted" if alert["notice"] else str(alert["state"])
    if not alert["acknowledged_by"]:
        return state
    until = f" until {moment(alert['acknowledged_until'])[:16]}" if alert["acknowledged_until"] else ""
    return f"{state}, {drawing.sentence(alert['acknowledged_by'])} has it{until}"


def proposal_table(found: list[Json]) -> Table:
    """Cancels, newest first, with what came of them."""
    table = plain()
    for column in ("since", "rule", "state", "step"):
        table.add_column(column, no_wrap=True)
    table.add_column("what came of it", overflow="fold", ratio=1)
    for proposal in found:
        table.add_row(
            moment(proposal["proposed_at"]),
            Text(drawing.title(proposal)),
            proposal["state"],
            "" if proposal["step"] is None else str(proposal["step"]),
            Text(drawing.sentence(proposal["detail"] or proposal["reason"])),
        )
    return table


def facts(rows: Mapping[str, str | Text | None]) -> Table:
    """What is known, label by label."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows.items():
        if value:
            grid.add_row(label, value if isinstance(value, Text) else Text(drawing.sentence(value)))
    return grid


def plain() -> Table:
    """Columns without lines between them."""
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")


def moment(iso: str | None) -> str:
    """A time to the second, in UTC."""
    return iso.replace("T", " ")[:19] if iso else ""
