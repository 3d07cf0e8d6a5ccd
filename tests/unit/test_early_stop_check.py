"""What early stopping could do on a plan, and would have done on a run."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_early_stopping import evals
from watcher.domain.early_stop_check import Chance, left, would_have
from watcher.domain.early_stopping import EarlyStopping, course
from watcher.domain.observations import finite

TWO = EarlyStopping(patience=2)
DOCUMENTED = (0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388)


@pytest.mark.parametrize(
    ("knobs", "n_evals", "can", "first", "step", "saved"),
    [
        pytest.param(TWO, 10, True, 3, 36, 84, id="the documented example: 120 steps, 10 evaluations"),
        pytest.param(TWO, 4, True, 3, 90, 30, id="as few as the service takes"),
        pytest.param(TWO, 3, False, None, None, None, id="one too few"),
        pytest.param(EarlyStopping(patience=1, warmup=0), 2, True, 2, 120, 0, id="no warm-up: the first is no bad one"),
        pytest.param(EarlyStopping(patience=1, warmup=5), 7, True, 6, 103, 17, id="a long warm-up"),
        pytest.param(TWO, 0, False, None, None, None, id="no evaluations at all"),
    ],
)
def test_chance(
    knobs: EarlyStopping, *, n_evals: int, can: bool, first: int | None, step: int | None, saved: int | None
) -> None:
    found = Chance(knobs=knobs, n_evals=n_evals, steps=120)

    assert (found.can_fire, found.earliest_eval, found.earliest_step, found.most_steps_saved) == (
        can,
        first,
        step,
        saved,
    )
    assert found.most_saved == (1 - first / n_evals if first else 0.0)
    assert Chance(knobs=knobs, n_evals=n_evals).earliest_step is None


@given(
    losses=st.lists(st.floats(0, 9), max_size=12),
    patience=st.integers(1, 4),
    warmup=st.integers(0, 3),
    extra=st.integers(0),
)
def test_no_finite_run_halts_before_the_earliest(losses: list[float], patience: int, warmup: int, extra: int) -> None:
    knobs = EarlyStopping(patience=patience, warmup=warmup)
    end = course(evals(*losses), knobs)
    chance = Chance(knobs=knobs, n_evals=knobs.least_evals + extra)

    assert chance.can_fire
    assert chance.earliest_eval is not None
    assert end.halt is None or end.seen >= chance.earliest_eval


@given(patience=st.integers(1, 5), warmup=st.integers(0, 5))
def test_the_earliest_halt_is_reached_by_a_run_that_only_gets_worse(patience: int, warmup: int) -> None:
    knobs = EarlyStopping(patience=patience, warmup=warmup)
    chance = Chance(knobs=knobs, n_evals=knobs.least_evals)

    assert course(evals(*range(1, 20)), knobs).seen == chance.earliest_eval


@pytest.mark.parametrize(
    ("losses", "halt", "ships", "better", "lost"),
    [
        pytest.param(DOCUMENTED, 6, 4, None, 0.0, id="the documented example"),
        pytest.param((*DOCUMENTED, 0.5, 0.6), 6, 4, None, 0.0, id="nothing better came later"),
        pytest.param((*DOCUMENTED, 0.42, 0.4), 6, 4, 8, 0.0213, id="a better one came later"),
        pytest.param((None, 0.5), 1, 1, 2, 0.0, id="whatever came after nothing finite is better, by no amount"),
        pytest.param((0.5, None, 0.4), 2, 1, 3, 0.1, id="it went on after a loss that was not finite"),
    ],
)
def test_would_have(
    losses: tuple[float | None, ...], *, halt: int, ships: int, better: int | None, lost: float
) -> None:
    (found,) = would_have(evals(*losses), TWO).values()

    assert found is not None
    assert (found.halt.step, found.ships) == (12 * halt, 12 * ships)
    assert (found.better.step if found.better else None) == (12 * better if better else None)
    assert found.lost == pytest.approx(lost)


def test_a_run_that_it_would_not_have_touched() -> None:
    assert list(would_have(evals(0.5, 0.4, 0.3), TWO).values()) == [None]


def test_readings_that_come_to_the_same_are_one() -> None:
    knobs = EarlyStopping(patience=2, min_delta=0.05)

    # Halts at the third and ships the first or the second; or halts at the fourth.
    assert len(would_have(evals(0.5, 0.45, 0.45, 0.46), knobs)) == 3
    assert len(would_have(evals(0.5, 0.6, 0.6), knobs)) == 1


def test_left_is_what_a_running_job_can_afford() -> None:
    found = left(evals(0.5, 0.6), EarlyStopping(patience=3))

    assert found is not None
    assert (found.fewest, found.most) == (2, 2)
    assert left(evals(0.5, 0.6, 0.7), TWO) is None
    assert left(evals(None), TWO) is None


@given(losses=st.lists(st.floats(allow_nan=True), max_size=12), min_delta=st.floats(0, 1))
def test_left_and_would_have_never_contradict(losses: list[float], min_delta: float) -> None:
    knobs, seen = EarlyStopping(patience=2, min_delta=min_delta), evals(*map(finite, losses))
    found, ends = left(seen, knobs), would_have(seen, knobs)

    assert (found is None) == all(end is not None for end in ends.values())
    assert found is None or 1 <= found.fewest <= found.most <= knobs.patience
