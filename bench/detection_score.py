"""What the figures of `bench/detection.py` mean, in code.

A run is `kept` when a sane operator would have let it go on, `bad` when it diverged or went non-finite for good and
nothing is lost by stopping at `cancel_ok_from`. Runs with a doubtful label stay out of what the doubt touches.
`saved` is the share, of the steps that a perfect operator spares on all bad runs, that ours spared; `caught` counts bad
runs of which at least half of that was spared.
"""

import statistics
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

RULE_OF = {"diverged": "divergence", "nonfinite": "nan_loss", "overfit": "overfitting", "plateau": "plateau"}
QUIET = {
    "divergence": {"healthy", "plateau"},
    "nan_loss": {"healthy", "plateau", "spike_recovered", "overfit"},
    "overfitting": {"healthy", "spike_recovered"},
    "plateau": {"healthy"},
}


@dataclass
class Outcome:
    id: str
    alerts: list[dict[str, Any]] = field(default_factory=list)
    cancel: dict[str, Any] | None = None


@dataclass
class RuleScore:
    right: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    quiet: int = 0
    delays: list[float] = field(default_factory=list)
    rows_late: list[int] = field(default_factory=list)


@dataclass
class Scores:
    ids: bool
    keep: int = 0
    bad: int = 0
    oracle: float = 0.0
    saved: float = 0.0
    false: list[str] = field(default_factory=list)
    harmful: list[str] = field(default_factory=list)
    early: list[str] = field(default_factory=list)
    caught: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    rules: dict[str, RuleScore] = field(default_factory=lambda: {name: RuleScore() for name in RULE_OF.values()})

    def lines(self) -> list[str]:
        share = self.saved / self.oracle if self.oracle else 0.0
        wrong = f"false {len(self.false)} of {self.keep}, premature {len(self.early)}, harmful {len(self.harmful)}"
        right = f"saved share {share:.3f}; caught {len(self.caught)} of {self.bad}"
        out = [f"cancels: {wrong}; {right}; delay median {_q(self.delays, 0.5)} p90 {_q(self.delays, 0.9)}"]
        if self.ids:
            out += [f"  false {self.false} early {self.early} harmful {self.harmful}", f"  not caught {self.missed}"]
        for name, r in self.rules.items():
            delay = f"delay median {_q(r.delays, 0.5)} p90 {_q(r.delays, 0.9)}"
            late = f"rows late median {_q(r.rows_late, 0.5)} max {max(r.rows_late, default=0)}"
            recall = f"recall {len(r.right)}/{len(r.right) + len(r.missed)}"
            out.append(f"{name:12} {recall}  false {len(r.false)}/{r.quiet}  {delay}  {late}")
            if self.ids:
                out += [f"  missed {r.missed}", f"  false {r.false}"]
        return out


def _q(values: list[Any], p: float) -> float | None:
    return round(sorted(values)[min(len(values) - 1, int(p * len(values)))], 4) if values else None


def _length(run: dict[str, Any]) -> int:
    """Steps that the run took: nothing can be saved after its end."""
    config = run.get("config") or {}
    last = max([config.get("rows_end") or 0, 1, *(r[0] for r in run["train"]), *(r[0] for r in run["eval"])])
    return last if "rows_end" in config else max(last, config.get("total_steps") or 0)


def _steps(run: dict[str, Any]) -> list[int]:
    return [r[0] for r in run["train"]] or [r[0] for r in run["eval"]] or [0]


def score(runs: list[dict[str, Any]], outcomes: list[Outcome], *, ids: bool) -> Scores:
    out = Scores(ids)
    for run, outcome in zip(runs, outcomes, strict=True):
        steps = _steps(run)
        gap = statistics.median([b - a for a, b in pairwise(steps) if b > a] or [1])
        length = _length(run)
        slack = max(3 * gap, 0.02 * length)
        _cancel(out, run, outcome, length, slack)
        _alerts(out, run, outcome, length, slack)
    return out


def _unfair(flags: list[str]) -> bool:
    return "base_unseen" in flags or "fragment" in flags


def _cancel(out: Scores, run: dict[str, Any], outcome: Outcome, length: int, slack: float) -> None:
    label = run["label"]
    flags, at = label.get("flags") or [], (outcome.cancel or {}).get("step")
    if label.get("cancel_doubtful") or label["verdict"] == "unclear":
        return
    if not label["cancel_ok"]:
        _kept(out, run, at)
        return
    stuck = {"stuck_from_start", "stuck_unsure"} & set(flags)
    if label["verdict"] in ("diverged", "nonfinite") and not _unfair(flags) and not stuck:
        _bad(out, run, at, length, slack)


def _kept(out: Scores, run: dict[str, Any], at: int | None) -> None:
    label = run["label"]
    best = label.get("stop_ok_from_eval" if run["eval"] else "stop_ok_from_train")
    if at is not None and best is not None and at < best:
        out.harmful.append(run["id"])
    if label["verdict"] != "overfit":
        out.keep += 1
        if at is not None:
            out.false.append(run["id"])


def _bad(out: Scores, run: dict[str, Any], at: int | None, length: int, slack: float) -> None:
    start = run["label"]["cancel_ok_from"]
    spared = 0
    out.bad += 1
    out.oracle += (length - start) / length
    if at is not None and at < start - slack:
        out.early.append(run["id"])
    elif at is not None and at <= length:
        spared = length - max(at, start)
        out.saved += spared / length
        out.delays.append(max(0, at - start) / length)
    (out.caught if spared > 0 and spared >= 0.5 * (length - start) else out.missed).append(run["id"])


def _alerts(out: Scores, run: dict[str, Any], outcome: Outcome, length: int, slack: float) -> None:
    label = run["label"]
    verdict, onset = label["verdict"], label.get("onset")
    if label.get("doubtful"):
        return
    rule = RULE_OF.get(verdict)
    if rule and onset is not None and not _unfair(label.get("flags") or []):
        when = [a["step"] for a in outcome.alerts if a["rule"] == rule and a["step"] >= onset - slack]
        mine = out.rules[rule]
        (mine.right if when else mine.missed).append(run["id"])
        if when:
            mine.delays.append((min(when) - onset) / length)
            mine.rows_late.append(sum(onset < s <= min(when) for s in _steps(run)))
    for name, quiet in QUIET.items():
        if verdict in quiet:
            out.rules[name].quiet += 1
            if any(a["rule"] == name for a in outcome.alerts):
                out.rules[name].false.append(run["id"])
