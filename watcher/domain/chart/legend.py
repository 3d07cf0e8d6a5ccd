"""The legend: what each line and mark is, only of those that are there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from watcher.domain.chart import svg
from watcher.domain.chart.frame import HEADER, LEGEND_ROW, RIGHT
from watcher.domain.chart.text import width

TRAIN, SMOOTHED, EVAL, EARLIER, LANE, BAD = svg.SKY, svg.BLUE, svg.GREEN, "#999", svg.PURPLE, svg.VERMILION

_LEFT, _SIZE = 12.0, 14.0
_SWATCH, _APART = 24.0, 16.0
_BASE = 14.0


@dataclass(frozen=True, slots=True)
class Entry:
    """A line or mark with its name: `form` is line, dotted (a line through dots), cross, notch or none."""

    name: str
    form: str
    colour: str
    thick: float = 2.0


def legend(entries: Sequence[Entry]) -> tuple[list[str], int]:
    """The entries side by side, and how many rows they take."""
    parts, x, row = list[str](), _LEFT, 0
    for entry in entries:
        wide = _SWATCH + 6 + width(entry.name, _SIZE)
        if x > _LEFT and x + wide > RIGHT:
            x, row = _LEFT, row + 1
        y = HEADER + _BASE + row * LEGEND_ROW
        parts.extend(_swatch(entry, x, y - 5))
        parts.append(svg.text(x + _SWATCH + 6, y, entry.name, _SIZE))
        x += wide + _APART
    return parts, row + 1


def _swatch(entry: Entry, x: float, y: float) -> Iterator[str]:
    middle = x + _SWATCH / 2
    match entry.form:
        case "line":
            yield svg.stroke(f"M{x + 2:g} {y:g}h{_SWATCH - 4:g}", entry.colour, entry.thick)
        case "dotted":
            yield svg.stroke(f"M{x + 2:g} {y:g}h{_SWATCH - 4:g}", entry.colour, entry.thick)
            yield svg.stroke(f"M{middle:g} {y:g}h.1", entry.colour, 7.5)
        case "cross":
            yield svg.stroke(f"M{middle - 3:g} {y - 3:g}l6 6m0-6l-6 6", entry.colour, entry.thick)
        case _:
            yield svg.filled(f"M{middle:g} {y - 4:g}l3.5 7h-7z", entry.colour)
