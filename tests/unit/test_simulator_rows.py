"""The order, the time stamps and the filters of metric rows, against a plain reading of what they should be."""

import json
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from watcher.domain.observations import EvalRow, TrainRow
from watcher.domain.replay import merge
from watcher.simulator.rows import MetricsQuery, RowTable
from watcher.simulator.runs import EvalPoint, Run, TrainPoint

BORN = 1_795_000_000_000_000_000

# Attempts of a run: each begins at a step and goes on in strides; the next may begin anywhere.
_attempts = st.lists(
    st.tuples(st.integers(0, 30), st.integers(1, 5), st.integers(1, 20)).map(
        lambda t: list(range(t[0], t[0] + t[1] * t[2], t[1]))
    ),
    max_size=3,
).map(lambda attempts: [step for attempt in attempts for step in attempt])
_bound = st.none() | st.integers(-5, 140)
_share = st.none() | st.floats(0, 1)


def _table(train: list[int], evals: list[int]) -> RowTable:
    run = Run(
        id="run",
        train=[TrainPoint(step, 1.0, None, None) for step in train],
        evals=[EvalPoint(step, 2.0) for step in evals],
    )
    return RowTable(run, speed=10, start_ns=0, n_epochs=None)


def _rows(table: RowTable, query: MetricsQuery | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(table.json(len(table), query or MetricsQuery(), BORN))
    return rows


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or low <= value) and (high is None or value <= high)


@given(_attempts, _attempts)
def test_stamps_rise_and_no_row_is_stamped_after_it_can_be_seen(train: list[int], evals: list[int]) -> None:
    table = _table(train, evals)
    stamps = [row["timestamp"] for row in _rows(table)]

    assert all(a < b for a, b in pairwise(stamps))
    assert all(stamp <= BORN + seen for stamp, seen in zip(stamps, table.visible, strict=True))
    assert [row["train/global_step"] for row in _rows(table) if "eval/loss" not in row] == train
    assert [row["train/global_step"] for row in _rows(table) if "eval/loss" in row] == evals


@given(st.sets(st.integers(1, 99)), st.sets(st.integers(1, 99)))
def test_without_a_restart_rows_come_by_step_and_train_first(train: set[int], evals: set[int]) -> None:
    table = _table(sorted(train), sorted(evals))
    order = list(zip(table.steps, table.is_eval, strict=True))

    assert order == sorted(order)
    for (step, _), (next_step, _), seen, next_seen in zip(
        order, order[1:], table.visible, table.visible[1:], strict=False
    ):
        assert (seen == next_seen) == (step == next_step)


@given(_attempts, _attempts)
def test_the_order_is_that_of_replay(train: list[int], evals: list[int]) -> None:
    """The two are written apart, and a back-test must see what the watcher would have seen."""
    table = _table(train, evals)
    replayed = merge([TrainRow(step, 0, 1.0) for step in train], [EvalRow(step, 0, 2.0) for step in evals])

    assert list(zip(table.steps, table.is_eval, strict=True)) == [(r.step, isinstance(r, EvalRow)) for r in replayed]


@given(_attempts, _attempts, st.tuples(_bound, _bound), st.tuples(_share, _share))
def test_bisection_finds_what_a_plain_filter_finds(
    train: list[int],
    evals: list[int],
    steps: tuple[int | None, int | None],
    times: tuple[float | None, float | None],
) -> None:
    table = _table(train, evals)
    rows = _rows(table)
    first, last = (rows[0]["timestamp"], rows[-1]["timestamp"]) if rows else (BORN, BORN)
    ns_from, ns_to = (None if x is None else first + int((last - first) * x) for x in times)
    query = MetricsQuery(step_from=steps[0], step_to=steps[1], ns_from=ns_from, ns_to=ns_to)

    assert _rows(table, query) == [
        row for row in rows if _within(row["train/global_step"], *steps) and _within(row["timestamp"], ns_from, ns_to)
    ]


@given(_attempts, _attempts, st.integers(1, 30))
def test_thinning_keeps_every_evaluation_and_at_most_so_many_train_rows(
    train: list[int], evals: list[int], resolution: int
) -> None:
    table = _table(train, evals)
    rows, thinned = _rows(table), _rows(table, MetricsQuery(resolution=resolution))

    assert [row for row in thinned if "eval/loss" in row] == [row for row in rows if "eval/loss" in row]
    assert sum("eval/loss" not in row for row in thinned) == min(resolution, len(train))
    assert [row for row in rows if row in thinned] == thinned


def test_a_log_that_begins_late_or_rarely_starts_after_one_of_its_own_gaps() -> None:
    late, rare = _table([500, 501, 502], []), _table([10, 20, 30], [25])

    assert late.visible == [100_000_000, 200_000_000, 300_000_000]
    assert rare.visible == [1_000_000_000, 2_000_000_000, 2_500_000_000, 3_000_000_000]
