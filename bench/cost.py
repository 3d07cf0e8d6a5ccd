"""What the rules cost: microseconds a row, and bytes of stored state a job. What `make bench` prints.

    .venv/bin/python -m bench.cost [CURVES.jsonl[.gz] …]

Every rule on jobs that sees rows is timed alone, over each run as the daemon folds it: `observe`, then `judge`; rules
that watch the clock are judged once a hundred rows, as once a sweep. The state is measured as it is stored, every
hundred rows and at the end; the largest counts. Rules that see snapshots and events only cost nothing a row.

The last two lines are all that new rows of a job cost in memory, as the daemon takes them: ten in a visit, or all at
the first look, through the default rules and into pace, curve and the keys of known rows.
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
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.codec import encode
from watcher.domain.observations import EvalRow, TrainRow
from watcher.domain.replay import Recording, plan_of
from watcher.domain.rule import SubjectKind
from watcher.domain.rules import RULES
from watcher.service.book import new_book
from watcher.service.config import Selection
from watcher.service.records import JobKey
from watcher.service.visit import Visit

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
    selection = Selection(name="all", rules=tuple(r for r in rules if r.name in shipped), policy=CancelPolicy())
    for title, portion in (("a visit that brings ten rows", 10), ("a first look", None)):
        spent = sum(visits(selection, recording, portion) for recording in recordings)
        print(f"{title:<28}{spent / rows * 1e6:>10.1f}")


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


def visits(selection: Selection, recording: Recording, portion: int | None) -> float:
    """Seconds that the rows of a run take in visits of so many; in one if None, where its history is new."""
    plan, rows, spent = plan_of(recording), recording.rows, 0.0
    book = new_book(JobKey("bench", recording.id), plan, selection, NOW)
    book.fold.tick = time.monotonic
    book.fresh_contact = portion is None
    Visit(book, NOW).take_listed(plan)
    for begin in range(0, len(rows), portion or len(rows)):
        visit, part = Visit(book, NOW), rows[begin : begin + portion] if portion else rows
        before = time.process_time()
        history = [] if begin == 0 or not visit.wants_history(part) else list(rows[:begin])
        visit.take_rows(part, history)
        spent += time.process_time() - before
        book.forget_old_keys()
    return spent


def _parts(rule: Any, recording: Recording) -> Iterator[list[Any]]:  # noqa: ANN401 - any rule
    seen = [row for row in (plan_of(recording), *recording.rows) if isinstance(row, rule.sees)]
    for i in range(0, len(seen), EVERY):
        yield seen[i : i + EVERY]


if __name__ == "__main__":
    main()
