"""The course of evaluations: the documented algorithm, its two readings, and a stranger that must agree."""

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from watcher.domain.early_stopping import (
    READINGS,
    Course,
    EarlyStopping,
    Evaluation,
    Reading,
    course,
    courses,
    evaluations_of,
    lowest,
)
from watcher.domain.observations import EvalRow, Row, TrainRow, finite
from watcher.simulator.early_stopping import EarlyStopping as SimulatedEarlyStopping
from watcher.simulator.early_stopping import Halt

TWO = EarlyStopping(patience=2)
NAN = math.nan


def evals(*losses: float | None) -> list[Evaluation]:
    """One every 12 steps."""
    return [Evaluation(12 * i, loss) for i, loss in enumerate(losses, start=1)]


def told(found: Course) -> tuple[int | None, list[int], int | None]:
    """(best, bad, halt) as numbers of evaluations."""
    bad = [evaluation.step // 12 for evaluation in found.bad]
    return found.best.step // 12 if found.best else None, bad, found.halt.step // 12 if found.halt else None


@pytest.mark.parametrize(
    ("knobs", "losses", "expected"),
    [
        pytest.param(TWO, [], (None, [], None), id="nothing yet"),
        pytest.param(TWO, [0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388], (4, [5, 6], 6), id="the documented example"),
        pytest.param(TWO, [0.5, 0.5], (1, [2], None), id="equal is no improvement"),
        pytest.param(TWO, [0.5, 0.6, 0.4], (3, [], None), id="an improvement resets the count"),
        pytest.param(TWO, [0.5, 0.6, 0.7, 0.1], (1, [2, 3], 3), id="nothing counts after the halt"),
        pytest.param(EarlyStopping(patience=2, warmup=2), [0.5, 0.6, 0.7], (1, [3], None), id="warm-up is not counted"),
        pytest.param(EarlyStopping(patience=2, warmup=2), [0.5, 0.4, 0.5], (2, [3], None), id="but moves the best"),
        pytest.param(EarlyStopping(patience=2, warmup=0), [0.5, 0.6], (1, [2], None), id="no warm-up"),
        pytest.param(EarlyStopping(patience=1, warmup=0), [0.5], (1, [], None), id="the first is never a bad one"),
        pytest.param(EarlyStopping(patience=2, min_delta=0.1), [0.5, 0.45, 0.35], (3, [], None), id="small, enough"),
        pytest.param(TWO, [None, 0.5], (None, [], 1), id="not finite halts at once, warm-up or not"),
        pytest.param(TWO, [0.5, None, 0.4], (1, [], 2), id="not finite ships the best before it"),
    ],
)
def test_course(knobs: EarlyStopping, losses: list[float | None], expected: Any) -> None:
    assert told(course(evals(*losses), knobs)) == expected


def test_the_documented_example_halts_at_step_72_and_ships_48() -> None:
    found = course(evals(0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388), TWO)

    assert found.halt == Evaluation(72, 0.4388)
    assert found.ships == 48


def test_without_a_finite_evaluation_the_halt_itself_is_shipped() -> None:
    assert course(evals(None), TWO).ships == 12
    assert course(evals(0.5), TWO).ships is None


@pytest.mark.parametrize(
    ("reading", "losses", "expected"),
    [
        # 0.5 - 0.45 is a little less than 0.05 in binary, and 0.05 to whoever wrote it.
        pytest.param(Reading(), [0.5, 0.45, 0.45], (1, [2, 3], 3), id="exactly min_delta is bad"),
        pytest.param(Reading(at_delta=True), [0.5, 0.45, 0.45], (2, [3], None), id="exactly min_delta is good"),
        pytest.param(Reading(), [0.5, 0.47, 0.44], (3, [], None), id="small ones add up against a best that stays"),
        pytest.param(Reading(any_lower=True), [0.5, 0.47, 0.44], (3, [2, 3], 3), id="and don't where it moves"),
        pytest.param(Reading(any_lower=True), [0.5, 0.47, 0.48], (2, [2, 3], 3), id="the lower one is shipped"),
    ],
)
def test_readings_of_min_delta(reading: Reading, losses: list[float | None], expected: Any) -> None:
    assert told(course(evals(*losses), EarlyStopping(patience=2, min_delta=0.05), reading)) == expected


def test_only_readings_that_differ_are_told() -> None:
    delta = EarlyStopping(patience=2, min_delta=0.05)

    assert list(courses(evals(0.5, 0.6, 0.7), delta)) == [Reading()]
    assert list(courses(evals(0.5, 0.45, 0.45), delta)) == list(READINGS[:3])
    assert len({str(reading) for reading in READINGS}) == 4


@pytest.mark.parametrize("knobs", [{"patience": 0}, {"patience": 2, "min_delta": -1.0}, {"patience": 2, "warmup": -1},
                                   {"patience": 2, "min_delta": NAN}])  # fmt: skip
def test_knobs_that_the_service_would_refuse(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least"):
        EarlyStopping(**knobs)


# --- beside the simulator's, which was written apart ---

# Where losses and min_delta are multiples of a power of two, a difference is exact and equality means equality.
EXACT = st.integers(0, 64).map(lambda n: n / 64)
BROKEN = st.sampled_from([NAN, math.inf, -math.inf, None])
KNOBS = {"patience": st.integers(1, 5), "warmup": st.integers(0, 4)}


def compare(losses: list[float | None], patience: int, warmup: int, min_delta: float) -> None:
    steps = [(12 * i, loss) for i, loss in enumerate(losses, start=1)]
    theirs = SimulatedEarlyStopping(patience=patience, min_delta=min_delta, warmup_evals=warmup).halt(steps)
    knobs = EarlyStopping(patience=patience, min_delta=min_delta, warmup=warmup)
    found = course([Evaluation(step, finite(loss)) for step, loss in steps], knobs)

    if found.halt is None:
        assert theirs is None
        return
    assert found.ships is not None
    assert theirs == Halt(found.seen, found.halt.step, found.ships, found.best.loss if found.best else None)


@given(losses=st.lists(EXACT | BROKEN, max_size=20), min_delta=EXACT, **KNOBS)
@example(losses=[0.5, 0.25, 0.25], patience=2, warmup=1, min_delta=0.25)
def test_the_simulator_agrees_whatever_min_delta_is(
    losses: list[float | None], patience: int, warmup: int, min_delta: float
) -> None:
    compare(losses, patience, warmup, min_delta)


@given(losses=st.lists(st.floats() | st.none(), max_size=20), **KNOBS)
def test_the_simulator_agrees_on_any_losses(losses: list[float | None], patience: int, warmup: int) -> None:
    compare(losses, patience, warmup, 0.0)


@given(losses=st.lists(EXACT | BROKEN, max_size=20), min_delta=EXACT, **KNOBS)
def test_what_every_reading_keeps_to(losses: list[float | None], patience: int, warmup: int, min_delta: float) -> None:
    knobs = EarlyStopping(patience=patience, min_delta=min_delta, warmup=warmup)
    seen = evals(*(finite(loss) for loss in losses))
    for reading in READINGS:
        found = course(seen, knobs, reading)
        assert found.best is None or found.best.loss is not None
        assert all(evaluation.loss is not None for evaluation in found.bad)
        assert len(found.bad) <= patience
        if found.halt is not None and found.halt.loss is not None:
            assert found.seen >= knobs.earliest
            assert found.bad[-1] == found.halt


# --- evaluations of rows ---


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([], [], id="no rows"),
        pytest.param([TrainRow(1, 1, 1.0), EvalRow(1, 1, NAN)], [(1, None)], id="not finite"),
        pytest.param([EvalRow(10, 1, 0.5), EvalRow(10, 2, 0.4)], [(10, 0.4)], id="the newest of a step counts"),
        pytest.param(
            [EvalRow(10, 1, 0.5), EvalRow(20, 2, 0.4), TrainRow(15, 3, 1.0), TrainRow(30, 4, 1.0), EvalRow(30, 4, 0.3)],
            [(10, 0.5), (30, 0.3)],
            id="what a restart goes back behind is over",
        ),
        pytest.param([EvalRow(10, 1, 0.5), EvalRow(5, 2, 0.4)], [(5, 0.4)], id="also without train rows"),
    ],
)
def test_evaluations_of_rows(rows: list[Row], expected: list[tuple[int, float | None]]) -> None:
    assert [(e.step, e.loss) for e in evaluations_of(rows)] == expected


def test_the_lowest_is_the_first_of_the_lowest_finite_ones() -> None:
    assert lowest(evals(None, 0.5, 0.4, 0.4)) == Evaluation(36, 0.4)
    assert lowest(evals(None)) is None
