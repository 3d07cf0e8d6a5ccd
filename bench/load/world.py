"""Thousands of running jobs, in the answers of the product's own simulator: each follows one of a few made-up curves.

A job of the simulator answers for many with other ids, so that a list of thousands costs little. Nothing here knows
the client that is measured.
"""

import json
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from watcher.simulator import answers
from watcher.simulator.job import Job
from watcher.simulator.rows import SECOND, MetricsQuery
from watcher.simulator.runs import EvalPoint, Run, TrainPoint
from watcher.simulator.script import Timing, write_script

STEP_SECONDS = 3.0
"""Seconds between two rows of a job, where nothing else is said: ten new rows at an interval of thirty seconds."""
EVAL_EVERY = 500
PATTERNS = 4
NAN_ROWS = 3
"""Bad rows after which `nan_loss` fires: the last of them is the row that people wait for."""
_PLANNED = 40_000
_STAGE = 0.5
PLACE = "ft-00000000-0000-4000-8000-%012d"


@dataclass(slots=True)
class Pattern:
    """One job of the simulator, and the ids of those that it stands for. `fires_ns`: its third NaN row can be seen."""

    job: Job
    ids: list[str] = field(default_factory=list)
    fires_ns: int | None = None
    _cached: tuple[int, dict[MetricsQuery, bytes]] = (-1, {})

    def entries(self, now_ns: int) -> Iterator[str]:
        """Its jobs in the list."""
        text = json.dumps(answers.truncated(self.job, now_ns))
        return (text.replace(self.job.id, job_id) for job_id in self.ids)

    def detail(self, job_id: str, now_ns: int) -> bytes:
        return json.dumps(answers.full(self.job, now_ns)).replace(self.job.id, job_id).encode()

    def metrics(self, query: MetricsQuery, now_ns: int) -> bytes:
        count = self.job.at(now_ns).rows
        if count != self._cached[0]:
            self._cached = (count, {})
        found = self._cached[1].get(query)
        if found is None:
            found = f'{{"metrics": {self.job.script.rows.json(count, query, self.job.born_ns)}}}'.encode()
            self._cached[1][query] = found
        return found


class World:
    """Jobs that stand at `step` at Unix time `begin_ns`, and go on by a step in `pace` seconds.

    Of them, `broken` log NaN from some moment within `breaks` (seconds after the beginning) on.
    """

    def __init__(
        self,
        jobs: int,
        *,
        step: int,
        begin_ns: int,
        horizon: int,
        broken: int = 0,
        breaks: tuple[int, int] = (0, 0),
        pace: float = STEP_SECONDS,
    ) -> None:
        self.begin_ns = begin_ns
        last = min(step + horizon, _PLANNED)
        self.patterns = [_pattern(seed, step, last, begin_ns, pace=pace) for seed in range(min(jobs, PATTERNS))]
        self._of: dict[str, Pattern] = {}
        self.broken: dict[str, list[str]] = {}
        """The ids of those that break, by suffix."""
        for number in range(jobs - broken):
            self._add(self.patterns[number % len(self.patterns)], number)
        first, until = (step + int(at / pace) for at in breaks)
        for number in range(broken):
            bad = first + (until - first) * number // broken
            pattern = _pattern(PATTERNS + number, step, last, begin_ns, pace=pace, bad_from=bad)
            pattern.fires_ns = (
                pattern.job.born_ns + pattern.job.script.rows.visible[_place(pattern, bad + NAN_ROWS - 1)]
            )
            self.patterns.append(pattern)
            self.broken[pattern.job.suffix] = pattern.ids
            self._add(pattern, jobs - broken + number)

    def _add(self, pattern: Pattern, number: int) -> None:
        job_id = PLACE % number
        pattern.ids.append(job_id)
        self._of[job_id] = pattern

    def pattern(self, job_id: str) -> Pattern | None:
        return self._of.get(job_id)

    def listing(self, now_ns: int) -> bytes:
        entries = (entry for pattern in self.patterns for entry in pattern.entries(now_ns))
        return f'{{"data": [{", ".join(entries)}]}}'.encode()


def _pattern(seed: int, step: int, last: int, begin_ns: int, *, pace: float, bad_from: int | None = None) -> Pattern:
    run = _run(seed, last, bad_from)
    timing = Timing(speed=1 / pace, stage_seconds=_STAGE)
    script = write_script(run, timing)
    born_ns = begin_ns - script.training_ns - int(step * pace * SECOND)
    job_id = f"ft-pattern-{seed}"
    fields = answers.request_fields(run)
    return Pattern(Job(id=job_id, suffix=run.id, script=script, timing=timing, born_ns=born_ns, fields=fields))


def _run(seed: int, last: int, bad_from: int | None) -> Run:
    """A curve that falls like most do, with noise; NaN from `bad_from` on."""
    rng = random.Random(seed)  # noqa: S311 - the same curve each time
    train = []
    for step in range(1, last + 1):
        loss = 0.8 + 1.4 * math.exp(-step / 4000) + rng.gauss(0, 0.03)
        norm = 0.4 * math.exp(rng.gauss(0, 0.2))
        bad = bad_from is not None and step >= bad_from
        rate = 2e-4 * min(step / 100, 1.0) * (1 - step / _PLANNED)
        train.append(TrainPoint(step, math.nan if bad else round(loss, 6), math.nan if bad else round(norm, 6), rate))
    evals = [
        EvalPoint(step, round(0.9 + 1.3 * math.exp(-step / 4000), 6))
        for step in range(EVAL_EVERY, last + 1, EVAL_EVERY)
    ]
    plan = _PLANNED // EVAL_EVERY
    return Run(id=f"load-{seed}", train=train, evals=evals, total_steps=_PLANNED, n_evals=plan, method="sft")


def _place(pattern: Pattern, step: int) -> int:
    index = pattern.job.script.rows.first_reaching(step)
    assert index is not None, "the world ends before the job breaks"
    return index
