"""The detection rules over labelled curves, at their shipped defaults: figures, halves, tuning.

    .venv/bin/python -m bench.detection [CURVES.jsonl[.gz] …] [--rule NAME] [--ids] [--halves] [--tune] [--out FILE]

The runs are folded as `watcher replay` folds them; `bench/detection_score.py` defines the figures. `--halves` scores
the two halves of the runs, split by a hash of their id. `--tune` is the cross-validation: each rule's numbers are
chosen on one half from a grid around the defaults, and scored on the other.
"""

import argparse
import gzip
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.detection_score import Outcome, Scores, score
from watcher.cli.recordings import read_recordings
from watcher.domain.replay import Recording, replay
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.overfitting import Overfitting
from watcher.domain.rules.plateau import Plateau

DEFAULT = Path(__file__).resolve().parent / "data" / "lab-dev.jsonl.gz"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
RULES: tuple[Any, ...] = (Divergence(), NanLoss(), Plateau(), Overfitting())
GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "divergence": {"wait": (0.1, 0.14, 0.18), "early_wait": (0.05, 0.08, 0.11), "rise": (0.2, 0.29, 0.4)},
    "plateau": {"gain": (0.003, 0.006, 0.012), "gained": (0.015, 0.03, 0.06)},
    "overfitting": {"rise": (0.005, 0.01, 0.015, 0.02, 0.03)},
}
Run = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("curves", nargs="*", type=Path, default=[DEFAULT])
    parser.add_argument("--rule", help="only this rule")
    parser.add_argument("--ids", action="store_true", help="name the runs behind each figure")
    parser.add_argument("--halves", action="store_true", help="score each half of the runs too")
    parser.add_argument("--tune", action="store_true", help="choose on one half, score on the other")
    parser.add_argument("--out", type=Path, help="write one JSON line a run, as replay does")
    args = parser.parse_args()
    rules = [rule for rule in RULES if args.rule in (None, rule.name)]
    for path in args.curves:
        pairs = load(path)
        print(f"== {path.name}: {len(pairs)} runs")
        outcomes = [outcome(recording, rules) for _, recording in pairs]
        show(score([run for run, _ in pairs], outcomes, ids=args.ids))
        for title, chosen in halves(pairs) if args.halves else ():
            print(f"-- {title}")
            show(score([pairs[i][0] for i in chosen], [outcomes[i] for i in chosen], ids=False))
        for rule in rules if args.tune else ():
            tune(pairs, rule)
        if args.out:
            lines = (json.dumps({"id": o.id, "alerts": o.alerts, "cancel": o.cancel}) + "\n" for o in outcomes)
            args.out.write_text("".join(lines))


def load(path: Path) -> list[tuple[Run, Recording]]:
    """The labelled runs of a file, each with what replay reads of it."""
    recordings = list(read_recordings(path))
    runs = [json.loads(line) for line in _text(path).splitlines() if line.strip()]
    return [(run, recording) for run, recording in zip(runs, recordings, strict=True) if "label" in run]


def outcome(recording: Recording, rules: Sequence[Any]) -> Outcome:
    result = replay(recording, rules)
    alerts = [
        {
            "rule": a.rule,
            "kind": a.kind,
            "severity": str(a.severity),
            "step": a.step,
            "onset": a.onset,
            "reason": a.reason,
        }
        for a in result.alerts
    ]
    stop = result.cancel
    cancel = {"step": stop.step, "rule": stop.rule, "reason": stop.reason} if stop else None
    return Outcome(recording.id, alerts, cancel)


def halves(pairs: Sequence[tuple[Run, Recording]]) -> Iterator[tuple[str, list[int]]]:
    for half in (0, 1):
        yield f"half {half}", [i for i, (run, _) in enumerate(pairs) if _half(run) == half]


def _half(run: Run) -> int:
    return hashlib.sha256(run["id"].encode()).digest()[0] & 1


def tune(pairs: Sequence[tuple[Run, Recording]], rule: Any) -> None:  # noqa: ANN401 - any rule
    """Choose the settings on each half in turn, and score them on the other."""
    grid = GRIDS.get(rule.name)
    if grid is None:
        return
    beside = [NanLoss()] if rule.name == "divergence" else []  # a cancel is the earlier of the two
    tried = []
    for values in itertools.product(*grid.values()):
        settings = dict(zip(grid, values, strict=True))
        candidate = replace(rule, **settings)
        tried.append((settings, [outcome(recording, [candidate, *beside]) for _, recording in pairs]))
    chosen_on = dict(halves(pairs))
    for title, mine in chosen_on.items():
        (other,) = (indices for name, indices in chosen_on.items() if name != title)
        settings, outcomes = max(tried, key=lambda t: merit(_scored(pairs, t[1], mine), rule.name))
        print(f"-- {rule.name}: chosen on {title}: {settings}; scored on the other half")
        show(_scored(pairs, outcomes, other), only=rule.name)


def _scored(pairs: Sequence[tuple[Run, Recording]], outcomes: Sequence[Outcome], chosen: Sequence[int]) -> Scores:
    return score([pairs[i][0] for i in chosen], [outcomes[i] for i in chosen], ids=False)


def merit(scores: Scores, name: str) -> tuple[float, ...]:
    """Safety first: no wrong cancel, then what is saved; for the warnings, a false one costs three right ones."""
    if name == "divergence":
        return (-len(scores.false) - len(scores.early) - len(scores.harmful), scores.saved)
    mine = scores.rules[name]
    return (len(mine.right) - 3.0 * len(mine.false),)


def show(scores: Scores, only: str | None = None) -> None:
    for line in scores.lines():
        if only is None or line.startswith((only, "cancels")):
            print("  ", line)


def _text(path: Path) -> str:
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as file:
        return str(file.read())


if __name__ == "__main__":
    main()
