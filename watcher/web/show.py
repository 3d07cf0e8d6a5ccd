"""How values are shown on the page. Whatever a template prints passes `shown`; text from the API is hostile."""

import math
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from watcher.domain.phrasing import span

LONGEST = 2000
"""Characters of one value that a page shows."""

NOTHING = "–"
_AN_HOUR = 3600
_LEVELS = {char: float(level) for level, char in enumerate("▁▂▃▄▅▆▇█")} | {"×": math.nan}
_STEP_X, _DRAWN, _MARGIN = 5, 21, 2
SPARK_HEIGHT = _DRAWN + 2 * _MARGIN


def shown(value: Any) -> Any:  # noqa: ANN401 - whatever a template prints; escaping follows
    """The value as it may be printed: no text moves the cursor, reorders its neighbours or hides characters."""
    if hasattr(value, "__html__"):
        return value
    if value is None or value == "":
        return NOTHING
    if not isinstance(value, str):
        return value
    cut = value if len(value) <= LONGEST else value[: LONGEST - 1] + "…"
    return cut if cut.isprintable() else "".join(_visible(char) for char in cut)


def _visible(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\n\r\v\f" or category in {"Zl", "Zp"}:
        return " "
    # Controls, invisible formatting (bidi overrides, zero-width characters, tags) and halves of characters.
    return "\ufffd" if category in {"Cc", "Cf", "Cs"} else char


def job_href(account: str, job_id: str, part: str = "") -> str:
    """The path of a job's page, or of a part of it, relative to the host."""
    path, query = (quote(text, safe="", errors="replace") for text in (job_id, account))
    return f"/jobs/{path}{part}?account={query}"


def ago(moment: datetime | None, now: datetime) -> str:
    """`12 min ago`; `just now` for the last seconds and for what a clock that is ahead has written."""
    if moment is None:
        return ""
    passed = now - moment
    return f"{span(passed)} ago" if passed >= timedelta(seconds=5) else "just now"


def until(moment: datetime, now: datetime) -> str:
    """A countdown: `4:07` in the last hour, `2 h 5 min` before."""
    remains = moment - now
    seconds = max(0, math.ceil(remains.total_seconds()))
    return span(remains) if seconds >= _AN_HOUR else f"{seconds // 60}:{seconds % 60:02}"


def percent(share: float | None) -> int | None:
    """Whole percents from 0 to 100, rounded down: only what is done is 100."""
    return None if share is None else int(100 * min(1.0, max(0.0, share)))


class Spark:
    """A curve as a drawing: lines of `x,y` points, broken at gaps, and marks where it was not finite."""

    def __init__(self, values: Sequence[float | None]) -> None:
        self.width = max(1, len(values) - 1) * _STEP_X + 2 * _MARGIN
        self.height = SPARK_HEIGHT
        self.lines = list(_lines(values))
        self.marks = [_MARGIN + i * _STEP_X for i, v in enumerate(values) if v is not None and not math.isfinite(v)]


def from_blocks(blocks: str) -> Spark:
    """A line of block characters drawn; `×` was not finite, anything unknown is a gap."""
    return Spark([_LEVELS.get(char) for char in blocks])


def _lines(values: Sequence[float | None]) -> Iterator[str]:
    finite = [value for value in values if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    points: list[str] = []
    for i, value in enumerate([*values, None]):
        if value is not None and math.isfinite(value):
            share = (value - low) / (high - low) if high > low else 0.5
            points.append(f"{_MARGIN + i * _STEP_X},{_MARGIN + (1 - share) * _DRAWN:.4g}")
        elif points:
            # A line needs two points; a lone one is drawn as a dot by its round ends.
            yield " ".join(points if len(points) > 1 else points * 2)
            points = []
