"""Where a row belongs among those that came before it."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watcher.domain.feed import Arrival, Feed, arrival_order, step_order
from watcher.domain.observations import EvalRow, Row, TrainRow


def train(step: int, at: int, loss: float | None = 1.0) -> TrainRow:
    return TrainRow(step, at, loss)


def fed(*rows: Row) -> Feed:
    feed = Feed()
    for row in rows:
        feed.take(row)
    return feed


@pytest.mark.parametrize(
    ("before", "row", "arrival"),
    [
        pytest.param([], train(5, 50), Arrival.NEW, id="the first row"),
        pytest.param([train(5, 50)], train(6, 60), Arrival.NEW, id="the next row"),
        pytest.param([train(5, 50)], train(9, 40), Arrival.NEW, id="a later step, whatever its clock says"),
        pytest.param([train(5, 50)], train(5, 50), Arrival.DUPLICATE, id="the same row"),
        pytest.param([train(5, 50)], train(5, 70), Arrival.DUPLICATE, id="the same numbers, logged again"),
        pytest.param([train(5, 50, math.nan)], train(5, 70, math.nan), Arrival.DUPLICATE, id="NaN equals NaN here"),
        pytest.param([train(5, 50)], train(5, 70, 2.0), Arrival.NEW, id="other numbers for the same step"),
        pytest.param([train(5, 50)], train(3, 60), Arrival.ATTEMPT, id="a newer row of an older step"),
        pytest.param([train(5, 50)], train(3, 40), Arrival.LATE, id="an older row of an older step"),
        pytest.param([train(5, 50)], EvalRow(3, 60, 1.0), Arrival.NEW, id="kinds are ordered apart"),
        pytest.param([EvalRow(5, 50, 1.0)], EvalRow(3, 60, 1.0), Arrival.ATTEMPT, id="evals go back too"),
    ],
)
def test_arrival(before: list[Row], row: Row, arrival: Arrival) -> None:
    assert fed(*before).classify(row) is arrival


@pytest.mark.parametrize(
    ("row", "arrival"),
    [
        pytest.param(train(4, 55), Arrival.SUPERSEDED, id="a row of the attempt that is over"),
        pytest.param(train(9, 55), Arrival.SUPERSEDED, id="even beyond what the present one has reached"),
        pytest.param(EvalRow(4, 55, 1.0), Arrival.SUPERSEDED, id="an eval of it"),
        pytest.param(train(2, 20), Arrival.LATE, id="a row from before the step at which it began counts on"),
        pytest.param(train(6, 80), Arrival.NEW, id="a row of the present attempt"),
        pytest.param(train(6, 0), Arrival.NEW, id="a row without a time is taken as it comes"),
    ],
)
def test_rows_after_another_attempt_has_begun(row: Row, arrival: Arrival) -> None:
    feed = fed(train(3, 30), train(8, 50))
    feed.restart([train(3, 30)])
    feed.begin_attempt(train(4, 60))
    feed.take(train(4, 60))
    feed.take(train(5, 70))

    assert feed.classify(row) is arrival


def test_a_late_row_does_not_become_the_newest() -> None:
    feed = fed(train(5, 50), train(3, 40))

    assert feed.train == train(5, 50)


def test_rows_are_taken_as_they_were_logged() -> None:
    rows: list[Row] = [train(3, 30), EvalRow(2, 25, 1.0), train(2, 20)]

    assert arrival_order(rows) == [rows[2], rows[1], rows[0]]
    assert arrival_order([*rows, train(1, 0)]) == [*rows, train(1, 0)]


def test_rows_of_one_attempt_stand_by_step_and_train_before_eval() -> None:
    rows: list[Row] = [EvalRow(2, 25, 1.0), train(3, 30), train(2, 20), train(1, 40)]

    assert step_order(rows) == [rows[3], rows[2], rows[0], rows[1]]


_small = st.integers(0, 6)
any_rows = st.lists(
    st.one_of(
        st.builds(TrainRow, _small, _small, st.sampled_from([1.0, 2.0])),
        st.builds(EvalRow, _small, _small, st.sampled_from([1.0, 2.0])),
    ),
    max_size=6,
)
some_rows = any_rows | st.sets(_small, min_size=1).map(lambda steps: [train(step, step) for step in sorted(steps)])


@given(before=some_rows, attempt=st.none() | st.builds(train, _small, _small), rows=some_rows)
def test_rows_go_back_when_one_of_them_does_in_its_turn(
    before: list[Row], attempt: TrainRow | None, rows: list[Row]
) -> None:
    feed = fed(*before)
    if attempt is not None:
        feed.begin_attempt(attempt)
    foreseen, back = feed.goes_back(rows), False
    for row in rows:
        arrival = feed.classify(row)
        back |= arrival in (Arrival.ATTEMPT, Arrival.LATE)
        if arrival is Arrival.NEW:
            feed.take(row)
        if back:
            break

    assert foreseen is back


@given(before=some_rows, attempt=st.none() | st.builds(train, _small, _small), rows=some_rows)
def test_new_rows_are_taken_up_to_the_first_that_is_not(
    before: list[Row], attempt: TrainRow | None, rows: list[Row]
) -> None:
    one_by_one, at_once = fed(*before), fed(*before)
    if attempt is not None:
        one_by_one.begin_attempt(attempt)
        at_once.begin_attempt(attempt)
    new = list[Row]()
    for row in rows:
        if one_by_one.classify(row) is not Arrival.NEW:
            break
        one_by_one.take(row)
        new.append(row)

    assert list(at_once.take_new(rows)) == new
    assert at_once == one_by_one
