"""`cancel` and `delete`: what a person does to a job that can't be undone, after saying what it means."""

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from watcher import bootstrap
from watcher.cli import drawing, tables
from watcher.cli.acts import ask, written
from watcher.cli.common import (
    ByOption,
    ConfigOption,
    ReasonOption,
    StateOption,
    login,
    reading,
    set_up_logs,
    settings_of,
    state_of,
)
from watcher.cli.naming import ExactArgument, exact
from watcher.clock import SystemClock
from watcher.domain import money, moneywords
from watcher.domain.continuing import lost
from watcher.domain.phrasing import steps
from watcher.service.book import meter_of
from watcher.service.bookstate import BookState, unpacked
from watcher.service.checkpointview import saved_rows
from watcher.service.consent import person_of
from watcher.service.errors import ConfigError, FailureReason, ProviderError
from watcher.service.manual import deletion_noted, known_answer
from watcher.service.records import Checkpoint, JobDetail, JobRecord
from watcher.service.status import Json, job_view
from watcher.settings import Account, Settings

_CANCEL_PATIENCE = 180.0
"""Seconds for the daemon to look, to store, to ask and to look again, each bounded by the account's timeout."""

ConfirmOption = Annotated[str | None, typer.Option("--confirm", metavar="ID", help="The id once more, for scripts.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(cancel)
    app.command()(delete)


def cancel(
    job: ExactArgument,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    by: ByOption = None,
    reason: ReasonOption = "",
) -> int:
    """Cancel a job, after saying what that means. Completed steps stay billed, and it can't be resumed.

    Exit code 0 when the cancel was requested (or the job is being cancelled already), 1 when it was not.
    """
    with reading(config, state_dir) as store:
        record = store.read_now(lambda reads: exact(reads, job))
        answer = store.read_now(lambda reads: known_answer(reads, record))
    view = job_view(record, ())
    _say(*_what(view), *(_meaning(record) if answer is None else ()))
    if answer is None and not yes and _typed("Cancel it? [y/N] ").lower() not in ("y", "yes"):
        typer.echo("nothing was done", err=True)
        return 1
    request = {"do": "cancel", "job": job, "by": by or login(), "reason": reason}
    answer = answer or _asked(config, state_of(state_dir), request)
    typer.echo(f"{drawing.sentence(job)}: {drawing.sentence(answer['text'])}")
    typer.echo(f"status: {drawing.sentence(answer['status'])}")
    return 0 if answer["done"] else 1


def _asked(config: Path | None, directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    """The running daemon does it; where none runs, the same parts do it here."""
    answer = ask(directory, request, patience=_CANCEL_PATIENCE)
    if answer is not None:
        return answer
    settings = settings_of(config)
    set_up_logs(settings, level="warning")
    with bootstrap.state_lock(directory):
        return asyncio.run(_cancel(settings, directory, request))


async def _cancel(settings: Settings, directory: Path, request: dict[str, Any]) -> dict[str, Any]:
    app, job_id = bootstrap.build(settings, directory, console=sys.stderr), str(request["job"])
    try:
        for record in await app.store.read(lambda reads: reads.find_jobs(job_id)):
            sweeper = app.sweepers.get(record.key.account)
            if sweeper is not None:
                await sweeper.load()
        return await app.manual.cancel(job_id, person_of(request))
    finally:
        await app.close()


def delete(
    job: ExactArgument,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    confirm: ConfirmOption = None,
    force: Annotated[bool, typer.Option("--force", help="Passed on to the API as its own flag.")] = False,
    by: ByOption = None,
    reason: ReasonOption = "",
) -> int:
    """Destroy a job at Together with all its files and checkpoints, after the id was typed again. Irreversible.

    The watcher never does this by itself.
    """
    with reading(config, state_dir) as store:
        record = store.read_now(lambda reads: exact(reads, job))
    settings = settings_of(config)
    set_up_logs(settings, level="warning")
    account = _account(settings, record)
    detail, saved = asyncio.run(_see(account, job))
    _say(*_destroyed(record, detail, saved))
    typed = _typed("Type the id to destroy it: ") if confirm is None else confirm.strip()
    if typed != job:
        raise ConfigError("nothing was deleted: expected the id once more, letter by letter")
    noted = {"do": "deleting", "job": job, "account": account.name, "by": by or login(), "reason": reason}
    written(noted, deletion_noted, config, state_dir)
    message = asyncio.run(_delete(account, job, force=force))
    typer.echo(f"{drawing.sentence(job)}: deleted{f' ({drawing.sentence(message)})' if message else ''}")
    return 0


def _account(settings: Settings, record: JobRecord) -> Account:
    for account in settings.accounts:
        if account.name == record.key.account:
            return account
    raise ConfigError(f"account {record.key.account!r} of this job is not configured; expected its key in the settings")


async def _see(account: Account, job_id: str) -> tuple[JobDetail, tuple[Checkpoint, ...]]:
    provider = bootstrap.provider_of(account, SystemClock())
    try:
        detail = await provider.get_job(job_id)
        return detail, await provider.get_checkpoints(job_id)
    except ProviderError as error:
        if error.reason is FailureReason.NOT_FOUND:
            gone = f"account {account.name!r} has no job {job_id!r} (any more); nothing was deleted"
            raise ConfigError(gone) from error
        raise
    finally:
        await provider.aclose()


async def _delete(account: Account, job_id: str, *, force: bool) -> str:
    """One DELETE. When it is not answered with a yes, the truth is whether the job is still there."""
    provider = bootstrap.provider_of(account, SystemClock())
    try:
        return await provider.delete(job_id, force=force)
    except ProviderError:
        try:
            await provider.get_job(job_id)
        except ProviderError as looked:
            if looked.reason is FailureReason.NOT_FOUND:
                return "the answer was lost, but the job is gone"
        raise
    finally:
        await provider.aclose()


# --- what is said before ---


def _what(view: Json) -> list[str]:
    where = steps(view["step"], view["total_steps"])
    named = f" ({view['suffix']})" if view["suffix"] else ""
    seen = f", as seen {tables.moment(view['updated_at'])} UTC" if view["updated_at"] else ""
    return [
        f"job {view['id']}{named}, account {view['account']}",
        f"status {view['status']}{f', step {where}' if where else ''}, health {view['health']}{seen}",
    ]


def _meaning(record: JobRecord) -> list[str]:
    state = unpacked(record)
    meter = meter_of(record, state)
    told = dict(moneywords.rows(meter, cancels=True))
    return [
        f"price {money.price_as_given(meter.price_nano)}",
        *(f"{label}: {told[label]}" for label in ("spent so far", "if cancelled") if label in told),
        "Completed steps stay billed. A cancelled job can't be resumed.",
        f"A new one can only start from a checkpoint: {_left_of(record, state)}.",
    ]


def _left_of(record: JobRecord, state: BookState) -> str:
    """What is saved of the job, and what is lost with a cancel."""
    found = saved_rows(record, state)
    if found:
        return "; ".join(f"{label} {value}" for label, value in found if value)
    loses = lost(state.train_step)
    return f"none is saved yet{f', so {loses}' if loses else ''}"


def _destroyed(record: JobRecord, detail: JobDetail, saved: tuple[Checkpoint, ...]) -> list[str]:
    job = detail.snapshot
    named = f" ({job.suffix or record.snapshot.suffix})" if job.suffix or record.snapshot.suffix else ""
    kept = ", ".join("final" if c.final else str(c.step) for c in saved) or "none"
    return [
        f"job {job.job_id}{named}, account {record.key.account}, status {job.raw_status}",
        f"price {money.price_as_given(job.total_price_nano)}; it is not paid back",
        "This destroys the job and every file it made at Together, for good:",
        f"  checkpoints: {kept}",
        f"  model: {job.output_name or 'none yet'}",
        *([] if job.status.terminal else ["The job has not ended: its training is lost too."]),
    ]


def _say(*lines: str) -> None:
    for line in lines:
        typer.echo(drawing.sentence(line) if not line.startswith("  ") else f"  {drawing.sentence(line)}", err=True)


def _typed(question: str) -> str:
    """One line from a person or a script; nothing when the input has ended."""
    typer.echo(question, nl=False, err=True)
    return sys.stdin.readline().strip()
