"""Tests of rules that people write: a series in short notation, and what must fire on it, when and why."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from watcher.domain.alerts import Alert
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.observations import EvalRow, TrainRow
from watcher.domain.replay import Recording, WouldCancel, merge, replay
from watcher.domain.rule import Rule

MOST = 1_000_000
"""Values of one series: a slip in a count is an error, not a machine without memory."""

_NUMBER = r"(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_TOKEN = re.compile(
    rf"(?P<start>_|null|[+-]?(?:NaN|Infinity|inf|{_NUMBER}))(?:(?P<step>[+-]{_NUMBER})x|x)?(?P<count>(?<=x)\d+)?"
)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a series: a number, None for a row without one, or with `row` False no row at all."""

    number: float | None
    row: bool = True


def parse_series(text: str) -> tuple[Value, ...]:
    """Read `2.0`, `2.0x10` (ten times), `1.5-0.01x50` (fifty values from 1.5 down), `NaN`, `null` and `_`.

    Raises:
        ValueError: a word is none of these, or it is too many values.
    """
    found = list[Value]()
    for word in text.split():
        match = _TOKEN.fullmatch(word)
        if match is None or (word.find("x") >= 0) != (match["count"] is not None):
            expected = "expected 2.0, 2.0x10, 1.5-0.01x50, NaN, null for a row without a value, or _ for no row"
            raise ValueError(f"{word[:40]!r}: {expected}")
        count = int(match["count"] or 1)
        if len(found) + count > MOST:
            raise ValueError(f"{word[:40]!r}: expected at most {MOST} values in all")
        found += _values(match["start"], float(match["step"] or 0), count)
    if not found:
        raise ValueError("expected at least one value")
    return tuple(found)


def _values(start: str, step: float, count: int) -> list[Value]:
    if start in ("_", "null"):
        return [Value(None, row=start == "null")] * count
    # Rounded, so that 1.5-0.01x50 holds 1.37 and not 1.3699999999999999.
    return [Value(round(float(start) + step * index, 12)) for index in range(count)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """The rows of a test: row i of `train` is step i + 1; `evals` come every `eval_every` steps."""

    train: tuple[Value, ...]
    grad_norm: tuple[Value, ...] = ()
    lr: tuple[Value, ...] = ()
    evals: tuple[Value, ...] = ()
    eval_every: int = 1


def recording_of(
    name: str,
    series: Series,
    *,
    total_steps: int | None = None,
    method: str | None = None,
    n_evals: int | None = None,
) -> Recording:
    """The run that a series is."""
    train = [
        TrainRow(i + 1, i, value.number, _at(series.grad_norm, i), _at(series.lr, i))
        for i, value in enumerate(series.train)
        if value.row
    ]
    evals = [EvalRow((i + 1) * series.eval_every, i, value.number) for i, value in enumerate(series.evals) if value.row]
    return Recording(id=name, rows=merge(train, evals), total_steps=total_steps, method=method, n_evals=n_evals)


def _at(values: Sequence[Value], index: int) -> float | None:
    """One value alone is that of all rows."""
    if not values:
        return None
    return values[0 if len(values) == 1 else index].number


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """From and to, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"step {self.first}" if self.first == self.last else f"a step from {self.first} to {self.last}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """One firing; what is not said may be anything."""

    rule: str
    kind: str | None = None
    steps: Steps | None = None
    reason: str = ""

    def met_by(self, alert: Alert) -> bool:
        return (
            alert.rule == self.rule
            and self.kind in (None, alert.kind)
            and _within(self.steps, alert.step)
            and self.reason in alert.reason
        )

    def __str__(self) -> str:
        kind = f" ({self.kind})" if self.kind else ""
        at = f" at {self.steps}" if self.steps else ""
        return f"{self.rule}{kind}{at}{f' because of {self.reason!r}' if self.reason else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelExpected:
    """The cancel that `enforce` would do; with `none` that there is none."""

    none: bool = False
    steps: Steps | None = None
    rule: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTest:
    """One run and what the rules must say of it: these firings and no other."""

    name: str
    recording: Recording
    rules: tuple[Rule, ...]
    expect: tuple[Expected, ...]
    cancel: CancelExpected | None = None


def failures(test: RuleTest, policy: CancelPolicy) -> list[str]:
    """What is not as expected, a sentence each; empty when all is."""
    result = replay(test.recording, test.rules, policy)
    found = [f"rule {crash.rule} crashed: {crash.error!r}" for crash in result.crashes]
    left = list(result.alerts)
    missing = list[Expected]()
    # The most exact first, so that a vague expectation does not take what only an exact one asks for.
    for expected in sorted(test.expect, key=_vagueness):
        met = next((alert for alert in left if expected.met_by(alert)), None)
        if met is None:
            missing.append(expected)
        else:
            left.remove(met)
    found += [f"expected {expected}; {_what_fired(expected.rule, left)}" for expected in missing]
    named = {expected.rule for expected in missing}
    beside = [alert for alert in left if alert.rule not in named]
    found += [f"expected nothing more of {alert.rule}; got {_fired(alert)}" for alert in beside]
    return found + _cancel_failures(test.cancel, result.cancel)


def _vagueness(expected: Expected) -> tuple[bool, int]:
    return expected.kind is None, expected.steps.last - expected.steps.first if expected.steps else MOST


def _what_fired(rule: str, alerts: Sequence[Alert]) -> str:
    fired = "; ".join(_fired(alert) for alert in alerts if alert.rule == rule)
    return f"got {fired}" if fired else "it did not fire"


def _fired(alert: Alert) -> str:
    return f"{alert.kind} at step {alert.step}: {alert.reason}"


def _cancel_failures(expected: CancelExpected | None, cancel: WouldCancel | None) -> list[str]:
    if expected is None:
        return []
    got = f"{cancel.rule} at step {cancel.step}" if cancel else "none"
    if expected.none:
        return [f"expected no cancel; got {got}"] if cancel else []
    met = cancel is not None and expected.rule in (None, cancel.rule) and _within(expected.steps, cancel.step)
    at = f" at {expected.steps}" if expected.steps else ""
    return [] if met else [f"expected a cancel{f' by {expected.rule}' if expected.rule else ''}{at}; got {got}"]


def _within(steps: Steps | None, step: int | None) -> bool:
    return steps is None or (step is not None and steps.first <= step <= steps.last)
