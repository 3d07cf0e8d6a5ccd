"""One chart from top to bottom: title, legend, flags, the loss, and where known learning rate and gradient norm."""

from collections.abc import Sequence
from dataclasses import dataclass

from watcher.domain.chart import legend as key
from watcher.domain.chart import lines, svg
from watcher.domain.chart.data import Chart, Point, Series, finite_step, gaps, series, smoothed
from watcher.domain.chart.frame import (
    HEIGHT,
    LEFT,
    RIGHT,
    WIDTH,
    Panel,
    frame,
    lane_axis,
    layout,
    step_axis,
    value_axis,
)
from watcher.domain.chart.marks import Marks, marks_of
from watcher.domain.chart.scale import Scale, step_label, step_scale, value_scale
from watcher.domain.chart.text import fit, width

_TITLE, _SMALL, _NOTE = 20.0, 14.0, 15.0
_FEW_DOTS = 60
_FINE, _COARSE = 1.0, 2.0
_NEAR = 0.25
_STRETCH = 2.0
"""The axis shows at most so many times the steps seen: of a plan hardly begun, the rest has no room."""
_WIDE_NOTE = 190.0
_RATE = "learning rate"
_TRAIN_RUG, _EVAL_RUG, _RUG_ROW = 9.0, 21.0, 12.0


@dataclass(frozen=True, slots=True)
class _Data:
    """A chart made drawable. `last` is the last step seen; `planned` is None where the plan is unknown or over."""

    train: Series
    calm: tuple[Point, ...]
    evals: Series
    lanes: tuple[tuple[str, Series], ...]
    checkpoints: tuple[float, ...]
    last: float | None
    planned: float | None
    x: Scale

    @property
    def losses(self) -> list[float]:
        """Every loss that has a place on the axis."""
        return [v for part in (self.train.points, self.train.earlier, self.evals.points) for _, v in part]


def draw(chart: Chart) -> str:
    """The whole drawing, 800 by 450: an SVG document."""
    data = _prepared(chart)
    marks = marks_of(chart, data.x)
    legend, legend_rows = key.legend(_entries(data, marks))
    panels = layout(legend_rows, marks.rows, len(data.lanes))
    main, *below = panels
    y = value_scale(data.losses, main.bottom, main.top + _rug(data))
    parts = [
        *_head(chart),
        *_beyond(data, panels),
        *marks.shading(main),
        *_loss_axis(data, main, y),
        *_loss(data, main, y),
        *(part for panel, lane in zip(below, data.lanes, strict=True) for part in _lane(panel, data.x, *lane)),
        *step_axis(panels, data.x),
        *marks.flags(main),
        *legend,
        "</svg>\n",
    ]
    return "\n".join(part for part in parts if part)


# --- preparing ---


def _prepared(chart: Chart) -> _Data:
    train, evals = series(chart.train), series(chart.evals)
    found = ((_RATE, series(chart.learning_rate)), ("gradient norm", series(chart.grad_norm)))
    lanes = tuple(lane for lane in found if lane[1].points)
    checkpoints = tuple(step for step in chart.checkpoints if finite_step(step) is not None)
    steps = [*train.steps, *evals.steps, *(step for _, lane in lanes for step in lane.steps), *_pointed_at(chart)]
    last = max(steps, default=None)
    planned = finite_step(chart.total_steps)
    if last is not None and planned is not None and planned <= last:
        planned = None
    x = step_scale([*checkpoints, *_shown(steps, planned)], LEFT, RIGHT)
    return _Data(train, smoothed(train.points), evals, lanes, checkpoints, last, planned, x)


def _pointed_at(chart: Chart) -> list[float]:
    at = [chart.cancel, *(mark.step for mark in chart.alerts), *(mark.onset for mark in chart.alerts)]
    return [step for step in at if step is not None and finite_step(step) is not None]


def _shown(steps: Sequence[float], planned: float | None) -> list[float]:
    """The ends of the axis: from zero unless the steps begin far from it, and to the plan unless that is far off."""
    if not steps:
        return [0.0, planned or 0.0]
    low, high = min(steps), max(steps)
    if 0 <= low <= max(high, planned or 0.0) * _NEAR:
        low = 0.0
    return [low, high if planned is None else min(planned, high + _STRETCH * max(high - low, 1.0))]


# --- drawing ---


def _head(chart: Chart) -> list[str]:
    subtitle = fit(chart.subtitle, _SMALL, (RIGHT - LEFT) / 2)
    room = RIGHT - 12 - (width(subtitle, _SMALL) + 20 if subtitle else 0)
    title = fit(chart.title, _TITLE, room) or "training run"
    return [
        svg.opening(WIDTH, HEIGHT),
        svg.named(title),
        svg.box(0, 0, WIDTH, HEIGHT, "#fff"),
        svg.text(12, 27, title, _TITLE),
        svg.text(RIGHT, 27, subtitle, _SMALL, anchor="end", fill=svg.GREY) if subtitle else "",
    ]


