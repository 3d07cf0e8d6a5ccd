"""The simulated service: all jobs, and the clock that starts with the first request."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from watcher.simulator.answers import checkpoints, output_name, request_fields
from watcher.simulator.early_stopping import EarlyStopping
from watcher.simulator.fates import Fate, FateKind
from watcher.simulator.job import Job, job_id_of
from watcher.simulator.projects import EVERYTHING, Revocation, project_of
from watcher.simulator.runs import Run
from watcher.simulator.script import Script, Timing, write_script

Clock = Callable[[], int]  #: Unix time in nanoseconds

_KNOBS = {"patience", "min_delta", "warmup_evals"}


def steady_clock() -> Clock:
    """Wall time that never jumps: the wall clock is read once, the rest is monotonic."""
    base = time.time_ns() - time.monotonic_ns()
    return lambda: base + time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class CancelCount:
    """How many cancels a job was asked for, by their outcome."""

    accepted: int = 0
    refused: int = 0


class Service:
    """Every job by id. Nothing happens before `start`, which the first authenticated request calls."""

    def __init__(
        self, runs: Iterable[Run], timing: Timing, clock: Clock, revocations: Sequence[Revocation] = ()
    ) -> None:
        self._timing = timing
        self._clock = clock
        self._revocations = revocations
        self._scripts = {run.id: write_script(run, timing) for run in runs}
        self._jobs: dict[str, Job] = {}
        self._made: dict[str, int] = {}
        self._listed = 0
        self._started_ns: int | None = None
        self.cancels: dict[str, CancelCount] = {}

    def now_ns(self) -> int:
        """The present, in Unix nanoseconds."""
        return self._clock()

    def start(self) -> None:
        """Let every job begin, unless they have."""
        if self._started_ns is None:
            self._started_ns = self._clock()
            for script in self._scripts.values():
                self._add(script, self._clock())

    def project_of(self, key: str) -> str | None:
        """The project whose jobs a key sees, `EVERYTHING`, or None while the key is refused."""
        project = project_of(key, (script.run.project for script in self._scripts.values()))
        age = self._clock() - self._started_ns if self._started_ns is not None else 0
        return None if any(revocation.holds(key, project, age) for revocation in self._revocations) else project

    def jobs(self, project: str = EVERYTHING) -> list[Job]:
        """All jobs of a project that exist by now. The order is not promised, and differs from call to call."""
        now = self._clock()
        jobs = [job for job in self._jobs.values() if job.exists(now) and _within(job, project)]
        self._listed += 1
        turn = self._listed * 7 % len(jobs) if jobs else 0
        return jobs[turn:] + jobs[:turn]

    def job(self, job_id: str, project: str = EVERYTHING) -> Job | None:
        """A job of a project that exists by now."""
        job = self._jobs.get(job_id)
        return job if job is not None and job.exists(self._clock()) and _within(job, project) else None

    def cancel(self, job: Job) -> bool:
        """Ask for a cancel; counted either way."""
        accepted = job.cancel(self._clock())
        count = self.cancels.get(job.id, CancelCount())
        self.cancels[job.id] = CancelCount(count.accepted + accepted, count.refused + (not accepted))
        return accepted

    def delete(self, job: Job) -> None:
        """Forget a job and all its files."""
        del self._jobs[job.id]

    def create(self, run_id: str, wanted: dict[str, Any]) -> Job | None:
        """A new job that follows the run `run_id`; None when there is none. `wanted` is the body of the request."""
        script = self._scripts.get(run_id)
        if script is None:
            return None
        run = script.run
        if wanted.get("early_stopping_enabled"):
            knobs = {knob: wanted[f"early_stopping_{knob}"] for knob in _KNOBS if f"early_stopping_{knob}" in wanted}
            fate = Fate(kind=FateKind.EARLY_STOP, early_stopping=EarlyStopping(**knobs))
            script = write_script(replace(run, fate=fate), self._timing)
        names = ("model", "n_epochs", "learning_rate", "from_checkpoint")
        fields: dict[str, Any] = {key: wanted[key] for key in names if key in wanted}
        if wanted.get("from_checkpoint"):
            fields["model"] = self._parent(str(wanted["from_checkpoint"])).fields["model"]
        return self._add(script, self._clock(), str(wanted.get("suffix") or run_id), fields)

    def named(self, name: str) -> Job | None:
        """The job that has this id or made a model of this name."""
        living = (job for job in self._jobs.values() if job.exists(self._clock()))
        return next((job for job in living if name in (job.id, output_name(job))), None)

    def _parent(self, checkpoint: str) -> Job:
        """The job that saved a checkpoint, given as `from_checkpoint` takes it.

        Raises:
            ValueError: nothing is saved there.
        """
        name, _, step = checkpoint.partition(":")
        job = self.named(name)
        saved = checkpoints(job, self._clock()) if job else []
        if job is None or not any(str(c["step"]) == step if step else "checkpoint" in c for c in saved):
            raise ValueError(f"There is no checkpoint {checkpoint!r}")
        return job

    def _add(self, script: Script, born_ns: int, suffix: str = "", fields: dict[str, Any] | None = None) -> Job:
        run = script.run
        job = Job(
            id=self._new_id(run.id),
            suffix=suffix or run.id,
            script=script,
            timing=self._timing,
            born_ns=born_ns,
            fields=request_fields(run) | (fields or {}),
        )
        self._jobs[job.id] = job
        if script.successor_ns is not None:
            again = self._add(write_script(replace(run, fate=Fate()), self._timing), born_ns + script.successor_ns)
            again.suffix, again.predecessor = job.suffix, job
            job.successor_id = again.id
        return job

    def _new_id(self, run_id: str) -> str:
        self._made[run_id] = self._made.get(run_id, 0) + 1
        return job_id_of(run_id, self._made[run_id])


def _within(job: Job, project: str) -> bool:
    return project in (EVERYTHING, job.script.run.project)
