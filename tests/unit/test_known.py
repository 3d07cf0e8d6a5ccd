"""Which rows are known: against a plain set of keys, whatever comes in whatever order."""

from array import array
from collections.abc import Sequence
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.service.known import KnownRows, RowKey, key_of

_small = st.integers(0, 6)
rows = st.one_of(
    st.builds(TrainRow, _small, _small, st.just(1.0)),
    st.builds(EvalRow, _small, _small, st.just(1.0)),
)


def step_of(key: RowKey) -> int:
    return key[0] if key[0] >= 0 else ~key[0]


@given(answers=st.lists(st.lists(rows), max_size=5), stored=st.lists(rows), cut=_small)
def test_a_row_is_new_once_and_known_until_it_is_forgotten(
    answers: Sequence[Sequence[Row]], stored: Sequence[Row], cut: int
) -> None:
    known, plain = KnownRows(), set[RowKey]()
    for number, answer in enumerate(answers):
        fresh = known.unseen(answer)
        new = list(dict.fromkeys(k for k in map(key_of, answer) if k not in plain))
        timed = all(row.at_ns for row in answer)

        assert list(map(key_of, fresh)) == (sorted(new, key=lambda k: k[1]) if timed else new)
        known.add(fresh)
        plain |= set(map(key_of, fresh))
        if number == 1:
            more = set(map(key_of, stored)) - plain
            known.precede(more)
            plain |= more
        if number == 2:
            known.forget_before(cut)
            plain = {k for k in plain if step_of(k) >= cut}
        assert (len(known), set(known)) == (len(plain), plain)


def test_numbers_as_large_as_the_store_has_them_are_told_apart() -> None:
    largest = 2**63 - 1
    known = KnownRows([(largest, largest), (~largest, largest)])

    answer: list[Row] = [TrainRow(largest, largest, 1.0), EvalRow(largest, largest - 1, 1.0)]

    assert known.unseen(answer) == [EvalRow(largest, largest - 1, 1.0)]


@given(known=st.lists(st.tuples(_small, _small)), keys=st.lists(st.tuples(_small, _small)))
def test_what_leads_an_answer_is_known_in_its_order(known: list[RowKey], keys: list[RowKey]) -> None:
    count = KnownRows(known).leading(array("q", chain.from_iterable(keys)))

    runs = [known[place : place + count] for place in range(len(known) - count + 1)]
    assert keys[:count] in runs


def test_the_rows_that_a_poll_repeats_lead_its_answer() -> None:
    known = KnownRows((step, step * 10**9) for step in range(10, 100))
    known.precede((step, step * 10**9) for step in range(10))
    answer = [(step, step * 10**9) for step in range(5, 105)]

    assert known.leading(array("q", chain.from_iterable(answer))) == 95
