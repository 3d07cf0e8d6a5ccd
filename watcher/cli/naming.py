"""Which job a word on the command line means, and what the shell offers when Tab is pressed."""

import contextlib
import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from watcher.cli import drawing
from watcher.cli.common import reading
from watcher.service.errors import ConfigError
from watcher.service.ports import Reads
from watcher.service.records import JobRecord

_HINTS = 3
_OFFERED = 200
_SAFE = re.compile(r"[\w.:-]{1,200}", re.ASCII)
"""What a shell takes for one plain word: ids come from an API, and a completion is put on the command line."""


def complete_job(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of watched jobs, newest first. Only reads, and whatever goes wrong there is nothing to offer."""
    found = list[str]()
    with contextlib.suppress(Exception):
        places = [ctx.params.get(name) for name in ("config", "state_dir")]
        config, state_dir = (Path(place) if place else None for place in places)
        with reading(config, state_dir) as store:
            found = [r.key.job_id for r in store.read_now(lambda reads: reads.jobs())]
    fitting = [job_id for job_id in found if job_id.startswith(incomplete) and _SAFE.fullmatch(job_id)]
    return list(dict.fromkeys(fitting))[:_OFFERED]


JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id or suffix.", autocompletion=complete_job)]
ExactArgument = Annotated[
    str, typer.Argument(metavar="ID", help="The full id of the job (ft-…).", autocompletion=complete_job)
]


def named(reads: Reads, wanted: str) -> list[JobRecord]:
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


def one(reads: Reads, wanted: str) -> JobRecord:
    """The one job that a name means. Of an id that several accounts see, the newest record.

    Raises:
        ConfigError: no job is called that, or several are.
    """
    found = named(reads, wanted)
    ids = list(dict.fromkeys(r.key.job_id for r in found))
    if len(ids) > 1:
        raise ConfigError(f"{len(ids)} jobs are called {drawing.sentence(wanted)!r}; give the id: {', '.join(ids)}")
    return found[0]


def exact(reads: Reads, job_id: str) -> JobRecord:
    """By exact id alone, for what changes something.

    Raises:
        ConfigError: no job has that id.
    """
    found = reads.find_jobs(job_id)
    if not found:
        shown = drawing.sentence(job_id)
        raise ConfigError(f"job {shown!r} is not known; expected a full id, which `watcher jobs SUFFIX` shows")
    return found[0]


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
