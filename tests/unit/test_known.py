"""Which rows are known: against a plain set of keys, whatever comes in whatever order."""

import math
from array import array
from collections.abc import Sequence
from datetime import timedelta
from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from tests.stored import JOB, NOW, a_snapshot
from watcher.domain.cadence import from_step
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.observations import EvalRow, Row, Status, TrainRow
from watcher.service.book import new_book
from watcher.service.config import Selection
from watcher.service.known import KnownRows, RowKey, key_of

SELECTION = Selection(name="all", rules=(), policy=CancelPolicy())
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


@given(
    polls=st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from([False] * 7 + [True]), st.sampled_from([False] * 7 + [True])),
        min_size=4,
        max_size=12,
    ),
    evals=st.none() | st.integers(2, 6),
    first=st.integers(0, 150),
)
def test_all_stored_rows_from_some_step_on_are_known(
    polls: list[tuple[int, bool, bool]], evals: int | None, first: int
) -> None:
    """Whatever was forgotten: rows come and evaluations, and the window goes back to the last one, at times long."""
    job = a_snapshot(n_evals=evals, total_steps=600, status=Status.RUNNING)
    book = new_book(JOB, job, SELECTION, NOW)
    stored, step, now = dict[RowKey, int](), 0, NOW
    for count, evaluated, wide in [(first, False, False), *polls]:
        now += timedelta(minutes=11 if wide else 1)
        start = from_step(book.state.pace, job, now)
        if book.known_from is None or start < book.known_from:
            before = math.inf if book.known_from is None else book.known_from
            book.known.precede([key for key, at in stored.items() if start <= at < before])
            book.known_from = start
        rows: list[Row] = [TrainRow(step + i, step + i, 1.0) for i in range(1, count + 1)]
        step += count
        rows += [EvalRow(step, step, 1.0)] if evaluated and (~step, step) not in stored else []
        book.known.add(rows)
        book.state.pace.take(rows, now)
        stored |= {key_of(row): row.step for row in rows}
        book.forget_old_keys()

        known = list(book.known)
        assert {key for key, at in stored.items() if at >= book.known_from} == set(known)
        assert len(known) == len(set(known))
