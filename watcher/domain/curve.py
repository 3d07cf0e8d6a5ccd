"""A loss curve of any length in at most 64 buckets, and its picture in block characters."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from struct import Struct
from typing import ClassVar, NamedTuple

from watcher.domain.packed import Packed

CAPACITY = 64
"""Buckets; an even number, since neighbours are merged when all are full."""

GAP = "·"
NOT_FINITE = "×"
_BLOCKS = "▁▂▃▄▅▆▇█"
_LARGEST = 1e300
"""A loss beyond this is drawn as this: sums and differences of such numbers must stay finite."""


Point = tuple[float | None, int]
"""(value, step) of a row; None when it had no value."""


class Bucket(NamedTuple):
    """Neighbouring rows as one point: how many, how many of them finite or not finite, and the mean of the finite.

    A row that is neither finite nor not finite had no value. `end` is the step of the last row. A tuple, since a job's
    state holds up to 64 and is stored at every poll: as an array it takes a quarter of the room of an object.
    """

    rows: int = 0
    finite: int = 0
    bad: int = 0
    mean: float = 0.0
    end: int = 0

    def plus(self, points: Iterable[Point]) -> "Bucket":
        """With more rows."""
        rows, finite, bad, mean, end = self
        for value, step in points:
            rows, end = rows + 1, step
            if value is None:
                continue
            if not math.isfinite(value):
                bad += 1
                continue
            finite += 1
            mean += ((value if -_LARGEST <= value <= _LARGEST else math.copysign(_LARGEST, value)) - mean) / finite
        return Bucket(rows, finite, bad, mean, end)

    def joined(self, after: "Bucket") -> "Bucket":
        """With the rows of the next bucket."""
        finite = self.finite + after.finite
        mean = self.mean + (after.mean - self.mean) * (after.finite / finite) if after.finite else self.mean
        return Bucket(self.rows + after.rows, finite, self.bad + after.bad, mean, after.end)

    @property
    def value(self) -> float | None:
        """The mean of the finite rows; NaN when at least as many were not finite; None when no row had a value."""
        if self.bad and self.bad >= self.finite:
            return math.nan
        return self.mean if self.finite else None


class Buckets(Packed[Bucket]):
    """Those of a curve: every job keeps up to 64."""

    __slots__ = ()
    ITEM: ClassVar = Bucket
    FORM: ClassVar = Struct("<3qdq")


@dataclass(slots=True)
class Curve:
    """A series of rows, downsampled as it grows: each bucket holds `stride` rows, which doubles when all are full."""

    stride: int = 1
    buckets: Buckets = field(default_factory=Buckets)

    def add(self, value: float | None, step: int = 0) -> None:
        """The next row's value and step; None when it had no value."""
        self.extend([(value, step)])

    def extend(self, points: Sequence[Point]) -> None:
        """The next rows: each bucket that they fill is made once, however many of them it takes."""
        taken = 0
        while taken < len(points):
            last = self.buckets[-1] if self.buckets else None
            if last is None or last.rows >= self.stride:
                if len(self.buckets) == CAPACITY:
                    self._halve()
                part = points[taken : taken + self.stride]
                self.buckets.append(Bucket().plus(part))
            else:
                part = points[taken : taken + self.stride - last.rows]
                self.buckets[-1] = last.plus(part)
            taken += len(part)

    def values(self) -> list[float | None]:
        """One value a bucket, oldest first: a number, NaN for rows that were not finite, None for a gap."""
        return [bucket.value for bucket in self.buckets]

    def _halve(self) -> None:
        self.stride *= 2
        buckets = list(self.buckets)
        self.buckets = Buckets(left.joined(right) for left, right in zip(buckets[::2], buckets[1::2], strict=True))


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The series as at most `width` block characters, lowest to highest; `·` is a gap and `×` was not finite.

    A flat series is drawn in the middle. More values than `width` are drawn as the means of neighbours.
    """
    points = [_point(part) for part in _parts(values, width)]
    finite = [p for p in points if p is not None and math.isfinite(p)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    return "".join(_block(point, low, high) for point in points)


def _parts(values: Sequence[float | None], width: int) -> list[Sequence[float | None]]:
    count = max(0, min(width, len(values)))
    edges = [i * len(values) // count for i in range(count + 1)] if count else [0]
    return [values[a:b] for a, b in pairwise(edges)]


def _point(values: Sequence[float | None]) -> float | None:
    return Bucket().plus([(value, 0) for value in values]).value


def _block(point: float | None, low: float, high: float) -> str:
    if point is None:
        return GAP
    if not math.isfinite(point):
        return NOT_FINITE
    if high <= low:
        return _BLOCKS[len(_BLOCKS) // 2 - 1]
    return _BLOCKS[min(len(_BLOCKS) - 1, int((point - low) / (high - low) * len(_BLOCKS)))]
