"""One job whole, drawn for a person."""

from datetime import timedelta
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing, spending, tables
from watcher.domain import money
from watcher.domain.phrasing import span
from watcher.domain.refunds import State

Json = dict[str, Any]

_CURVES = {
    "train_loss": "train loss",
    "eval_loss": "eval loss",
    "learning_rate": "learning rate",
    "grad_norm": "grad norm",
}


def page(job: Json) -> list[RenderableType]:
    """Everything of it that fits a screen, the newest first."""
    parts: list[RenderableType] = [_facts(job)]
    sections = {
        "metrics": _curves(job["curves"]),
        "alerts": tables.alert_table(job["alerts"], None) if job["alerts"] else None,
        "cancel": _cancel(job),
        "early stopping": _early_stopping(job["early_stopping"]),
        f"checkpoints (all: watcher checkpoints {job['id']})": checkpoint_section(job["checkpoints"], job["going_on"]),
        f"newest events (all: watcher events {job['id']})": event_table(job["events"]),
    }
    for title, section in sections.items():
        if section is not None:
            parts += ["", Text(drawing.sentence(title), "bold"), section]
    return [*parts, ""]


def _facts(job: Json) -> Table:
    return tables.facts(
        {
            "job": job["id"],
            "suffix": job["suffix"],
            "account": _account(job),
            "selection": job["selection"],
            "model": job["model"],
            "status": _status(job),
            "health": drawing.health(job),
            "step": _step(job),
            "time left": time_left(job["eta"]),
            "loss": drawing.loss(job),
            "best eval": _best(job),
            "price": money.price_as_given(job["price_nano"]) if job["price_nano"] else None,
            **dict(job["money"]["rows"]),
            "refund": _refund(job["money"]["refund"]),
            "output": job["output_name"],
            "created": tables.moment(job["created_at"]),
            "first seen": tables.moment(job["first_seen_at"]),
            "ended": tables.moment(job["ended_at"]),
            "restarted from": job["restarted_from"],
            "restarted as": job["restarted_as"],
            "link": job["link"],
        }
    )


def _account(job: Json) -> str:
    labels = ", ".join(f"{name}={value}" for name, value in sorted(job["labels"].items()))
    project = f"project {job['project']}" if job["project"] else ""
    more = "; ".join(part for part in (project, labels) if part)
    return f"{job['account']} ({more})" if more else str(job["account"])


def _status(job: Json) -> str:
    word = drawing.status(job)
    return f"{word}, number {job['queue_depth']} in the queue" if job["queue_depth"] else word


def _refund(claim: Json) -> str | None:
    """How a refund that is due or was seen stands to what was expected."""
    return None if claim["state"] == State.NONE.value else spending.refund_words(claim)


def _step(job: Json) -> str:
    steps = drawing.steps(job["step"], job["total_steps"])
    return f"{steps} ({drawing.percent(job['progress'])})" if steps and job["progress"] is not None else steps


def _best(job: Json) -> str | None:
    return None if job["best_eval"] is None else f"{job['best_eval']:.4g} at step {job['best_eval_step']}"


def time_left(eta: Json) -> str:
    """Both estimates in words, each with what it is of."""
    training, stage = eta["training_seconds"], eta["stage_seconds"]
    found = []
    if training:  # none left while it still runs says only that no newer row was seen
        found.append(f"about {span(timedelta(seconds=training))} of training at its own pace")
    if stage is not None:
        found.append(f"about {span(timedelta(seconds=stage))} of the present stage as the API estimates it")
    return "; ".join(found)


def _curves(curves: Json) -> Table | None:
    table = tables.plain()
    table.add_column("")
    table.add_column("")
    for column in ("last", "lowest", "highest"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", style="bold red")
    for name, label in _CURVES.items():
        curve = curves[name]
        if curve["sparkline"]:
            numbers = [_number(curve[which]) for which in ("last", "lowest", "highest")]
            bad = f"{curve['not_finite']} of {curve['rows']} rows not finite" if curve["not_finite"] else ""
            table.add_row(label, curve["sparkline"], *numbers, bad)
    return table if table.row_count else None


def _number(value: float | str | None) -> str:
    if value is None:
        return "—"
    return value if isinstance(value, str) else f"{value:.4g}"


def _early_stopping(found: Json | None) -> Table | None:
    if found is None:
        return None
    lines = Table.grid()
    for line in found["lines"]:
        lines.add_row(Text(drawing.sentence(line)))
    return lines


def _cancel(job: Json) -> RenderableType | None:
    """What was done about a cancel, or why nothing was."""
    lines = Table.grid()
    if job["never_cancel"]:
        lines.add_row(Text("never by the watcher: vetoed"))
    for alert in job["alerts"]:
        if alert["cancel"]:
            lines.add_row(Text(f"{drawing.title(alert)}: {drawing.sentence(alert['cancel'])}"))
    if job["proposals"]:
        lines.add_row(tables.proposal_table(job["proposals"]))
    return lines if lines.row_count else None


def checkpoint_section(found: list[Json], going_on: Json) -> RenderableType | None:
    """Checkpoints as they come, with the words that other tools take, and what to go on from."""
    parts: list[RenderableType] = []
    if found:
        parts += [_checkpoint_table(found), "", *(_copied(c["download"]) for c in found)]
    if going_on["lines"]:
        parts += [*([""] if parts else []), *(Text(drawing.sentence(line)) for line in going_on["lines"])]
    if going_on["command"]:
        parts += ["", "to go on from the best saved one with a lower learning rate:", _copied(going_on["command"])]
    return Group(*parts) if parts else None


def _copied(command: str) -> Text:
    """On a line of its own, never broken, so that it can be copied as it is."""
    return Text(drawing.sentence(command), no_wrap=True, overflow="ignore")


def _checkpoint_table(found: list[Json]) -> Table:
    table = tables.plain()
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("type", no_wrap=True)
    table.add_column("saved", no_wrap=True)
    table.add_column("from_checkpoint", overflow="fold")
    for checkpoint in found:
        table.add_row(
            "" if checkpoint["step"] is None else str(checkpoint["step"]),
            Text(drawing.sentence(checkpoint["type"])),
            tables.moment(checkpoint["created_at"]),
            Text(drawing.sentence(checkpoint["from_checkpoint"])),
        )
    return table


def event_table(found: list[Json]) -> Table | None:
    """Events as they come."""
    table = tables.plain()
    table.add_column("at", no_wrap=True)
    table.add_column("event", no_wrap=True)
    table.add_column("level", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("message", overflow="fold", ratio=1)
    for event in found:
        table.add_row(
            tables.moment(event["at"]),
            Text(drawing.sentence(event["type"])),
            Text(drawing.sentence(event["level"])),
            "" if event["step"] is None else str(event["step"]),
            Text(drawing.sentence(event["message"])),
        )
    return table if table.row_count else None
