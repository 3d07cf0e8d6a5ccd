"""Which rows are known: against a plain set of keys, whatever comes in whatever order."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.service.known import KnownRows, RowKey

_small = st.integers(0, 6)
rows = st.one_of(
    st.builds(TrainRow, _small, _small, st.just(1.0)),
    st.builds(EvalRow, _small, _small, st.just(1.0)),
)


def key(row: Row) -> RowKey:
    return ("train" if isinstance(row, TrainRow) else "eval", row.step, row.at_ns)


@given(answers=st.lists(st.lists(rows), max_size=5), stored=st.lists(rows), cut=_small)
def test_a_row_is_new_once_and_known_until_it_is_forgotten(
    answers: Sequence[Sequence[Row]], stored: Sequence[Row], cut: int
) -> None:
    known, plain = KnownRows(), set[RowKey]()
    for number, answer in enumerate(answers):
        fresh = known.unseen(answer)
        assert {("train", *pair) for pair in known.times().items() if pair[0] >= 0} <= plain
        new = list(dict.fromkeys(k for k in map(key, answer) if k not in plain))
        timed = all(row.at_ns for row in answer)

        assert list(map(key, fresh)) == (sorted(new, key=lambda k: k[2]) if timed else new)
        known.add(fresh)
        plain |= set(map(key, fresh))
        if number == 1:
            known.update(map(key, stored))
            plain |= set(map(key, stored))
        if number == 2:
            known.forget_before(cut)
            plain = {k for k in plain if k[1] >= cut}
        assert (len(known), set(known)) == (len(plain), plain)


def test_numbers_as_large_as_the_store_has_them_are_told_apart() -> None:
    largest = 2**63 - 1
    known = KnownRows([("train", largest, largest), ("eval", largest, largest)])

    answer: list[Row] = [TrainRow(largest, largest, 1.0), EvalRow(largest, largest - 1, 1.0)]

    assert known.unseen(answer) == [EvalRow(largest, largest - 1, 1.0)]
