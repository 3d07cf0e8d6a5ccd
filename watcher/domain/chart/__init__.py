"""The picture of a run: one SVG drawing for page, mail and PNG. Pure: data in, text out, the same each time.

`draw(chart_of(title, rows, …))` is all that most callers need.
"""

from watcher.domain.chart.data import AlertMark, Chart, Reading, chart_of
from watcher.domain.chart.drawing import draw
from watcher.domain.chart.frame import HEIGHT, WIDTH

__all__ = ["HEIGHT", "WIDTH", "AlertMark", "Chart", "Reading", "chart_of", "draw"]
