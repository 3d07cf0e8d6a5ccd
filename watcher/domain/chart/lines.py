"""Lines and marks of a chart as SVG path data, of bounded size however long the run."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from watcher.domain.chart.data import Point
from watcher.domain.chart.scale import Scale

_CROSS, _CROSS_APART = 3.0, 7.0
_TICK, _TICK_APART = 7.0, 3.0


def number(value: float) -> str:
    """A coordinate, to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def line(points: Sequence[Point], breaks: Collection[int], x: Scale, y: Scale, *, column: float = 1.0) -> str:
    """A line through the points, which rise in step, with the lowest and highest of each pixel column.

    A point alone between two interruptions shows as a dot, given a round line cap.
    """
    parts, before = list[str](), None
    for index, kept, interrupted in _columns(points, breaks, x, column):
        for place, (step, value) in enumerate(kept):
            at = f"{number(x.at(step))} {number(y.at(value))}"
            if before is None or (interrupted and place == 0):
                parts.append(f"M{at}h.1")
            else:
                parts.append(f"L{at}")
            before = index
    return "".join(parts)


def _columns(
    points: Sequence[Point], breaks: Collection[int], x: Scale, column: float
) -> Iterator[tuple[int, list[Point], bool]]:
    """For each column its index, its lowest and highest point in order of step, and whether a line begins in it."""
    start = 0
    while start < len(points):
        index = _column(points[start], x, column)
        end = start + 1
        while end < len(points) and _column(points[end], x, column) == index:
            end += 1
        inside = points[start:end]
        low = min(range(len(inside)), key=lambda i: inside[i][1])
        high = max(range(len(inside)), key=lambda i: inside[i][1])
        kept = [inside[i] for i in sorted({low, high})]
        yield index, kept, any(i in breaks for i in range(start, end))
        start = end


def _column(point: Point, x: Scale, column: float) -> int:
    return int((x.at(point[0]) - x.start) / column)


def dots(points: Iterable[Point], x: Scale, y: Scale) -> str:
    """Each point as a dot, for a path with a round line cap."""
    return "".join(f"M{number(x.at(step))} {number(y.at(value))}h.1" for step, value in points)


def crosses(steps: Iterable[float], x: Scale, y: float) -> str:
    """A small × at each step, as many as have room."""
    size = number(2 * _CROSS)
    return "".join(
        f"M{number(at - _CROSS)} {number(y - _CROSS)}l{size} {size}m0-{size}l-{size} {size}"
        for at in _apart(steps, x, _CROSS_APART)
    )


def notches(steps: Iterable[float], x: Scale, y: float) -> str:
    """A small filled triangle standing on `y` at each step, as many as have room."""
    half, height = number(_TICK / 2), number(_TICK)
    wide = number(_TICK)
    return "".join(
        f"M{number(at)} {number(y - _TICK)}l{half} {height}h-{wide}z" for at in _apart(steps, x, _TICK_APART)
    )


def _apart(steps: Iterable[float], x: Scale, least: float) -> Iterator[float]:
    last = None
    for at in sorted(x.at(step) for step in steps):
        if last is None or at - last >= least:
            last = at
            yield at
