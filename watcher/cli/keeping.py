"""`backup`, `restore` and `export`: the database as a file, and what is in it for other programs."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher import bootstrap
from watcher.cli import sheets
from watcher.cli.common import ConfigOption, StateOption, print_json, reading, settings_of, state_of
from watcher.clock import SystemClock
from watcher.service.jobpage import metrics_view, rows_of
from watcher.service.parked import row_view
from watcher.service.ports import Reads
from watcher.service.records import AlertQuery
from watcher.service.status import alert_views, iso, job_views, proposal_view
from watcher.store.backups import copy_to, restore_from

Json = dict[str, Any]

_EVERYTHING = 10_000_000


class What(StrEnum):
    """What can be exported: one record each."""

    JOBS = "jobs"
    ALERTS = "alerts"
    CANCELS = "cancels"
    DELIVERIES = "deliveries"
    METRICS = "metrics"


class ExportFormat(StrEnum):
    """For which program an export is."""

    CSV = "csv"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(backup)
    app.command()(restore)
    app.command()(export)


def backup(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Where to; beside the database unless it is said.")
    ] = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> int:
    """Copy the database to a file, whole and consistent, also while the daemon runs.

    The copy holds everything but the settings and their secrets. It is readable by its owner alone.
    """
    path = bootstrap.database_path(settings_of(config, offline=True), state_of(state_dir))
    target = file or path.with_name(f"{path.name}.backup-{SystemClock().now():%Y%m%dT%H%M%SZ}")
    copy_to(path, target)
    typer.echo(f"{target}: {target.stat().st_size:,} bytes")
    return 0


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A copy that `watcher backup` or an upgrade made.")],
    config: ConfigOption = None,
    state_dir: StateOption = None,
) -> int:
    """Put a backup in the database's place; the daemon must not run.

    The database that was there is kept beside it, under a name that ends with .before-restore and the time. What was
    delivered after the backup was made may be delivered again.
    """
    directory = state_of(state_dir)
    path = bootstrap.database_path(settings_of(config, offline=True), directory)
    with bootstrap.state_lock(directory):
        kept = restore_from(path, file, f"{SystemClock().now():%Y%m%dT%H%M%SZ}")
    typer.echo(f"{path} is now what {file} was{f'; the one before is {kept}' if kept else ''}")
    return 0


def export(
    what: Annotated[What, typer.Argument(metavar="WHAT", help="What to export.")],
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: Annotated[ExportFormat, typer.Option("--format", "-f", help="For which program.")] = ExportFormat.CSV,
    since: Annotated[
        datetime | None, typer.Option(help="Only what began at or after this time (UTC).", formats=["%Y-%m-%d"])
    ] = None,
) -> int:
    """Write all jobs, alerts, cancels, deliveries or metrics rows to stdout, as CSV or as one JSON document.

    JSON is {"jobs": […]}, {"alerts": […]} and so on; that of metrics has one entry a job, in the form that `watcher
    replay` reads one of.
    """
    begin = iso(since.replace(tzinfo=UTC)) if since else ""
    with reading(config, state_dir) as store:
        found = [
            record for record in store.read_now(_SOURCES[what]) if not begin or str(record[_TIME[what]] or "") >= begin
        ]
    if format is ExportFormat.JSON:
        print_json({what.value: found})
    elif what is What.METRICS:
        rows = [(entry, row) for entry in found for row in entry["metrics"]]
        sheets.print_csv(
            _METRICS, ([sheets.cell({**entry, **row}.get(name)) for name in _METRICS] for entry, row in rows)
        )
    else:
        header = _COLUMNS[what]
        sheets.print_csv(header, ([sheets.cell(record[name]) for name in header] for record in found))
    return 0


_METRICS = ("id", "account", "total_steps", "train/global_step", "timestamp", "train/loss", "train/grad_norm",
            "train/learning_rate", "eval/loss")  # fmt: skip
_COLUMNS = {
    What.JOBS: (
        "id", "account", "status", "step", "total_steps", "progress", "health", "selection", "model", "suffix",
        "output_name", "loss", "best_eval", "best_eval_step", "price_nano", "created_at", "first_seen_at", "ended_at",
        "updated_at", "eta_seconds", "started_at", "never_cancel", "closed", "gone", "restarted_as",
    ),
    What.ALERTS: (
        "id", "rule", "kind", "subject", "account", "severity", "state", "starts_at", "ends_at", "step", "onset",
        "reason", "notice", "acknowledged_by", "acknowledged_until",
    ),
    What.CANCELS: (
        "id", "job", "account", "rule", "kind", "mode", "state", "step", "reason", "proposed_at", "veto_window",
        "round", "announced_at", "deadline_at", "frozen_at", "approved_at", "requested_at", "posted_at", "ended_at",
        "detail",
    ),
    What.DELIVERIES: (
        "key", "effect", "receiver", "target", "state", "attempts", "created_at", "next_at", "parked_at", "error",
        "title", "subject", "done_at",
    ),
}  # fmt: skip
"""All of a record that has a place in a cell; the header stands there without any record too."""
_TIME = {
    What.JOBS: "first_seen_at",
    What.ALERTS: "starts_at",
    What.CANCELS: "proposed_at",
    What.DELIVERIES: "created_at",
    What.METRICS: "first_seen_at",
}


def _deliveries(reads: Reads) -> list[Json]:
    rows = reversed(reads.outbox(limit=_EVERYTHING))
    return [row_view(row) | {"done_at": iso(row.done_at)} for row in rows]


def _metrics(reads: Reads) -> list[Json]:
    return [
        metrics_view(record, rows_of(o for _, o in reads.observations(record.key)))
        | {"first_seen_at": iso(record.first_seen_at)}
        for record in reversed(reads.jobs())
    ]


_SOURCES: dict[What, Callable[[Reads], list[Json]]] = {
    What.JOBS: lambda reads: job_views(reads, known=_EVERYTHING)[::-1],
    What.ALERTS: lambda reads: alert_views(reads, AlertQuery(limit=_EVERYTHING))[::-1],
    What.CANCELS: lambda reads: [proposal_view(proposal) for proposal in reads.proposals()][::-1],
    What.DELIVERIES: _deliveries,
    What.METRICS: _metrics,
}
"""Oldest first."""
