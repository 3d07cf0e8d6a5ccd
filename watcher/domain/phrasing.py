"""How spans of time, numbers and other people's words are written in a finding."""

import re
from datetime import datetime, timedelta

QUOTE = 200
"""Characters of a text from the API that fit in a sentence; evidence takes twice as many."""


def span(length: timedelta) -> str:
    """A length of time as a person says it: `45 s`, `29 min`, `2 h 5 min`, `3 d 4 h`; a negative one counts as none."""
    seconds = max(0, round(length.total_seconds()))
    if seconds < 60:  # noqa: PLR2004 - seconds of a minute
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:  # noqa: PLR2004 - minutes of an hour
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:  # noqa: PLR2004 - hours of a day
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def clock(moment: datetime) -> str:
    """A moment, to the minute."""
    return moment.strftime("%Y-%m-%d %H:%M UTC")


def number(value: float) -> str:
    """A loss or a norm, four digits."""
    return f"{value:.4g}"


def steps(done: int | None, planned: int | None) -> str:
    """`72 of 120`, or what is known of it; empty when the steps done are not known."""
    if done is None:
        return ""
    return f"{done} of {planned}" if planned else f"{done} (plan unknown)"


def quote(text: str, limit: int = QUOTE) -> str:
    """Somebody else's words on one line, cut to `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def slug(text: str, limit: int = 80) -> str:
    """The text as part of an alert's kind: letters, digits and `_.:/-`, cut to `limit` characters."""
    return re.sub(r"[^A-Za-z0-9_.:/-]", "_", text)[:limit]


def pairs(*rows: tuple[str, str | None]) -> tuple[tuple[str, str], ...]:
    """Evidence in its order, without what is not known."""
    return tuple((label, value) for label, value in rows if value)
