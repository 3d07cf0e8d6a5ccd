"""`jobs`, `alerts` and `status`: what the watcher knows, from the store, which is only read."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from watcher.cli import drawing
from watcher.cli.common import ConfigOption, Format, FormatOption, StateOption, print_json, reading
from watcher.clock import SystemClock
from watcher.domain import money
from watcher.service.errors import ConfigError
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery
from watcher.service.status import Json, alert_views, job_view, job_views, proposal_view, status_view

_EVERYTHING = 100_000
_BAR, _CURVE, _SHORT_CURVE = 12, 24, 12
_HINTS = 3

NameArgument = Annotated[str | None, typer.Argument(metavar="[JOB]", help="A job's id or suffix: that job whole.")]


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

    JSON is one document, {"jobs": […]}; for one job its auto-cancels are in it as `proposals`.
    """
    with reading(config, state_dir) as store:
        found = store.read_now(lambda reads: job_views(reads) if job is None else _whole(reads, job))
    if format is Format.JSON:
        print_json({"jobs": found})
        return 0
    console = drawing.person_console()
    if job is None:
        drawing.put(console, _job_table(found, console) if found else "no jobs yet")
    for view in found if job is not None else ():
        drawing.put(console, *_page(view))
    return 0


def alerts(
    config: ConfigOption = None,
    state_dir: StateOption = None,
    firing: Annotated[bool, typer.Option("--firing", help="Only what holds now.")] = False,
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
    drawing.put(console, _alert_table(found, names) if found else "no alerts")
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


def _whole(reads: Reads, wanted: str) -> list[Json]:
    """The jobs that a name means, with their auto-cancels."""
    found = []
    for record in _named(reads, wanted):
        query = AlertQuery(account=record.key.account, job_id=record.key.job_id, limit=_EVERYTHING)
        view = job_view(record, reads.alerts(query))
        view["proposals"] = [proposal_view(p) for p in reads.proposals(key=record.key)]
        found.append(view)
    return found


def _named(reads: Reads, wanted: str) -> list[Any]:
    """By exact id; for looking an exact suffix will do, which several jobs may share.

    Raises:
        ConfigError: no job is called that.
    """
    records = reads.jobs()
    found = [r for r in records if r.key.job_id == wanted] or [r for r in records if r.snapshot.suffix == wanted]
    if found:
        return found
    names = {r.key.job_id for r in records} | {r.snapshot.suffix for r in records if r.snapshot.suffix}
    raise ConfigError(f"job {drawing.sentence(wanted)!r} is not known; {_hint(wanted, names)}")


def _hint(wanted: str, names: Iterable[str]) -> str:
    known = sorted(names)
    near = [n for n in known if n.startswith(wanted) or n.endswith(wanted)] if wanted else []
    near = near or difflib.get_close_matches(wanted, known, _HINTS)
    shown = [drawing.sentence(n) for n in (near or known)[:_HINTS]]
    if near:
        return f"did you mean {' or '.join(shown)}?"
    return (
        f"known are {', '.join(shown)}{' and more' if len(known) > len(shown) else ''}" if known else "there are none"
    )


def _alerts(reads: Reads, *, firing: bool, job: str | None) -> list[Json]:
    queries = [AlertQuery(firing_only=firing, limit=_EVERYTHING)]
    if job is not None:
        queries = [
            AlertQuery(account=r.key.account, job_id=r.key.job_id, firing_only=firing, limit=_EVERYTHING)
            for r in _named(reads, job)
        ]
    found = [view for query in queries for view in alert_views(reads, query)]
    return sorted(found, key=lambda view: str(view["starts_at"]), reverse=True)


# --- drawing ---


def _job_table(found: list[Json], console: Console) -> Table:
    narrow = drawing.is_narrow(console)
    table = _table()
    table.add_column("job", no_wrap=True, max_width=24 if narrow else 40)
    table.add_column("status", no_wrap=True)
    if not narrow:
        table.add_column("progress", no_wrap=True, min_width=_BAR)
    table.add_column("%", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("loss", justify="right", no_wrap=True)
    table.add_column("curve", no_wrap=True)
    table.add_column("health", no_wrap=True)
    table.add_column("firing", overflow="fold")
    for job in found:
        progress = [drawing.bar(job["progress"], _BAR)] if not narrow else []
        table.add_row(
            Text(drawing.name(job)),
            Text(drawing.sentence(job["status"])),
            *progress,
            drawing.percent(job["progress"]).removesuffix(" %"),
            drawing.steps(job["step"], job["total_steps"]),
            drawing.loss(job),
            drawing.curve(job["sparkline"], _SHORT_CURVE if narrow else _CURVE),
            drawing.health(job),
            _firing(job["alerts"]),
        )
    return table


def _firing(found: list[Json]) -> Text:
    held = [a for a in found if drawing.is_firing(a)]
    return Text(", ").join(Text(drawing.title(a), drawing.SEVERITY.get(a["severity"], "")) for a in held)


def _page(job: Json) -> list[RenderableType]:
    """One job whole."""
    facts = _facts(
        {
            "job": job["id"],
            "suffix": job["suffix"],
            "account": job["account"],
            "selection": job["selection"],
            "model": job["model"],
            "status": job["status"],
            "health": drawing.health(job),
            "step": _step(job),
            "loss": drawing.loss(job),
            "curve": job["sparkline"],
            "best eval": _best(job),
            "price": money.price_as_given(job["price_nano"]) if job["price_nano"] else None,
            "output": job["output_name"],
            "created": _moment(job["created_at"]),
            "first seen": _moment(job["first_seen_at"]),
            "ended": _moment(job["ended_at"]),
            "cancel": "never, by veto" if job["never_cancel"] else None,
        }
    )
    page: list[RenderableType] = [facts]
    if job["alerts"]:
        page += ["", Text("alerts", "bold"), _alert_table(job["alerts"], None)]
    if job["proposals"]:
        page += ["", Text("auto-cancel", "bold"), _proposal_table(job["proposals"])]
    return [*page, ""]


def _step(job: Json) -> str:
    steps = drawing.steps(job["step"], job["total_steps"])
    return f"{steps} ({drawing.percent(job['progress'])})" if steps and job["progress"] is not None else steps


def _best(job: Json) -> str | None:
    return None if job["best_eval"] is None else f"{job['best_eval']:.4g} at step {job['best_eval_step']}"


def _alert_table(found: list[Json], names: Mapping[str, str] | None) -> Table:
    """Alerts with their reasons; with `names` those of several subjects, named as people know them."""
    table = _table()
    table.add_column("")
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
            _moment(alert["starts_at"]),
            *(known if names is not None else []),
            Text(drawing.title(alert), drawing.SEVERITY.get(alert["severity"], "")),
            "noted" if alert["notice"] else alert["state"],
            "" if alert["step"] is None else str(alert["step"]),
            Text(drawing.sentence(alert["reason"])),
        )
    return table


def _proposal_table(found: list[Json]) -> Table:
    table = _table()
    for column in ("since", "rule", "state", "step"):
        table.add_column(column, no_wrap=True)
    table.add_column("what came of it", overflow="fold", ratio=1)
    for proposal in found:
        table.add_row(
            _moment(proposal["proposed_at"]),
            Text(drawing.title(proposal)),
            proposal["state"],
            "" if proposal["step"] is None else str(proposal["step"]),
            Text(drawing.sentence(proposal["detail"] or proposal["reason"])),
        )
    return table


def _status_page(found: Json, path: Path) -> list[RenderableType]:
    outbox = found["outbox"]
    waiting = outbox["due"] + outbox["waiting"] + outbox["claimed"]
    oldest = f", the oldest since {_moment(outbox['oldest_due_at'])}" if outbox["oldest_due_at"] else ""
    dead = f", {outbox['dead']} given up" if outbox["dead"] else ""
    facts = _facts(
        {
            "database": str(path),
            "jobs": f"{found['jobs']}, of which {found['open_jobs']} are followed",
            "firing": str(found["firing"]),
            "delivery": f"{outbox['done']} done, {waiting} to do{oldest}{dead}",
            "cancels": f"{len(found['proposals'])} under way",
        }
    )
    page: list[RenderableType] = [facts]
    if found["alerts"]:
        page += ["", Text("accounts and the watcher itself", "bold"), _alert_table(found["alerts"], {})]
    if found["proposals"]:
        page += ["", Text("cancels under way", "bold"), _proposal_table(found["proposals"])]
    return page


def _facts(rows: Mapping[str, str | Text | None]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, value in rows.items():
        if value:
            grid.add_row(label, value if isinstance(value, Text) else Text(drawing.sentence(value)))
    return grid


def _table() -> Table:
    return Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")


def _moment(iso: str | None) -> str:
    return iso.replace("T", " ")[:19] if iso else ""