def _entries(data: _Data, marks: Marks) -> list[key.Entry]:
    shown = (
        (data.train.points, key.Entry("train", "line", key.TRAIN, 2.2)),
        (data.calm, key.Entry("smoothed", "line", key.SMOOTHED, 2.6)),
        (data.evals.points, key.Entry("eval", "dotted", key.EVAL)),
        (data.train.earlier, key.Entry("earlier attempt", "line", key.EARLIER, 1.6)),
        (data.train.bad, key.Entry("not a number", "cross", key.BAD)),
        (data.evals.bad, key.Entry("eval not a number", "cross", key.EVAL)),
        (data.checkpoints, key.Entry("checkpoint", "notch", svg.BLACK)),
        (marks.without, key.Entry(f"more alerts: {marks.without}", "line", svg.ORANGE)),
    )
    return [entry for there, entry in shown if there]


def _beyond(data: _Data, panels: Sequence[Panel]) -> list[str]:
    """What was planned and has not been run, greyed; the plan in words where there is room."""
    if data.planned is None:
        return []
    start = LEFT if data.last is None else data.x.at(data.last)
    found = [svg.box(start, panel.top, RIGHT, panel.bottom, svg.PALE) for panel in panels]
    if RIGHT - start >= _WIDE_NOTE:
        beyond = " →" if data.planned > data.x.high else ""
        note, middle = f"plan: {step_label(data.planned)} steps{beyond}", (start + RIGHT) / 2
        found.append(svg.text(middle, panels[0].bottom - 12, note, _NOTE, anchor="middle", fill=svg.GREY))
    return found


def _loss_axis(data: _Data, main: Panel, y: Scale) -> list[str]:
    if data.losses:
        return value_axis(main, y, "loss (nats, log)" if y.log else "loss (nats)")
    note = "no finite loss" if data.train.bad or data.evals.bad else "no rows yet"
    middle = (main.top + main.bottom) / 2
    return [frame(main), svg.text((LEFT + RIGHT) / 2, middle, note, _TITLE, anchor="middle", fill=svg.GREY)]


def _rug(data: _Data) -> float:
    """The room at the top for rows that are no number, which the lines keep out of."""
    if data.evals.bad:
        return _EVAL_RUG + _RUG_ROW
    return _TRAIN_RUG + _RUG_ROW if data.train.bad else 0.0


def _loss(data: _Data, main: Panel, y: Scale) -> list[str]:
    train, evals, x = data.train, data.evals, data.x
    thick, opacity = (1.4, 0.85) if data.calm else (2.2, 1.0)
    broken = gaps(data.calm, train.bad)
    return [
        svg.stroke(lines.line(train.earlier, (), x, y, column=_COARSE), key.EARLIER, 1.2),
        svg.stroke(lines.line(train.points, train.breaks, x, y, column=_FINE), key.TRAIN, thick, opacity=opacity),
        svg.stroke(lines.dots(train.lone, x, y) if len(train.lone) <= _FEW_DOTS else "", key.TRAIN, 6),
        svg.stroke(lines.line(data.calm, broken, x, y, column=_FINE), key.SMOOTHED, 2.6),
        svg.stroke(lines.line(evals.points, evals.breaks, x, y, column=_COARSE), key.EVAL, 2),
        svg.stroke(lines.dots(evals.points, x, y) if len(evals.points) <= _FEW_DOTS else "", key.EVAL, 7.5),
        svg.stroke(lines.crosses(train.bad, x, main.top + _TRAIN_RUG), key.BAD, 2),
        svg.stroke(lines.crosses(evals.bad, x, main.top + _EVAL_RUG), key.EVAL, 2),
        svg.filled(lines.notches(data.checkpoints, x, main.bottom), svg.BLACK),
    ]


def _lane(panel: Panel, x: Scale, name: str, lane: Series) -> list[str]:
    values = [value for _, value in lane.points]
    # The shape of a schedule is known by heart, and only on a linear axis.
    y = value_scale(values, panel.bottom, panel.top, may_log=name != _RATE)
    return [
        *lane_axis(panel, y, f"{name} (log)" if y.log else name, min(values), max(values)),
        svg.stroke(lines.line(lane.points, lane.breaks, x, y, column=_COARSE), key.LANE, 1.8),
        svg.stroke(lines.dots(lane.lone, x, y) if len(lane.lone) <= _FEW_DOTS else "", key.LANE, 4.5),
    ]
