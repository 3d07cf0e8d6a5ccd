"""Our detection rules beside what people would use instead, on the same rows: what `make bench-detection` runs.

    .venv/bin/python -m bench.compare [CURVES.jsonl[.gz] …] [--peers PYTHON] [--write DOCUMENT] [--json FILE]

Ours is `watcher replay` at its shipped defaults. The peers run in an environment of their own (`--peers`), at their
defaults; without it, their rules as re-stated in `bench/peers/restated.py`. Figures are those of
`bench/detection_score.py`.
"""

import argparse
import gzip
import hashlib
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench.detection_score import Outcome, RuleScore, Scores, score
from watcher.cli.recordings import read_recordings
from watcher.domain.observations import TrainRow
from watcher.domain.replay import Recording

ROOT = Path(__file__).resolve().parent.parent
DEFAULT = ROOT / "bench" / "data" / "lab-dev.jsonl.gz"
RULES = ("divergence", "nan_loss", "overfitting", "plateau")
Json = dict[str, Any]


@dataclass
class Line:
    """One detector in the table."""

    name: str
    source: str
    reports: bool
    scores: Scores
    claims: frozenset[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="*", type=Path, default=[DEFAULT])
    parser.add_argument("--peers", type=Path, help="the Python that has the peers' packages")
    parser.add_argument("--write", type=Path, help="put the tables into this document, between its marks, too")
    parser.add_argument("--json", type=Path, help="write the figures and the ids behind them here too")
    args = parser.parse_args()
    kept: Json = {}
    for path in args.curves:
        labelled = [run for run in _json_lines(_text(path)) if "label" in run]
        if not labelled:
            sys.exit(f"{path}: no run has a label, so there is nothing to score against")
        lines, notes = measure(path, labelled, args.peers or Path(sys.executable))
        print(f"\n{path.name}: {len(labelled)} runs, {sum(len(run['train']) for run in labelled)} train rows")
        show(lines)
        print(*["", *notes], sep="\n")
        if args.write:
            write(args.write, path.name, [f"At commit {_commit()}:", "", *markdown(lines)])
        kept[path.name] = {line.name: _figures(line.scores) for line in lines}
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(kept, indent=1))


def _text(path: Path) -> str:
    raw = path.read_bytes()
    return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()


def _json_lines(text: str) -> Iterator[Json]:
    for line in text.splitlines():
        if line.strip():
            yield json.loads(line)


def measure(path: Path, runs: Sequence[Json], python: Path) -> tuple[list[Line], list[str]]:
    """Every detector over the labelled runs of a file, ours first, and what there is to say of the peers."""
    wanted = {run["id"] for run in runs}
    recordings = {recording.id: recording for recording in read_recordings(path) if recording.id in wanted}
    ours = {line["id"]: Outcome(line["id"], line["alerts"], line["cancel"]) for line in _json_lines(_replay(path))}
    outcomes = [ours[run["id"]] for run in runs]
    lines = [_line("watcher, shipped defaults", "this commit", runs, outcomes, frozenset(RULES))]
    for which in (0, 1):
        picked = [i for i, run in enumerate(runs) if half(run["id"]) == which]
        name = f"  of these, half {'AB'[which]} ({len(picked)} runs)"
        mine = [runs[i] for i in picked], [outcomes[i] for i in picked]
        lines.append(_line(name, "this commit", *mine, frozenset(RULES)))
    told = list(_peers(python, [recordings[run["id"]] for run in runs]))
    for peer in told[1:]:
        outcomes = [_outcome(run["id"], events) for run, events in zip(runs, peer["events"], strict=True)]
        claims = frozenset(rule for events in peer["events"] for _, rules in events for rule in rules)
        lines.append(_line(peer["name"], peer["source"], runs, outcomes, claims, reports=peer["acts"] == "reports"))
    return lines, list(_notes(told[0]["missing"], told[1:]))


def half(run_id: str) -> int:
    """Two halves of the runs, so that a threshold tuned on one can be read on the other."""
    return hashlib.sha256(run_id.encode()).digest()[0] & 1


def _line(
    name: str,
    source: str,
    runs: Sequence[Json],
    outcomes: Sequence[Outcome],
    claims: frozenset[str],
    *,
    reports: bool = False,
) -> Line:
    return Line(name, source, reports, score(list(runs), list(outcomes), ids=False), claims)


