"""`early-stop check`: what a setting of early stopping can do, and would have done on runs that are over."""

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from watcher.cli import drawing, earlysummary
from watcher.cli.common import ConfigOption, Format, FormatOption, StateOption, print_json, reading
from watcher.cli.earlysummary import Case, Trial, Tried
from watcher.cli.naming import complete_job, one
from watcher.cli.recordings import read_recordings
from watcher.domain.early_stop_check import Chance, would_have
from watcher.domain.early_stopping import DOCUMENTED, EarlyStopping, evaluations_of
from watcher.domain.observations import Row
from watcher.domain.replay import Recording
from watcher.service.errors import ConfigError
from watcher.service.jobpage import rows_of
from watcher.service.ports import Reads
from watcher.service.records import JobRecord

_MOST = 100
_RANGE = re.compile(r"(\d{1,6})(?:\.\.(\d{1,6}))?", re.ASCII)

early_stop = typer.Typer(help="Early stopping, as Together does it.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.add_typer(early_stop, name="early-stop")


@early_stop.callback()
def _root() -> None:
    pass


@early_stop.command()
def check(
    recordings: Annotated[
        list[Path] | None,
        typer.Argument(metavar="FILE", help="Recorded runs to try it on, in every form that `watcher replay` reads."),
    ] = None,
    n_evals: Annotated[int | None, typer.Option("--n-evals", help="Evaluations that the job is to have.")] = None,
    patience: Annotated[
        str,
        typer.Option("--patience", metavar="N|A..B", help="Bad evaluations that end the run, or several to compare."),
    ] = str(DOCUMENTED.patience),
    min_delta: Annotated[
        float, typer.Option("--min-delta", help="What the loss must at least go down by.")
    ] = DOCUMENTED.min_delta,
    warmup: Annotated[int, typer.Option("--warmup", help="First evaluations that don't count.")] = DOCUMENTED.warmup,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps that the job is to have.")] = None,
    jobs: Annotated[bool, typer.Option("--jobs", help="Try it on every watched job too.")] = False,
    job: Annotated[
        list[str] | None, typer.Option("--job", help="Or on this one: its id or suffix.", autocompletion=complete_job)
    ] = None,
    config: ConfigOption = None,
    state_dir: StateOption = None,
    format: FormatOption = Format.TABLE,
) -> int:
    """Say whether a setting of early stopping can ever fire, how early, and what it would have done on past runs.

    Nothing is asked of the API. Exit code 1: none of the settings can fire on so many evaluations. JSON is one
    document, {"settings": […], "runs": […], "summary": […]}.
    """
    if n_evals is None and not (recordings or jobs or job):
        raise ConfigError("--n-evals: expected the evaluations of the job to be, or runs to try the setting on")
    settings = _settings(patience, min_delta, warmup)
    _at_least_one("--n-evals", n_evals)
    _at_least_one("--steps", steps)
    chances = [] if n_evals is None else [Chance(knobs=knobs, n_evals=n_evals, steps=steps) for knobs in settings]
    cases = [*_recorded(recordings or []), *_watched(config, state_dir, job or [], all_of_them=jobs)]
    trial = Trial(settings, chances, [_tried(case, settings) for case in cases])
    if format is Format.JSON:
        print_json(earlysummary.document(trial))
    else:
        drawing.put(drawing.person_console(), *earlysummary.report(trial))
    return 1 if chances and not any(chance.can_fire for chance in chances) else 0


def _settings(patience: str, min_delta: float, warmup: int) -> list[EarlyStopping]:
    found = _RANGE.fullmatch(patience.strip())
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= first <= last < first + _MOST:
        shown = drawing.sentence(patience)
        raise ConfigError(
            f"--patience {shown}: expected a whole number from 1 on, or a range of at most 100 such as 1..5"
        )
    if not 0 <= min_delta < math.inf:
        raise ConfigError(f"--min-delta {min_delta}: expected a finite number of at least 0")
    if warmup < 0:
        raise ConfigError(f"--warmup {warmup}: expected a whole number from 0 on")
    return [EarlyStopping(patience=p, min_delta=min_delta, warmup=warmup) for p in range(first, last + 1)]


def _at_least_one(option: str, value: int | None) -> None:
    if value is not None and value < 1:
        raise ConfigError(f"{option} {value}: expected a whole number from 1 on")


# --- runs ---


def _recorded(files: list[Path]) -> Iterator[Case]:
    for file in files:
        for recording in read_recordings(file):
            yield _case(recording)


def _watched(config: Path | None, state_dir: Path | None, words: list[str], *, all_of_them: bool) -> list[Case]:
    if not (words or all_of_them):
        return []

    def read(reads: Reads) -> list[Case]:
        records = reads.jobs() if all_of_them else [one(reads, word) for word in words]
        return [_of_job(reads, record) for record in records]

    with reading(config, state_dir) as store:
        return store.read_now(read)


def _of_job(reads: Reads, record: JobRecord) -> Case:
    job = record.snapshot
    rows = rows_of(o for _, o in reads.observations(record.key))
    found = Recording(id=job.suffix or job.job_id, rows=tuple(rows), total_steps=job.total_steps, n_evals=job.n_evals)
    return _case(found, "stopped early" if job.early_stopped else job.raw_status)


def _case(recording: Recording, status: str = "") -> Case:
    rows: tuple[Row, ...] = recording.rows
    return Case(
        id=recording.id,
        evals=evaluations_of(rows),
        n_evals=recording.n_evals,
        last=rows[-1].step if rows else 0,
        planned=recording.total_steps,
        status=status,
    )


def _tried(case: Case, settings: list[EarlyStopping]) -> Tried:
    return Tried(case, [would_have(case.evals, knobs) if case.takes(knobs) else None for knobs in settings])
