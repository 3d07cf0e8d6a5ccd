"""Small running statistics of bounded size, for rules: plain values that the codec stores, no NaN in them."""

import math
from bisect import bisect_left, insort
from collections.abc import Sequence
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


def middle(ordered: list[float]) -> float:
    """The middle one of values in order, the mean of the middle two when their number is even; 0.0 without values."""
    n = len(ordered)
    if n % 2:
        return ordered[n // 2]
    return ordered[n // 2 - 1] / 2 + ordered[n // 2] / 2 if n else 0.0


@dataclass(slots=True)
class MedianWindow:
    """The last few values and their median, for those that ask for it now and then: it is sorted anew each time."""

    recent: list[float] = field(default_factory=list)

    def push(self, value: float, size: int) -> None:
        """Add a value and forget the oldest beyond `size`; the size may change from push to push."""
        recent = self.recent
        recent.append(float(f"{value:.7g}"))  # `short`, without the call
        while len(recent) > size:
            del recent[0]

    def median(self) -> float:
        """See `middle`."""
        return middle(sorted(self.recent))


class _Ordered:
    """What a window keeps beside its values and does not store: the codec knows fields of dataclasses only."""

    __slots__ = ("_ordered",)

    def _order(self, values: list[float]) -> None:
        self._ordered = sorted(values)


@dataclass(slots=True)
class RunningMedian(_Ordered):
    """The same for those that ask after each value: kept in order, a push takes a sixth of the time of a sort.

    Whoever empties it calls `clear`; `recent` is only read.
    """

    recent: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order(self.recent)

    def push(self, value: float, size: int) -> None:
        """Add a value and forget the oldest beyond `size`; the size may change from push to push."""
        value = float(f"{value:.7g}")
        recent, ordered = self.recent, self._ordered
        recent.append(value)
        insort(ordered, value)
        while len(recent) > size:
            del ordered[bisect_left(ordered, recent.pop(0))]

    def clear(self) -> None:
        self.recent.clear()
        self._ordered.clear()

    def median(self) -> float:
        """See `middle`."""
        ordered = self._ordered
        n = len(ordered)
        return ordered[n // 2] if n % 2 else middle(ordered)

    def quantile(self, share: float) -> float:
        """The value below which a share of the others lies, without interpolation; 0.0 without values."""
        return self._ordered[int(share * (len(self._ordered) - 1))] if self._ordered else 0.0


Part = tuple[int, float]
"""How many rows, and their mean (0.0 without rows)."""


class _Kept:
    """What blocks keep beside their sums and do not store: see `quarters`."""

    __slots__ = ("_kept",)

    def _keep(self, kept: tuple[float, float, int, list[Part]] | None) -> None:
        self._kept = kept


@dataclass(slots=True)
class Blocks(_Kept):
    """A history of any length in at most `CAPACITY` blocks of equally many rows; when full, neighbours are merged.

    Means over any part of the history are exact up to one block at each border, that is a twelfth of its length.
    """

    per: int = 1
    filled: int = 0
    sums: list[float] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._keep(None)

    def add(self, step: int, value: float) -> None:
        """Add a row; only the last block may hold fewer rows than `per`."""
        if self.filled == self.per or not self.sums:
            self._begin(step)
        self.filled += 1
        self.sums[-1] += value if -_LARGEST <= value <= _LARGEST else math.copysign(_LARGEST, value)
        self.ends[-1] = step

    def _begin(self, step: int) -> None:
        """A new block, empty as yet."""
        self._keep(None)
        if self.sums:
            self.sums[-1] = short(self.sums[-1])
        if len(self.sums) == CAPACITY:
            self.per *= 2
            self.sums = [short(a + b) for a, b in zip(self.sums[::2], self.sums[1::2], strict=True)]
            self.ends = self.ends[1::2]
        self.filled = 0
        self.sums.append(0.0)
        self.ends.append(step)

    def clear(self) -> None:
        self._keep(None)
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

    def whole(self) -> Part:
        """All rows."""
        sums = self.sums
        if not sums:
            return 0, 0.0
        count = (len(sums) - 1) * self.per + self.filled
        return count, sum(sums) / count

    def part(self, after: float, until: float) -> Part:
        """The rows in the blocks that end in (after, until]."""
        return self.parts((after, until))[0]

    def quarters(self, step: float) -> list[Part]:
        """The parts up to a step, four of equal length.

        The first three change when a border passes the end of a block, not with each row: so they are kept till then.
        """
        if self._kept is not None and self.ends[-1] <= step:
            since, until, place, before = self._kept
            if since <= step <= until:
                count = (len(self.ends) - place) * self.per - (self.per - self.filled)
                return [*before, (count, sum(self.sums[place:]) / count)]
        borders = (0, step / 4, step / 2, step * 3 / 4, step)
        found = self.parts(borders)
        places = [bisect_left(self.ends, border + 1e-9) for border in borders[1:4]]
        if places[2] < len(self.ends):
            a, b, c = (self.ends[place] for place in places)
            self._keep((step, min(4 * a, 2 * b, 4 * c / 3) - 1, places[2], found[:3]))
        return found

    def parts(self, borders: Sequence[float]) -> list[Part]:
        """The parts between neighbouring borders, which ascend: one look for each border, where `part` takes two."""
        ends, sums, found = self.ends, self.sums, list[Part]()
        low = bisect_left(ends, borders[0] + 1e-9)
        for border in borders[1:]:
            high = bisect_left(ends, border + 1e-9)
            if low < high:
                count = (high - low) * self.per - (self.per - self.filled if high == len(ends) else 0)
                found.append((count, sum(sums[low:high]) / count))
            else:
                found.append((0, 0.0))
            low = high
        return found


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
        if y <= limit and level <= limit:
            self.since = step
            if self.rows:
                self.rows = 0
                self.blocks.clear()
            return
        self.rows += 1
        self.blocks.add(step, y)
        if self.rows == 1 or level > self.peak:
            self.peak, self.peak_step = level, step
