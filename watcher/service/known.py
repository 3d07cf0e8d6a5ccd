"""Which rows of a job were seen already: what tells the new ones of an answer from those that it repeats."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from watcher.domain.feed import arrival_order
from watcher.domain.observations import Row, TrainRow

RowKey = tuple[str, int, int]
"""(train or eval, step, timestamp in ns): what makes a row the same row."""

Pair = tuple[int, int]
"""(step, timestamp in ns), the step of an evaluation as `~step`: both are 64-bit numbers, as in the store."""

_AT = attrgetter("at_ns")


class KnownRows:
    """The keys of some dozens of rows, 16 bytes since thousands of jobs keep them: as tuples in a set they took 170.

    What an answer is held against is made anew for each, of numbers alone: the set of pairs that it once was had a
    hundred tuples for each request under way, which the search for garbage went through again and again: 100 µs a poll.
    """

    __slots__ = ("_flat",)

    def __init__(self, keys: Iterable[RowKey] = ()) -> None:
        self._flat = array("q")
        self.update(keys)

    def __len__(self) -> int:
        return len(self._flat) // 2

    def __iter__(self) -> Iterator[RowKey]:
        for step, at_ns in self._each():
            yield ("train", step, at_ns) if step >= 0 else ("eval", ~step, at_ns)

    def add(self, rows: Sequence[Row]) -> None:
        """Rows were seen."""
        self._flat.extend([number for row in rows for number in _pair(row)])

    def update(self, keys: Iterable[RowKey]) -> None:
        """Rows that the store has, some of which may be known."""
        found = {(step if kind == "train" else ~step, at_ns) for kind, step, at_ns in keys}
        for pair in sorted(found.difference(self._each())):
            self._flat.extend(pair)

    def times(self) -> dict[int, int]:
        """The time of each train row by its step, for one who may leave out what is known: of two at a step, one."""
        return dict(self._each())

    def unseen(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that are not known, each once, in the order in which they were logged."""
        found = dict[Pair, Row]()
        for row in rows:
            found.setdefault(_pair(row), row)
        if found and not {place for place, _ in found}.isdisjoint(self._flat[::2]):
            for pair in self._each():
                found.pop(pair, None)
        fresh = list(found.values())
        return arrival_order(fresh) if all(map(_AT, rows)) else fresh

    def forget_before(self, step: int) -> None:
        """Keys of rows before a step are asked for no more."""
        kept, of_eval = list[int](), ~step
        for pair in self._each():
            if pair[0] >= step or pair[0] <= of_eval:
                kept += pair
        self._flat = array("q", kept)

    def _each(self) -> Iterable[Pair]:
        numbers = iter(self._flat)
        return zip(numbers, numbers, strict=True)


def _pair(row: Row) -> Pair:
    return (row.step if isinstance(row, TrainRow) else ~row.step, row.at_ns)
