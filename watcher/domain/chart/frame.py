"""The frame of a chart: where its panels lie, and their axes."""

from dataclasses import dataclass
from itertools import pairwise

from watcher.domain.chart import svg
from watcher.domain.chart.scale import Scale, short_label, step_label, value_label
from watcher.domain.chart.text import width

WIDTH, HEIGHT = 800, 450
LEFT, RIGHT = 84.0, 780.0
HEADER = 38.0
LEGEND_ROW, FLAG_ROW = 21.0, 21.0

_BOTTOM = 44.0
_LANE, _GAP = 38.0, 24.0
_PAD = 6.0
_SIZE = 14.0
_STEP_TICKS, _VALUE_TICK_EVERY = 7, 38.0
_TICK_ROOM = 16.0
_LABEL_ROOM = 58.0


@dataclass(frozen=True, slots=True)
class Panel:
    """The area of one axis, in pixels."""

    top: float
    bottom: float


def layout(legend_rows: int, flag_rows: int, lanes: int) -> tuple[Panel, ...]:
    """The panel of the loss, and under it one for each lane."""
    top = HEADER + legend_rows * LEGEND_ROW + flag_rows * FLAG_ROW + _PAD
    bottom = HEIGHT - _BOTTOM
    below = [Panel(bottom - (n + 1) * _LANE - n * _GAP, bottom - n * (_LANE + _GAP)) for n in reversed(range(lanes))]
    return (Panel(top, (below[0].top - _GAP) if below else bottom), *below)


def value_axis(panel: Panel, y: Scale, name: str = "") -> list[str]:
    """Grid lines with their values, and what they measure."""
    ticks = y.ticks(max(1, int((panel.bottom - panel.top) / _VALUE_TICK_EVERY)))
    spacing = min((b - a for a, b in pairwise(ticks)), default=y.high - y.low)
    parts = [frame(panel)]
    for tick in ticks:
        at = y.at(tick)
        parts.append(svg.stroke(f"M{LEFT:g} {at:.1f}H{RIGHT:g}", svg.GRID, 1))
        label = value_label(tick, tick if y.log else spacing)
        parts.append(_value_text(at + 5, label, _SIZE))
    if name:
        middle = (panel.top + panel.bottom) / 2
        turned = f' transform="rotate(-90 18 {middle:.1f})"'
        parts.append(svg.text(18, middle, name, _SIZE, anchor="middle", more=turned))
    return parts


def lane_axis(panel: Panel, y: Scale, name: str, low: float, high: float) -> list[str]:
    """The frame of a low panel with its name above, and only the lowest and highest value beside it."""
    found = ((low, panel.bottom), (high, panel.top + 10)) if high > low else ((high, y.at(high) + 5),)
    return [
        frame(panel),
        svg.text(LEFT, panel.top - 4, name, _SIZE - 1, fill=svg.GREY),
        *(_value_text(at, short_label(value), _SIZE - 1) for value, at in found),
    ]


def _value_text(y: float, label: str, size: float) -> str:
    """A number left of its axis, smaller where it is long."""
    fitting = min(size, _LABEL_ROOM / width(label, 1.0))
    return svg.text(LEFT - 7, y, label, round(fitting, 1), anchor="end")


def frame(panel: Panel) -> str:
    """The two axes as lines."""
    path = f"M{LEFT:g} {panel.top:.1f}V{panel.bottom:.1f}H{RIGHT:g}"
    return svg.stroke(path, svg.GREY, 1.2)


def step_axis(panels: tuple[Panel, ...], x: Scale) -> list[str]:
    """The steps below the lowest panel; short notches on each."""
    bottom = panels[-1].bottom
    parts, free = list[str](), 0.0
    ticks = x.ticks(_STEP_TICKS)
    for tick in ticks:
        at, label = x.at(tick), step_label(tick, max(ticks))
        half = width(label, _SIZE) / 2
        left = min(max(at - half, 2.0), WIDTH - 2 - 2 * half)
        parts.extend(svg.stroke(f"M{at:.1f} {p.bottom:.1f}v5", svg.GREY, 1.2) for p in panels)
        if left >= free:
            parts.append(svg.text(left + half, bottom + 20, label, _SIZE, anchor="middle"))
            free = left + 2 * half + _TICK_ROOM
    parts.append(svg.text((LEFT + RIGHT) / 2, HEIGHT - 6, "training step", _SIZE, anchor="middle"))
    return parts
