"""Small running statistics of bounded size, for rules: plain values that the codec stores, no NaN in them."""

import math
from bisect import bisect_left
from dataclasses import dataclass, field

SIGMA_OF_MEDIAN_STEP = 1.0484
"""Standard deviation of normal noise over the median of |x[i] - x[i-1]|: 1.4826 / sqrt 2."""

CAPACITY = 24
"""Blocks kept of a history: even, so that neighbours pair up."""

_LARGEST = 1e290
"""Values are cut here, so that sums stay finite."""


def short(value: float) -> float:
    """The value to seven digits: states hold hundreds of floats, and each digit is a byte of each job."""
    return float(f"{value:.7g}")


def quantile(values: list[float], share: float) -> float:
    """The value below which a share of the others lies, without interpolation; 0.0 without values."""
    return sorted(values)[int(share * (len(values) - 1))] if values else 0.0


@dataclass(slots=True)
class MedianWindow:
    """The last few values and their median. Sorting some dozens of floats costs about a microsecond."""

    recent: list[float] = field(default_factory=list)

    def push(self, value: float, size: int) -> None:
        """Add a value and forget the oldest beyond `size`; the size may change from push to push."""
        self.recent.append(short(value))
        if len(self.recent) > size:
            del self.recent[: len(self.recent) - size]

    def median(self) -> float:
        """The middle value, the mean of the middle two when their number is even; 0.0 when empty."""
        ordered, n = sorted(self.recent), len(self.recent)
        if not n:
            return 0.0
        return ordered[n // 2] if n % 2 else ordered[n // 2 - 1] / 2 + ordered[n // 2] / 2


@dataclass(slots=True)
class Blocks:
    """A history of any length in at most `CAPACITY` blocks of equally many rows; when full, neighbours are merged.

    Means over any part of the history are exact up to one block at each border, that is a twelfth of its length.
    """

    per: int = 1
    filled: int = 0
    sums: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        """Add a row; only the last block may hold fewer rows than `per`."""
        if not self.sums or self.filled == self.per:
            if self.sums:
                self.sums[-1] = short(self.sums[-1])
            if len(self.sums) == CAPACITY:
                self.per *= 2
                self.sums = [short(a + b) for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
                self.ends = self.ends[1::2]
            self.filled = 0
            self.sums.append(0.0)
            self.ends.append(step)
        self.filled += 1
        self.sums[-1] += max(-_LARGEST, min(_LARGEST, value))
        self.ends[-1] = step

    def clear(self) -> None:
        self.per, self.filled = 1, 0
        self.sums.clear()
        self.ends.clear()

    @property
    def rows(self) -> int:
        """How many rows were added since the last `clear`."""
        return (len(self.sums) - 1) * self.per + self.filled if self.sums else 0

    def highest(self) -> float:
        """The highest mean of a full block; minus infinity without one."""
        full = self.sums if self.filled == self.per else self.sums[:-1]
        return max(full, default=-math.inf) / self.per

    def part(self, after: float, until: float) -> tuple[int, float]:
        """How many rows lie in the blocks that end in (after, until], and their mean (0.0 without rows)."""
        low, high = bisect_left(self.ends, after + 1e-9), bisect_left(self.ends, until + 1e-9)
        if low >= high:
            return 0, 0.0
        count = (high - low) * self.per - (self.per - self.filled if high == len(self.ends) else 0)
        return count, sum(self.sums[low:high]) / count


@dataclass(slots=True)
class Excursion:
    """Rows above a reference; `since` is the last row that was not."""

    since: int = 0
    rows: int = 0
    peak: float = 0.0
    peak_step: int = 0
    blocks: Blocks = field(default_factory=Blocks)

    def follow(self, step: int, y: float, level: float, limit: float) -> None:
        """Add a row, or start anew when both the row and the level are at or below the limit."""
        if max(level, y) <= limit:
            self.since, self.rows = step, 0
            self.blocks.clear()
            return
        self.rows += 1
        self.blocks.add(step, y)
        if self.rows == 1 or level > self.peak:
            self.peak, self.peak_step = level, step
