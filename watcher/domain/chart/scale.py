"""From numbers to places on a canvas: linear and logarithmic axes, their ticks and how these are written."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_LOG_FROM = 20.0
"""A range that spans more than this factor is drawn on a logarithmic axis."""
_DEEPEST = 1e-6
"""What is smaller than this share of the median lies on the floor of a logarithmic axis."""
_RARE = 100
"""One value in so many may be lower without deciding on the kind of axis: a lone row of a noisy run is often small."""
_SMALLEST = 1e-30
_FLAT = 2e-5
"""Values that differ by less than this share of their size are drawn as one: an axis could not be written."""
_MARGIN = 0.04
_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_DENSE_DECADES = 2.2
_PLAIN_FROM, _PLAIN_TO = 1e-3, 1e5
_THOUSANDS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
_COMMAS_TO = 1e5
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis: `low` is at pixel `start`, `high` at `end`; values beyond are drawn at the edge."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def at(self, value: float) -> float:
        """The pixel of a value."""
        value = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, count: int) -> list[float]:
        """About so many round values, rising."""
        return _log_ticks(self.low, self.high, count) if self.log else _ticks(self.low, self.high, count)


def value_scale(values: Sequence[float], start: float, end: float, *, may_log: bool = True) -> Scale:
    """An axis on which all values have room: logarithmic where they span too much for a linear one."""
    low, high = _range(values)
    floor = _floor(values, high) if may_log else None
    if floor is not None:
        factor = (high / floor) ** _MARGIN
        return Scale(floor / factor, high * factor, start, end, log=True)
    margin = (high - low) * _MARGIN
    # A loss has no business below zero: room below it would only look as if it had.
    bottom = max(0.0, low - margin) if low >= 0 else low - margin
    return Scale(bottom, high + margin, start, end)


def step_scale(steps: Iterable[float], start: float, end: float) -> Scale:
    """An axis on which all steps have room."""
    seen = list(steps) or [0.0]
    low, high = min(seen), max(seen)
    return Scale(low, high if high > low else low + 1.0 + abs(low) * 1e-6, start, end)


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    size = max(abs(low), abs(high))
    if high - low < max(size * _FLAT, _SMALLEST):
        pad = size / 10 or 1.0
        return (low - pad if low < 0 else max(0.0, low - pad)), high + pad
    return low, high


def _floor(values: Sequence[float], high: float) -> float | None:
    """The lowest value of a logarithmic axis, or None where a linear one does."""
    positive = sorted(value for value in values if value > 0)
    if not positive or len(positive) * 2 < len(values) or min(values) < 0:
        return None
    usual = positive[len(positive) // _RARE]
    floor = max(positive[0], usual / 10, positive[len(positive) // 2] * _DEEPEST, _SMALLEST)
    return floor if high > _LOG_FROM * max(usual, floor) else None


def _ticks(low: float, high: float, count: int) -> list[float]:
    rough = (high - low) / max(1, count)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(nice * power for nice in _STEPS if nice * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def _log_ticks(low: float, high: float, count: int) -> list[float]:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = max(1, math.ceil((last - first) / max(1, count)))
    inner = (1, 2, 5) if math.log10(high / low) <= _DENSE_DECADES else (1,)
    found = (nice * 10.0**exponent for exponent in range(first, last + 1, stride) for nice in inner)
    return [tick for tick in found if low <= tick <= high]


def value_label(value: float, spacing: float) -> str:
    """A loss, norm or rate at a tick, with the digits that tell it from the next one."""
    if value == 0 or abs(value) < spacing * 1e-6:
        return "0"
    if not _PLAIN_FROM <= abs(value) < _PLAIN_TO:
        digits = max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(spacing) + 1e-9))
        return _short_exponent(f"{value:.{min(digits, _DIGITS)}e}")
    decimals = max(0, -math.floor(math.log10(spacing) + 1e-9)) if spacing else 0
    fixed = f"{value:.{min(decimals + 1, _DIGITS)}f}"
    return fixed.rstrip("0").rstrip(".") if "." in fixed else fixed


def _short_exponent(text: str) -> str:
    mantissa, _, exponent = text.partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def short_label(value: float) -> str:
    """Any number in three digits."""
    text = f"{value:.3g}"
    if "e" in text and abs(value) < _PLAIN_TO:
        text = f"{float(text):g}"
    return _short_exponent(text) if "e" in text else text


def step_label(value: float, largest: float | None = None) -> str:
    """A training step: `1,200`, `250k`, `2.5M`; a fraction where steps are counted in epochs.

    `largest` is that of its neighbours on an axis, so that all of them are written alike.
    """
    if value == 0 or max(abs(value), abs(largest or 0.0)) < _COMMAS_TO:
        return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
    size, unit = next((size, unit) for size, unit in _THOUSANDS if max(abs(value), abs(largest or 0.0)) >= size)
    return f"{value / size:.6g}{unit}"
