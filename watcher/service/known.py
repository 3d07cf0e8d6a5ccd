"""Which rows of a job were seen already: what tells the new ones of an answer from those that it repeats."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from operator import attrgetter

from watcher.domain.feed import arrival_order
from watcher.domain.observations import Row, TrainRow

RowKey = tuple[int, int]
"""(step, timestamp in ns) makes a row the same row; the step of an evaluation stands as `~step`, below zero."""

_AT = attrgetter("at_ns")


def key_of(row: Row) -> RowKey:
    """The key of a row."""
    return (row.step if isinstance(row, TrainRow) else ~row.step, row.at_ns)


class KnownRows:
    """The keys of some dozens of rows, 16 bytes since thousands of jobs keep them: as tuples in a set they took 170.

    What an answer is held against is made anew for each, of numbers alone: the set of pairs that it once was had a
    hundred tuples for each request under way, which the search for garbage went through again and again: 100 µs a poll.
    """

    __slots__ = ("_flat", "_top")

    def __init__(self, keys: Iterable[RowKey] = ()) -> None:
        self._flat = array("q")
        self._top = -1
        """No train row of a higher step is known."""
        self._extend(keys)

    def __len__(self) -> int:
        return len(self._flat) // 2

    def __iter__(self) -> Iterator[RowKey]:
        return iter(self._each())

    def add(self, rows: Sequence[Row]) -> None:
        """Rows were seen."""
        self._extend(map(key_of, rows))

    def precede(self, keys: Iterable[RowKey]) -> None:
        """Older rows are known too, none of which was."""
        self._flat, newer = array("q"), self._flat
        self._extend(keys)
        self._flat += newer

    def _extend(self, keys: Iterable[RowKey]) -> None:
        numbers = [*chain.from_iterable(keys)]
        self._flat.fromlist(numbers)
        self._top = max(self._top, max(numbers[::2], default=-1))

    def leading(self, keys: "array[int]") -> int:
        """How many train rows at the beginning of an answer are known, where they follow each other as they did before.

        Given as (step, at_ns, step, at_ns, …), as they are kept: so the fifty that a poll repeats take one comparison.
        """
        try:
            place = self._flat.index(keys[1]) - 1
        except (IndexError, ValueError):
            return 0
        same = self._flat[place : place + len(keys)] if place >= 0 and place % 2 == 0 else keys[:0]
        if same == keys[: len(same)]:
            return len(same) // 2
        differs = next(number for number, pair in enumerate(zip(same, keys, strict=False)) if pair[0] != pair[1])
        return differs // 2

    def unseen(self, rows: Sequence[Row]) -> list[Row]:
        """The rows that are not known, each once, in the order in which they were logged."""
        step, at_ns = self._top, 1
        for row in rows:
            if type(row) is not TrainRow or row.step <= step or row.at_ns < at_ns:
                return self._unseen(rows)
            step, at_ns = row.step, row.at_ns
        return list(rows)

    def _unseen(self, rows: Sequence[Row]) -> list[Row]:
        """The same for those among which there is more than train rows that go on from the known ones."""
        found = dict[RowKey, Row]()
        for row in rows:
            found.setdefault(key_of(row), row)
        if not {place for place, _ in found}.isdisjoint(self._flat[::2]):
            for key in self._each():
                found.pop(key, None)
        fresh = list(found.values())
        return arrival_order(fresh) if all(map(_AT, rows)) else fresh

    def forget_before(self, step: int) -> None:
        """Keys of rows before a step are asked for no more."""
        of_eval = ~step
        kept = [number for key in self._each() if key[0] >= step or key[0] <= of_eval for number in key]
        self._flat = array("q", kept)

    def _each(self) -> Iterable[RowKey]:
        numbers = self._flat.tolist()
        return zip(numbers[::2], numbers[1::2], strict=True)


NONE_KNOWN = KnownRows()
"""For one who has seen nothing: to be read only."""
