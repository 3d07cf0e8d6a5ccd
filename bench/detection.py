"""Score the detection rules on labelled training curves: `python bench/detection.py CURVES.jsonl[.gz] … [--rule NAME]`.

Prints what the issue of detection asks for: wrong and early cancels, the share of the avoidable waste that was avoided,
recall, delay and false alerts of each rule, the same for both halves of the runs (split by a hash of their id, so that
a threshold tuned on one half can be read on the other), microseconds a row and bytes of state a job.
"""

import argparse
import gzip
import hashlib
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.detection_score import Outcome, Scores, score
from watcher.domain.codec import encode
from watcher.domain.observations import EvalRow, Snapshot, Status, TrainRow
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.overfitting import Overfitting
from watcher.domain.rules.plateau import Plateau
from watcher.domain.verdicts import Breach, Finding

NOW = datetime(2026, 1, 1, tzinfo=UTC)
CANCELLING = {("divergence", None), ("nan_loss", "train")}
PROGRESS = (0.02, 0.90)
Run = dict[str, Any]


def load(path: str) -> list[Run]:
    opener: Callable[..., Any] = gzip.open if path.endswith(".gz") else open
    with opener(path, "rt") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def number(value: object) -> float | None:
    return None if value is None else float(value)  # type: ignore[arg-type]


def snapshot(run: Run) -> Snapshot:
    config = run.get("config") or {}
    return Snapshot(
        job_id=run["id"],
        at=NOW,
        status=Status.RUNNING,
        raw_status="running",
        method=config.get("method"),
        n_evals=config.get("n_evals"),
        total_steps=config.get("total_steps"),
    )


def merged(run: Run) -> list[TrainRow | EvalRow]:
    """Train and eval rows by step, train first at equal steps; the order of the file is kept within each."""
    train = [TrainRow(int(r[0]), 0, number(r[1]), number(r[2]), number(r[3])) for r in run["train"]]
    evals = [EvalRow(int(r[0]), 0, number(r[1])) for r in run["eval"]]
    out: list[TrainRow | EvalRow] = []
    at = 0
    for row in train:
        while at < len(evals) and evals[at].step < row.step:
            out.append(evals[at])
            at += 1
        out.append(row)
    return out + evals[at:]


def feed(run: Run) -> Iterator[tuple[bool, TrainRow | EvalRow]]:
    """The rows, each with whether it is new: after a step back the rows kept from before are given again first."""
    kept: list[TrainRow | EvalRow] = []
    for row in merged(run):
        if kept and row.step < kept[-1].step:
            kept = [k for k in kept if k.step < row.step]
            yield True, kept[0] if kept else row
            for old in kept:
                yield False, old
        kept.append(row)
        yield False, row


class Track:
    """One rule over one run: its state, what fired, and what it cost."""

    def __init__(self, rule: Any, snap: Snapshot) -> None:
        self.rule, self.snap = rule, snap
        self.seconds = 0.0
        self.fired: list[dict[str, Any]] = []
        self.findings: list[Finding] = []
        self.held: set[str] = set()
        self.bytes = 0
        self.restart()

    def restart(self) -> None:
        self.state = self.rule.start()
        if Snapshot in self.rule.sees:
            self.rule.observe(self.state, self.snap)

    def step(self, row: TrainRow | EvalRow, now: datetime) -> list[Finding]:
        if not isinstance(row, self.rule.sees):
            return []
        begin = time.perf_counter()
        self.rule.observe(self.state, row)
        verdict = self.rule.judge(self.state, now)
        self.seconds += time.perf_counter() - begin
        found = verdict.findings if isinstance(verdict, Breach) else ()
        new = [f for f in found if f.kind not in self.held]
        self.held = {f.kind for f in found}
        return new


def replay(run: Run, rules: list[Any]) -> tuple[Outcome, list[Track], int]:
    snap = snapshot(run)
    tracks = [Track(rule, snap) for rule in rules]
    out = Outcome(run["id"])
    rows, seen = 0, set()
    for again, row in feed(run):
        if again:
            for track in tracks:
                track.restart()
            continue
        rows += 1
        for track in tracks:
            for finding in track.step(row, NOW):
                key = (track.rule.name, finding.kind, finding.step)
                if key in seen:
                    continue
                seen.add(key)
                out.alerts.append(
                    {
                        "rule": track.rule.name,
                        "kind": finding.kind,
                        "severity": str(finding.severity),
                        "step": row.step,
                        "onset": finding.onset,
                        "reason": finding.reason,
                    },
                )
            maybe_cancel(out, track, row.step, snap.total_steps)
    for track in tracks:
        track.bytes = len(json.dumps(encode(track.state)))
    return out, tracks, rows


def maybe_cancel(out: Outcome, track: Track, step: int, total: int | None) -> None:
    if out.cancel is not None or not track.held or track.rule.name not in ("divergence", "nan_loss"):
        return
    if total and not PROGRESS[0] <= step / total <= PROGRESS[1]:
        return
    verdict = track.rule.judge(track.state, NOW)
    for f in verdict.findings if isinstance(verdict, Breach) else ():
        if f.may_cancel:
            out.cancel = {"step": step, "rule": track.rule.name, "reason": f.reason}
            return


def half(run: Run) -> int:
    return hashlib.sha256(run["id"].encode()).digest()[0] & 1


def all_rules() -> list[Any]:
    return [Divergence(), NanLoss(), Plateau(), Overfitting()]


def show(title: str, scores: Scores) -> None:
    print(f"== {title}")
    for line in scores.lines():
        print("  ", line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", nargs="+")
    parser.add_argument("--rule", help="only this rule")
    parser.add_argument("--ids", action="store_true", help="name the runs behind each figure")
    parser.add_argument("--halves", action="store_true", help="score each half too")
    parser.add_argument("--out", help="write one JSON line a run, as replay does")
    args = parser.parse_args()
    for path in args.curves:
        runs = load(path)
        outcomes, cost, size, rows = [], dict[str, float](), list[int](), 0
        for run in runs:
            rules = [r for r in all_rules() if args.rule in (None, r.name)]
            outcome, tracks, n = replay(run, rules)
            outcomes.append(outcome)
            rows += n
            size.append(sum(t.bytes for t in tracks))
            for t in tracks:
                cost[t.rule.name] = cost.get(t.rule.name, 0.0) + t.seconds
        show(path, score(runs, outcomes, ids=args.ids))
        if args.halves:
            for h in (0, 1):
                mine = [i for i, run in enumerate(runs) if half(run) == h]
                show(f"half {h}", score([runs[i] for i in mine], [outcomes[i] for i in mine], ids=False))
        print(
            "   cost, us a row:",
            {k: round(v / rows * 1e6, 1) for k, v in cost.items()},
            "sum",
            round(sum(cost.values()) / rows * 1e6, 1),
        )
        print("   state, bytes a job: median", statistics.median(size), "max", max(size))
        if args.out:
            with Path(args.out).open("w") as sink:
                sink.writelines(
                    json.dumps({"id": o.id, "alerts": o.alerts, "cancel": o.cancel}) + "\n" for o in outcomes
                )


if __name__ == "__main__":
    main()
