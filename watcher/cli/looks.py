"""`jobs`, `alerts` and `status`: what the watcher knows, from the store, which is only read."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from watcher import bootstrap
from watcher.cli import drawing, jobpage, tables
from watcher.cli.common import (
    ConfigOption,
    Format,
    FormatOption,
    StateOption,
    accounts_of,
    print_json,
    reading,
    settings_of,
)
from watcher.cli.naming import complete_job, named
from watcher.clock import SystemClock
from watcher.service.jobpage import page_view
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery
from watcher.service.status import Json, alert_views, job_views, status_view

_EVERYTHING = 100_000
_BAR, _CURVE, _SHORT_CURVE = 12, 24, 12
_CURVED, _ROOMY = 112, 124
"""Columns from which on a short curve, and a bar with a whole curve, have room beside what is never cut."""
_PERCENT, _HEALTH = 3, 11
"""The longest of their words: `100` and `interrupted`."""

NameArgument = Annotated[
    str | None,
    typer.Argument(metavar="JOB", help="A job's id or suffix: that job whole.", autocompletion=complete_job),
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(jobs)
    app.command()(alerts)
    app.command()(status)


def jobs(
    job: NameArgument = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Show every watched job, or one of them whole. Safe beside a running daemon.

    JSON is one document, {"jobs": […]}; one job whole has its curves, newest events, checkpoints and cancels in it.
    """
    settings, now = settings_of(config, offline=True), SystemClock().now()
    link, early = settings.links.job, bootstrap.early_stopping_of(settings)
    labels = {account.name: account.labels for account in accounts_of(config)}
    with reading(config, state_dir) as store:
        found = store.read_now(
            lambda reads: (
                job_views(reads)
                if job is None
                else [
                    page_view(reads, r, now, link=link, labels=labels, early_stopping=early) for r in named(reads, job)
                ]
            )
        )
    if format is Format.JSON:
        print_json({"jobs": found})
        return 0
    console = drawing.person_console()
    if job is None:
        drawing.put(console, _job_table(found, console) if found else "no jobs yet")
    for view in found if job is not None else ():
        drawing.put(console, *jobpage.page(view))
    return 0


def alerts(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    firing: Annotated[bool, typer.Option("--firing", help="Leave out what is over, and notices.")] = False,
    job: Annotated[str | None, typer.Option("--job", help="Only those of this job: its id or suffix.")] = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Show alerts, newest first: what fired, when, and why.

    JSON is one document, {"alerts": […]}.
    """
    with reading(config, state_dir) as store:
        names = store.read_now(lambda reads: {view["id"]: drawing.name(view) for view in job_views(reads)})
        found = store.read_now(lambda reads: _alerts(reads, firing=firing, job=job))
    if format is Format.JSON:
        print_json({"alerts": found})
        return 0
    console = drawing.person_console()
    drawing.put(console, tables.alert_table(found, names) if found else "no alerts")
    return 0


def status(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Show the watcher as a whole: jobs, alerts, what is still to be delivered, and cancels under way."""
    with reading(config, state_dir) as store:
        found = store.read_now(lambda reads: status_view(reads, SystemClock().now()))
        path = store.path
    if format is Format.JSON:
        print_json(found)
        return 0
    drawing.put(drawing.person_console(), *_status_page(found, path))
    return 0


# --- finding ---


def _alerts(reads: Reads, *, firing: bool, job: str | None) -> list[Json]:
    query = AlertQuery(firing_only=firing, notices=not firing, limit=_EVERYTHING)
    queries = [query]
    if job is not None:
        queries = [replace(query, account=r.key.account, job_id=r.key.job_id) for r in named(reads, job)]
    found = [view for query in queries for view in alert_views(reads, query)]
    return sorted(found, key=lambda view: str(view["starts_at"]), reverse=True)


# --- drawing ---


def _job_table(found: list[Json], console: Console) -> Table:
    """What fires, the health and the share done are never cut; with less room there is less of a picture."""
    curved, roomy = console.width >= _CURVED, console.width >= _ROOMY
    table = tables.plain()
    table.add_column("job", no_wrap=True, max_width=40 if roomy else 24)
    table.add_column("status", no_wrap=True)
    if roomy:
        table.add_column("progress", no_wrap=True, min_width=_BAR)
    table.add_column("%", justify="right", no_wrap=True, min_width=_PERCENT)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("loss", justify="right", no_wrap=True)
    if curved:
        table.add_column("curve", no_wrap=True)
    table.add_column("health", no_wrap=True, min_width=_HEALTH)
    table.add_column("firing", overflow="fold")
    for job in found:
        bar = [drawing.bar(job["progress"], _BAR)] if roomy else []
        curve = [drawing.curve(job["sparkline"], _CURVE if roomy else _SHORT_CURVE)] if curved else []
        table.add_row(
            Text(drawing.name(job)),
            Text(drawing.status(job)),
            *bar,
            drawing.percent(job["progress"]).removesuffix(" %"),
            drawing.steps(job["step"], job["total_steps"]),
            drawing.loss(job),
            *curve,
            drawing.health(job),
            _firing(job["alerts"]),
        )
    return table


def _firing(found: list[Json]) -> Text:
    held = [a for a in found if drawing.is_firing(a)]
    return Text(", ").join(Text(drawing.title(a), drawing.SEVERITY.get(a["severity"], "")) for a in held)


def _account(account: Json) -> str:
    said = {"project": account["project"], "organization": account["organization"]}
    words = ", ".join(f"{label} {name}" for label, name in said.items() if name)
    return f"{account['name']} ({words})" if words else str(account["name"])


def _status_page(found: Json, path: Path) -> list[RenderableType]:
    outbox = found["outbox"]
    waiting = outbox["due"] + outbox["waiting"] + outbox["claimed"]
    oldest = f", the oldest since {tables.moment(outbox['oldest_due_at'])}" if outbox["oldest_due_at"] else ""
    dead = f", {outbox['dead']} given up" if outbox["dead"] else ""
    facts = tables.facts(
        {
            "database": str(path),
            "accounts": "; ".join(map(_account, found["accounts"])),
            "jobs": f"{found['jobs']}, of which {found['open_jobs']} are followed",
            "firing": str(found["firing"]),
            "delivery": f"{outbox['done']} done, {waiting} to do{oldest}{dead}",
            "cancels": f"{len(found['proposals'])} under way",
            "restart": f"needed for {', '.join(found['restart_needed'])}" if found["restart_needed"] else None,
        }
    )
    page: list[RenderableType] = [facts]
    if found["alerts"]:
        page += ["", Text("accounts and the watcher itself", "bold"), tables.alert_table(found["alerts"], {})]
    if found["proposals"]:
        page += ["", Text("cancels under way", "bold"), tables.proposal_table(found["proposals"])]
    return page
