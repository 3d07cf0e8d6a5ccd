"""What a chart shows, and how its series are prepared: attempts, rows that are no number, and a smoothed line."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from watcher.domain.alerts import Alert
from watcher.domain.observations import EvalRow, Row, TrainRow, finite, undisguised
from watcher.domain.verdicts import Severity

Reading = tuple[float, float | None]
"""(step, value); the value is None where the row had none, and may be NaN or infinite."""
Point = tuple[float, float]

LARGEST, SMALLEST = 1e99, 1e-30
"""A value beyond the largest is drawn as that, one nearer to zero than the smallest as zero: sums and ratios of what is
drawn stay finite."""
_FURTHEST = 1e15
_FEWEST = 16
"""Rows below which a smoothed line would say nothing new."""
_WINDOWS = 30
"""The smoothed line is a median over a window of one part in so many of the rows…"""
_NARROWEST, _WIDEST = 5, 401
"""…of at least and at most so many rows."""
_SMOOTHED = 350
"""Points of the smoothed line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMark:
    """An alert on the picture: where it fired, and where what it found began."""

    rule: str
    severity: Severity
    step: float
    onset: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """All that one picture shows. Rows are in order of arrival: a lower step begins a new attempt."""

    title: str
    subtitle: str = ""
    train: Sequence[Reading] = ()
    evals: Sequence[Reading] = ()
    learning_rate: Sequence[Reading] = ()
    grad_norm: Sequence[Reading] = ()
    total_steps: float | None = None
    alerts: Sequence[AlertMark] = ()
    cancel: float | None = None
    cancel_label: str = "cancel"
    checkpoints: Sequence[float] = ()


def chart_of(  # noqa: D417 - the others are the fields of a chart
    title: str,
    rows: Iterable[Row],
    *,
    subtitle: str = "",
    total_steps: float | None = None,
    alerts: Iterable[Alert] = (),
    cancel: float | None = None,
    cancel_label: str = "cancel",
    checkpoints: Sequence[float] = (),
) -> Chart:
    """The chart of a job's rows.

    Args:
        rows: in the order in which they count; a loss that hides a NaN is shown as one.
    """
    kept = list(rows)
    train = [row for row in kept if isinstance(row, TrainRow)]
    return Chart(
        title=title,
        subtitle=subtitle,
        train=[(row.step, undisguised(row)) for row in train],
        evals=[(row.step, row.loss) for row in _standing_evals(kept)],
        learning_rate=[(row.step, row.lr) for row in train if row.lr is not None],
        grad_norm=[(row.step, row.grad_norm) for row in train if row.grad_norm is not None],
        total_steps=total_steps,
        alerts=[mark for alert in alerts if (mark := _mark(alert)) is not None],
        cancel=cancel,
        cancel_label=cancel_label,
        checkpoints=checkpoints,
    )


def _standing_evals(rows: Iterable[Row]) -> list[EvalRow]:
    """The evaluations of the last attempt: those beyond the step to which the training rows went back are void."""
    found: list[EvalRow] = []
    before = -math.inf
    for row in rows:
        if isinstance(row, EvalRow):
            found.append(row)
            continue
        while row.step < before and found and found[-1].step >= row.step:
            found.pop()
        before = row.step
    return found


def _mark(alert: Alert) -> AlertMark | None:
    if alert.step is None:
        return None
    name = alert.rule if alert.kind in ("", alert.rule) else f"{alert.rule} ({alert.kind})"
    return AlertMark(rule=name, severity=alert.severity, step=alert.step, onset=alert.onset)


@dataclass(frozen=True, slots=True)
class Series:
    """Readings made drawable.

    `points` rise in step; `breaks` are the places in them before which the line is interrupted. `earlier` are points
    that a later attempt went over again, and `bad` the steps whose value was no number.
    """

    points: tuple[Point, ...]
    breaks: frozenset[int]
    earlier: tuple[Point, ...]
    bad: tuple[float, ...]

    @property
    def lone(self) -> tuple[Point, ...]:
        """Points with an interruption on both sides: a line alone would not show them."""
        count = len(self.points)
        return tuple(
            p for i, p in enumerate(self.points) if i in self.breaks and (i + 1 in self.breaks or i + 1 == count)
        )

    @property
    def steps(self) -> tuple[float, ...]:
        """Every step of the series, of whatever value."""
        return (*(step for step, _ in self.points), *(step for step, _ in self.earlier), *self.bad)


def series(readings: Iterable[Reading]) -> Series:
    """The readings in order of step, split into what stands and what was gone over again."""
    kept: list[Reading] = []
    earlier: list[Point] = []
    for step, value in readings:
        at = finite_step(step)
        if at is None:
            continue
        if kept and at < kept[-1][0]:
            earlier.extend((before, _within(old)) for before, old in _cut(kept, at) if finite(old) is not None)
        kept.append((at, value))
    return _split(kept, sorted(earlier))


def _cut(kept: list[Reading], step: float) -> Iterator[tuple[float, float]]:
    """Take off the end what is at or beyond the step."""
    while kept and kept[-1][0] >= step:
        before, old = kept.pop()
        yield before, math.nan if old is None else old


def _split(kept: list[Reading], earlier: list[Point]) -> Series:
    points, breaks, bad, broken = list[Point](), set[int](), list[float](), True
    for step, value in kept:
        if value is None or not math.isfinite(value):
            broken = True
            if value is not None:
                bad.append(step)
            continue
        if broken:
            breaks.add(len(points))
        points.append((step, _within(value)))
        broken = False
    return Series(tuple(points), frozenset(breaks), tuple(earlier), tuple(bad))


def finite_step(step: float | None) -> float | None:
    """The step when it is a number that can have a place on the axis."""
    return step if step is not None and abs(step) <= _FURTHEST else None


def _within(value: float) -> float:
    return 0.0 if abs(value) < SMALLEST else min(max(value, -LARGEST), LARGEST)


def smoothed(points: Sequence[Point]) -> tuple[Point, ...]:
    """A median over neighbours, so that spikes do not move it, evened a little; few points whatever came in."""
    count = len(points)
    if count < _FEWEST:
        return ()
    half = min(max(count // _WINDOWS, _NARROWEST), _WIDEST) // 2
    places = [*range(0, count - 1, max(1, count // _SMOOTHED)), count - 1]
    values = [median(value for _, value in points[max(0, i - half) : i + half + 1]) for i in places]
    evened = [
        (a + 2 * b + c) / 4 for a, b, c in zip(values[:1] + values, values, values[1:] + values[-1:], strict=False)
    ]
    return tuple((points[i][0], value) for i, value in zip(places, evened, strict=True))


def gaps(points: Sequence[Point], bad: Sequence[float]) -> frozenset[int]:
    """Where a smoothed line is interrupted: as many rows without a number as points of it, in between."""
    ordered = sorted(bad)
    lost = [bisect_right(ordered, step) for step, _ in points]
    most = max(_FEWEST, len(ordered) // _WINDOWS)
    return frozenset({0, *(i for i, (a, b) in enumerate(pairwise(lost), 1) if b - a >= most)})
