"""What the rules cost: microseconds a row, and bytes of stored state a job. What `make bench` prints.

    .venv/bin/python -m bench.cost [CURVES.jsonl[.gz] …]

Every rule on jobs that sees rows is timed alone, over each run as the daemon folds it: `observe`, then `judge`; rules
that watch the clock are judged once a hundred rows, as once a sweep. The state is measured as it is stored, every
hundred rows and at the end; the largest counts. Rules that see snapshots and events only cost nothing a row.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench.detection import DEFAULT, NOW, load
from bench.detection import RULES as SCORED
from watcher.domain.codec import encode
from watcher.domain.observations import EvalRow, Snapshot, Status, TrainRow
from watcher.domain.replay import Recording
from watcher.domain.rule import SubjectKind
from watcher.domain.rules import RULES

EVERY = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="*", type=Path, default=[DEFAULT])
    for path in parser.parse_args().curves:
        show(path.name, [recording for _, recording in load(path)])


def show(name: str, recordings: list[Recording]) -> None:
    rows = sum(len(recording.rows) for recording in recordings)
    rules = [rule() for rule in RULES if rule.subject is SubjectKind.JOB and {TrainRow, EvalRow} & set(rule.sees)]
    print(f"{name}: {rows} rows of {len(recordings)} runs; Python {platform.python_version()}, {platform.machine()}")
    print(f"{'rule':<28}{'us a row':>10}{'bytes of state, at most':>26}{'median':>8}")
    cost: dict[str, tuple[float, list[int]]] = {}
    for rule in rules:
        folded = [fold(rule, recording) for recording in recordings]
        cost[rule.name] = sum(seconds for seconds, _ in folded) / rows * 1e6, [size for _, size in folded]
        line(rule.name, *cost[rule.name])
    shipped = [rule.name for rule in rules if getattr(rule, "default_on", True)]
    for title, names in (
        ("the four that are scored", [rule.name for rule in SCORED]),
        ("all on by default", shipped),
        ("all", list(cost)),
    ):
        sizes = [sum(of_rules) for of_rules in zip(*(cost[name][1] for name in names), strict=True)]
        line(title, sum(cost[name][0] for name in names), sizes)


def line(title: str, spent: float, sizes: list[int]) -> None:
    print(f"{title:<28}{spent:>10.1f}{max(sizes):>26}{statistics.median(sizes):>8.0f}")


def fold(rule: Any, recording: Recording) -> tuple[float, int]:  # noqa: ANN401 - any rule
    """Seconds spent on a run, and the largest state on the way."""
    state, spent, largest = rule.start(), 0.0, 0
    for part in _parts(rule, recording):
        begin = time.process_time()
        for row in part:
            rule.observe(state, row)
            if not rule.timed:
                rule.judge(state, NOW)
        rule.judge(state, NOW)
        spent += time.process_time() - begin
        largest = max(largest, len(json.dumps(encode(state), separators=(",", ":"))))
    return spent, largest


def _parts(rule: Any, recording: Recording) -> Iterator[list[Any]]:  # noqa: ANN401 - any rule
    plan = Snapshot(
        job_id=recording.id,
        at=NOW,
        status=Status.RUNNING,
        raw_status="running",
        total_steps=recording.total_steps,
        method=recording.method,
        n_evals=recording.n_evals,
    )
    seen = [row for row in (plan, *recording.rows) if isinstance(row, rule.sees)]
    for i in range(0, len(seen), EVERY):
        yield seen[i : i + EVERY]


if __name__ == "__main__":
    main()
