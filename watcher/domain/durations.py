"""Durations as people write them: `30s`, `5m`, `1h30m`, `2d`, or a number of seconds."""

import math
import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")
_WHOLE = re.compile(rf"(?:{_PART.pattern}\s*)+")
_EXPECTED = "expected a duration such as 30s, 5m, 1h30m, 2d, or a number of seconds"


def parse_duration(value: object) -> timedelta:
    """The duration that a text or a number of seconds means.

    Raises:
        ValueError: it means none; the message says what was expected and does not repeat the value.
    """
    if isinstance(value, timedelta):
        return value
    seconds = _seconds(value)
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        raise ValueError(_EXPECTED)
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(_EXPECTED) from None


def _seconds(value: object) -> float | None:
    # A bool is an int to Python; `interval: true` is a mistake to a person.
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, str):
        return None
    text = value.strip().lower()
    if _WHOLE.fullmatch(text):
        return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    try:
        return float(text)
    except ValueError:
        return None


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads as the same duration."""
    milliseconds = round(value / timedelta(milliseconds=1))
    parts = []
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, milliseconds = divmod(milliseconds, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
