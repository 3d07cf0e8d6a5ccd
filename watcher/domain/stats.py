"""Small running statistics of bounded size, for rules: plain values that the codec stores, no NaN in them."""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

SIGMA_OF_MEDIAN_STEP = 1.0484
"""Standard deviation of normal noise over the median of |x[i] - x[i-1]|: 1.4826 / sqrt 2."""


@dataclass(slots=True)
class MedianWindow:
    """The last values and their median; a push costs one search in a sorted list of at most `push`'s size."""

    recent: list[float] = field(default_factory=list)
    ordered: list[float] = field(default_factory=list)

    def push(self, value: float, size: int) -> None:
        """Add a value and forget the oldest beyond `size`; the size may change from push to push."""
        self.recent.append(value)
        insort(self.ordered, value)
        while len(self.recent) > size:
            del self.ordered[bisect_left(self.ordered, self.recent.pop(0))]

    def median(self) -> float:
        """The middle value, the mean of the middle two when their number is even; 0.0 when empty."""
        n = len(self.ordered)
        if not n:
            return 0.0
        middle = self.ordered[n // 2]
        return middle if n % 2 else (self.ordered[n // 2 - 1] + middle) / 2


@dataclass(slots=True)
class Blocks:
    """A history of any length in at most `CAPACITY` blocks of equally many rows; when full, neighbours are merged.

    Means over any part of the history are exact up to one block at each border, that is 1/12 of the history's length.
    """

    per: int = 1
    rows: list[int] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def add(self, step: int, value: float) -> None:
        if not self.rows or self.rows[-1] >= self.per:
            if len(self.rows) == CAPACITY:
                self._merge()
            self.rows.append(0)
            self.sums.append(0.0)
            self.ends.append(step)
        self.rows[-1] += 1
        self.sums[-1] += value
        self.ends[-1] = step

    def _merge(self) -> None:
        self.per *= 2
        self.rows = [a + b for a, b in zip(self.rows[::2], self.rows[1::2], strict=True)]
        self.sums = [a + b for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
        self.ends = self.ends[1::2]

    def clear(self) -> None:
        self.per = 1
        self.rows.clear()
        self.sums.clear()
        self.ends.clear()

    def part(self, after: float, until: float) -> tuple[int, float]:
        """How many rows lie in the blocks that end in (after, until], and their mean (0.0 without rows)."""
        low, high = bisect_left(self.ends, after + 1e-9), bisect_left(self.ends, until + 1e-9)
        count = sum(self.rows[low:high])
        return count, sum(self.sums[low:high]) / count if count else 0.0


CAPACITY = 24
"""Blocks kept of a history: even, so that neighbours pair up."""