def _replay(path: Path) -> str:
    watcher = Path(sys.executable).with_name("watcher")
    shipped = {key: value for key, value in os.environ.items() if not key.startswith(("WATCHER_", "TOGETHER_"))}
    command = [str(watcher), "replay", str(path.resolve()), "--format", "json"]
    return subprocess.run(command, env=shipped, check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S603


def _peers(python: Path, recordings: Sequence[Recording]) -> Iterator[Json]:
    feed = "".join(json.dumps(_feed(recording)) + "\n" for recording in recordings)
    quiet = os.environ | {"PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
    # Not resolved: the environment is where the link lies, not where it leads.
    command = [str(python.absolute()), "-m", "bench.peers"]
    done = subprocess.run(command, cwd=ROOT, env=quiet, input=feed, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return _json_lines(done.stdout)


def _feed(recording: Recording) -> Json:
    """A run as the peers see it: rows in the order of the replay, without those that hold no loss."""
    steps = [row.step for row in recording.rows if isinstance(row, TrainRow)][:10]
    gap = statistics.median([b - a for a, b in pairwise(steps) if b > a] or [1])
    rows = [
        ("train" if isinstance(row, TrainRow) else "eval", row.step, row.loss)
        for row in recording.rows
        if row.loss is not None
    ]
    planned = round(recording.total_steps / gap) if recording.total_steps else None
    return {"planned_rows": planned, "rows": rows}


def _outcome(run_id: str, events: Sequence[tuple[float, Sequence[str]]]) -> Outcome:
    alerts = [{"rule": rule, "step": step} for step, rules in events for rule in rules]
    return Outcome(run_id, alerts, {"step": events[0][0]} if events else None)


def _notes(missing: dict[str, str], peers: Sequence[Json]) -> Iterator[str]:
    for peer in peers:
        name, agrees, of = _title(peer["name"], reports=peer["acts"] == "reports"), peer["agrees"], len(peer["events"])
        checked = "" if agrees is None else f"; our re-statement agrees on {agrees} of {of} runs"
        yield f"{name}: {peer['source']}{checked}"
    shown = {peer["name"] for peer in peers}
    for name, why in missing.items():
        yield f"{name}: its own class can't be had ({why}): {'re-stated' if name in shown else 'left out'}"
    yield "* only reports by default: its cancels are what they would be if the first report stopped the run"


def _title(name: str, *, reports: bool) -> str:
    return name + (" *" if reports else "")


HEAD = ("detector", "false (harmful)", "saved", "caught", *RULES)


def show(lines: Sequence[Line]) -> None:
    print("a rule: recall, false alerts, delay after the onset in % of the run (median/p90)")
    rows = [HEAD, *(_cells(line) for line in lines)]
    width = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    for row in rows:
        print("  ".join(cell.ljust(w) for cell, w in zip(row, width, strict=True)).rstrip())


def markdown(lines: Sequence[Line]) -> Iterator[str]:
    yield "| " + " | ".join(HEAD) + " |"
    yield "|" + "---|" * len(HEAD)
    for line in lines:
        yield "| " + " | ".join(cell.strip().replace("*", "\\*") for cell in _cells(line)) + " |"


def write(document: Path, name: str, table: Sequence[str]) -> None:
    """Put a table between `<!-- table NAME -->` and `<!-- end -->`.

    Raises:
        ValueError: the document has no such marks.
    """
    before, begin, rest = document.read_text().partition(f"<!-- table {name} -->\n")
    _, end, after = rest.partition("<!-- end -->")
    if not begin or not end:
        raise ValueError(f"{document} has no marks for {name}")
    document.write_text(before + begin + "\n".join(table) + "\n" + end + after)


def _commit() -> str:
    """The commit that is measured; `-dirty` where what it measures was changed since."""
    command = ["git", "log", "-1", "--format=%h"]
    commit = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()  # noqa: S603
    changed = subprocess.run(["git", "diff", "--quiet", "HEAD", "--", "watcher", "bench"], cwd=ROOT, check=False)  # noqa: S607
    return commit + ("-dirty" if changed.returncode else "")


def _cells(line: Line) -> tuple[str, ...]:
    s = line.scores
    wrong = f"{len(s.false) + len(s.early)} ({len(s.harmful)}) of {s.keep}"
    share = f"{s.saved / s.oracle:.2f}" if s.oracle else "-"
    name = _title(line.name, reports=line.reports)
    rules = (_rule(s.rules[rule]) if rule in line.claims else "-" for rule in RULES)
    return (name, wrong, share, f"{len(s.caught)} of {s.bad}", *rules)


def _rule(r: RuleScore) -> str:
    of = len(r.right) + len(r.missed)
    delay = f", {_percent(r.delays, 0.5)}/{_percent(r.delays, 0.9)}" if r.delays else ""
    return f"{len(r.right)}/{of}, {len(r.false)}/{r.quiet}{delay}"


def _percent(values: Sequence[float], p: float) -> str:
    return f"{100 * sorted(values)[min(len(values) - 1, int(p * len(values)))]:.1f}".replace("-0.0", "0.0")


def _figures(s: Scores) -> Json:
    return {
        "keep": s.keep,
        "bad": s.bad,
        "false": s.false,
        "premature": s.early,
        "harmful": s.harmful,
        "saved_share": s.saved / s.oracle if s.oracle else None,
        "caught": s.caught,
        "missed": s.missed,
        "rules": {
            name: {"right": r.right, "missed": r.missed, "false": r.false, "quiet": r.quiet, "delays": r.delays}
            for name, r in s.rules.items()
        },
    }


if __name__ == "__main__":
    main()
