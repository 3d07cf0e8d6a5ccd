"""`events`, `metrics` and `checkpoints`: one list of one job in full, for people, programs and spreadsheets."""

import asyncio
from collections.abc import Sequence
from typing import Any

import typer
from rich.console import RenderableType
from rich.table import Table

from watcher import bootstrap
from watcher.cli import drawing, jobpage, sheets, tables
from watcher.cli.common import (
    ConfigOption,
    ListFormat,
    ListFormatOption,
    StateOption,
    accounts_of,
    print_json,
    reading,
)
from watcher.cli.naming import JobArgument, one
from watcher.clock import SystemClock
from watcher.domain import codec
from watcher.domain.observations import Event, Row, TrainRow
from watcher.service.checkpointview import checkpoint_view, going_on_view, stored_checkpoints, unplaced_in
from watcher.service.errors import ProviderError
from watcher.service.jobpage import event_view, events_of, metrics_view, rows_of
from watcher.service.ports import Reads
from watcher.service.records import Checkpoint, JobRecord
from watcher.settings import Account

Json = dict[str, Any]

_METRICS = ("kind", "step", "timestamp", "loss", "grad_norm", "learning_rate")
_EVENTS = ("at", "by", "type", "level", "step", "total_steps", "message", "token_count", "checkpoint_path",
           "model_path", "best_step", "best_metric")  # fmt: skip
_CHECKPOINTS = ("step", "type", "final", "created_at", "path", "from_checkpoint", "download")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(events)
    app.command()(metrics)
    app.command()(checkpoints)


def events(
    job: JobArgument,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: ListFormatOption = ListFormat.TABLE,
) -> int:
    """Show a job's whole event log, oldest first.

    JSON is one document, {"id", "account", "events": […]}.
    """
    with reading(config, state_dir) as store:
        record, found = store.read_now(lambda reads: _events(reads, job))
    if format is ListFormat.JSON:
        print_json(_document(record, events=found))
    elif format is ListFormat.CSV:
        sheets.print_csv(_EVENTS, ([sheets.cell(event[name]) for name in _EVENTS] for event in found))
    else:
        _put(jobpage.event_table(found), "no events yet")
    return 0


def metrics(
    job: JobArgument,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: ListFormatOption = ListFormat.TABLE,
) -> int:
    """Show every metrics row of a job, by step; of an attempt that the service began anew, only what still counts.

    JSON is one document in the form of the API, {"id", "total_steps", "metrics": […]}, which `watcher replay` reads;
    what is no number is "NaN", "Infinity" or "-Infinity".
    """
    with reading(config, state_dir) as store:
        record, rows = store.read_now(lambda reads: _rows(reads, job))
    if format is ListFormat.JSON:
        print_json(metrics_view(record, rows))
    elif format is ListFormat.CSV:
        sheets.print_csv(_METRICS, map(_cells, rows))
    else:
        _put(_metrics_table(rows), "no metrics yet")
    return 0


def checkpoints(
    job: JobArgument,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: ListFormatOption = ListFormat.TABLE,
) -> int:
    """Show a job's checkpoints, newest first, the best of them, and the command that goes on from it.

    They are asked of the API where the account's key is at hand; else those that the event log told of are shown, and
    stderr says so. They are compared by their evaluations, else by the smoothed train loss. JSON is one document,
    {"id", "account", "source": "api" or "events", "checkpoints": […], "going_on": {…}}.
    """
    with reading(config, state_dir) as store:
        record, log, rows = store.read_now(lambda reads: _whole(reads, job))
    live = _live_checkpoints(next((a for a in accounts_of(config) if a.name == record.key.account), None), record)
    known = stored_checkpoints(record, log, rows) if live is None else live
    found = [checkpoint_view(c, record.key.job_id) for c in known]
    going_on = going_on_view(record, known, rows, unplaced=unplaced_in(log) if live is None else 0)
    if format is ListFormat.JSON:
        source = "events" if live is None else "api"
        print_json(_document(record, source=source, checkpoints=found, going_on=going_on))
    elif format is ListFormat.CSV:
        sheets.print_csv(
            _CHECKPOINTS, ([sheets.cell(checkpoint[name]) for name in _CHECKPOINTS] for checkpoint in found)
        )
    else:
        _put(jobpage.checkpoint_section(found, going_on), "no checkpoints yet")
    return 0


# --- finding ---


def _events(reads: Reads, job: str) -> tuple[JobRecord, list[Json]]:
    record = one(reads, job)
    return record, [event_view(event) for event in events_of(o for _, o in reads.observations(record.key))]


def _rows(reads: Reads, job: str) -> tuple[JobRecord, list[Row]]:
    record = one(reads, job)
    return record, rows_of(o for _, o in reads.observations(record.key))


def _whole(reads: Reads, job: str) -> tuple[JobRecord, list[Event], list[Row]]:
    record = one(reads, job)
    seen = [o for _, o in reads.observations(record.key)]
    return record, events_of(seen), rows_of(seen)


def _live_checkpoints(account: Account | None, record: JobRecord) -> Sequence[Checkpoint] | None:
    """What the API says; None where it can't be asked, and then stderr says why."""
    if account is None:
        why = f"the key of account {record.key.account} is not at hand"
    else:
        try:
            return asyncio.run(_ask(account, record.key.job_id))
        except ProviderError as error:
            why = f"the API could not be asked ({error})"
    typer.echo(f"{why}: these are the checkpoints that the event log told of", err=True)
    return None


async def _ask(account: Account, job_id: str) -> Sequence[Checkpoint]:
    provider = bootstrap.provider_of(account, SystemClock())
    try:
        return await provider.get_checkpoints(job_id)
    finally:
        await provider.aclose()


def _document(record: JobRecord, **more: object) -> Json:
    return {"id": record.key.job_id, "account": record.key.account, **more}


# --- writing ---


def _put(table: RenderableType | None, nothing: str) -> None:
    drawing.put(drawing.person_console(), table or nothing)


def _metrics_table(rows: Sequence[Row]) -> Table | None:
    table = tables.plain()
    table.add_column("kind", no_wrap=True)
    for column in _METRICS[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*map(str, _cells(row)))
    return table if rows else None


def _cells(row: Row) -> list[object]:
    """A row for a table or a spreadsheet, where what is no number stands as such."""
    train = isinstance(row, TrainRow)
    values = (row.loss, row.grad_norm, row.lr) if isinstance(row, TrainRow) else (row.loss, None, None)
    numbers = ["" if value is None else codec.encode(value) for value in values]
    return ["train" if train else "eval", row.step, row.at_ns or "", *numbers]
