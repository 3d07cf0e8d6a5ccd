"""Windows and histories of bounded size."""

import json
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.rules.curves import CURVE_RULES, falling, rows
from watcher.domain.codec import decode, encode
from watcher.domain.stats import CAPACITY, Blocks, Excursion, MedianWindow, RunningMedian

VALUES = st.lists(st.integers(min_value=-1000, max_value=1000), min_size=1, max_size=300)


@given(VALUES, st.lists(st.integers(min_value=1, max_value=40), min_size=1, max_size=3))
def test_a_window_gives_the_median_of_the_last_values(values: list[int], sizes: list[int]) -> None:
    plain, running = MedianWindow(), RunningMedian()
    for i, value in enumerate(values):
        plain.push(value, sizes[i % len(sizes)])
        running.push(value, sizes[i % len(sizes)])
        last = sorted(plain.recent)
        middle = (last[(len(last) - 1) // 2] + last[len(last) // 2]) / 2

        assert plain.recent == running.recent == values[: i + 1][-len(last) :]
        assert plain.median() == running.median() == middle
        assert running.quantile(0.95) == last[int(0.95 * (len(last) - 1))]
    assert len(plain.recent) <= sizes[(len(values) - 1) % len(sizes)]


def test_a_running_median_is_stored_as_its_values_and_goes_on_from_them() -> None:
    kept = RunningMedian()
    for value in (5.0, 1.0, 3.0):
        kept.push(value, 3)
    stored = encode(kept)
    loaded = decode(RunningMedian, stored)
    loaded.push(9.0, 3)

    assert stored == {"recent": [5.0, 1.0, 3.0]}
    assert (kept.median(), loaded.median()) == (3.0, 3.0)
    loaded.clear()
    assert (loaded.median(), loaded.quantile(0.5), encode(loaded)) == (0.0, 0.0, {"recent": []})


@given(VALUES)
def test_blocks_keep_count_and_mean(values: list[int]) -> None:
    blocks = Blocks()
    for i, value in enumerate(values):
        blocks.add(i, value)
    count, mean = blocks.part(-1, len(values))

    assert count == blocks.rows == len(values)
    assert abs(mean - sum(values) / len(values)) < 0.01
    assert len(blocks.sums) <= CAPACITY


def test_a_part_of_a_history_is_exact_up_to_a_block() -> None:
    blocks = Blocks()
    for i in range(1000):
        blocks.add(i, 1.0 if i >= 500 else 0.0)
    count, mean = blocks.part(599, 999)

    assert mean == 1.0
    assert abs(count - 400) <= 1000 / (CAPACITY / 2)


def test_a_part_without_rows_has_none() -> None:
    assert Blocks().part(0, 10) == (0, 0.0)
    assert Blocks().rows == 0
    assert Blocks().highest() < 0


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(-9, 9)), min_size=1, max_size=200))
def test_quarters_are_the_parts_whatever_was_asked_before(rows: list[tuple[int, int]]) -> None:
    blocks, step = Blocks(), 0
    for more, other in rows:
        step += more
        blocks.add(step, float(other))
        for asked in (step, max(1, step + other)):
            borders = (0, asked / 4, asked / 2, asked * 3 / 4, asked)

            assert blocks.quarters(asked) == blocks.parts(borders)
    blocks.clear()

    assert blocks.quarters(step) == [(0, 0.0)] * 4


def test_the_highest_block_is_that_of_full_blocks() -> None:
    blocks = Blocks()
    for i in range(CAPACITY):
        blocks.add(i, float(i))

    assert blocks.highest() == CAPACITY - 1
    blocks.add(CAPACITY, 99.0)
    assert blocks.highest() == CAPACITY - 1.5


def test_parts_lie_between_their_borders() -> None:
    blocks = Blocks()
    for i in range(100):
        blocks.add(i, float(i))
    borders = (-1, 20.5, 50, 99)

    assert blocks.parts(borders) == [blocks.part(a, b) for a, b in pairwise(borders)]
    assert blocks.whole() == blocks.part(-1, 99)
    assert Blocks().whole() == (0, 0.0)


def test_an_excursion_begins_at_the_last_row_that_was_not_above() -> None:
    excursion = Excursion()
    for step, y in enumerate([0.0, 0.0, 1.0, 2.0, 1.5]):
        excursion.follow(step, y, y, 0.1)

    assert (excursion.since, excursion.rows, excursion.peak, excursion.peak_step) == (1, 3, 2.0, 3)


def test_states_do_not_grow_with_the_run() -> None:
    """All rules over curves together: 8 kB a job."""
    size = 0
    for rule in CURVE_RULES:
        state = rule.start()
        for row in rows(falling(5000, noise=0.3), evals=[(20 * i, 1.0 + 0.01 * i) for i in range(1, 200)]):
            if isinstance(row, rule.sees):
                rule.observe(state, row)
        size += len(json.dumps(encode(state)))

    assert size < 8192
