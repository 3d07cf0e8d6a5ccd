"""Which rows of a job were seen already: what tells the new ones of an answer from those that it repeats."""

from array import array
from collections.abc import Iterable, Iterator, Sequence

from watcher.domain.feed import arrival_order
from watcher.domain.observations import Row, TrainRow

RowKey = tuple[str, int, int]
"""(train or eval, step, timestamp in ns): what makes a row the same row."""

Pair = tuple[int, int]
"""(step, timestamp in ns), the step of an evaluation as `~step`: both are 64-bit numbers, as in the store."""


class KnownRows:
    """The keys of some dozens of rows, 16 bytes since thousands of jobs keep them: as tuples in a set they took 170.

    The set that an answer is held against (`pairs`) is made anew for each answer, which takes about 5 µs.
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
        pairs = [(row.step if isinstance(row, TrainRow) else ~row.step, row.at_ns) for row in rows]
        self._flat.extend([number for pair in pairs for number in pair])

    def update(self, keys: Iterable[RowKey]) -> None:
        """Rows that the store has, some of which may be known."""
        found = {(step if kind == "train" else ~step, at_ns) for kind, step, at_ns in keys}
        for pair in sorted(found.difference(self._each())):
            self._flat.extend(pair)

    def pairs(self) -> set[Pair]:
        """What tells a known row from a new one, for `unseen`."""
        return set(self._each())

    def forget_before(self, step: int) -> None:
        """Keys of rows before a step are asked for no more."""
        kept = array("q")
        for pair in self._each():
            if (pair[0] if pair[0] >= 0 else ~pair[0]) >= step:
                kept.extend(pair)
        self._flat = kept

    def _each(self) -> Iterable[Pair]:
        return zip(self._flat[::2], self._flat[1::2], strict=True)


def unseen(rows: Sequence[Row], seen: set[Pair]) -> list[Row]:
    """The rows that were not seen, each once, in the order in which they were logged; they are added to `seen`."""
    found = list[Row]()
    for row in rows:
        pair = (row.step if isinstance(row, TrainRow) else ~row.step, row.at_ns)
        if pair not in seen:
            seen.add(pair)
            found.append(row)
    return arrival_order(found) if all(row.at_ns for row in rows) else found
