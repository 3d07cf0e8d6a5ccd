"""Whether a cancel was right: what the run did afterwards, and what that is in steps and dollars."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from watcher.domain import moneywords
from watcher.domain.billing import NOTHING
from watcher.domain.hindsight import Verdict, judged, worth
from watcher.domain.observations import EvalRow, Row, TrainRow

NAN = math.nan


def trains(*losses: float | None, start: int = 1, norm: float | None = 1.0) -> list[Row]:
    return [TrainRow(step, step, loss, norm) for step, loss in enumerate(losses, start)]


def evals(*losses: tuple[int, float | None]) -> list[Row]:
    return [EvalRow(step, step, loss) for step, loss in losses]


def noisy(level: float, count: int, swing: float = 0.2) -> list[float]:
    """Neighbours `swing` apart, with the level in the middle."""
    return [level + swing * (0.5 if i % 2 else -0.5) for i in range(count)]


BEFORE = trains(*noisy(3, 20), *noisy(2, 20), *noisy(8, 10))


@pytest.mark.parametrize(
    ("after", "verdict", "words"),
    [
        pytest.param(trains(*noisy(8, 50)), Verdict.SAVED, "then at best 7.9", id="it stays where it was"),
        pytest.param(trains(*noisy(2.05, 50)), Verdict.SAVED, "then at best 1.95", id="it only comes back"),
        pytest.param(trains(*noisy(1.95, 50)), Verdict.SAVED, "(noise 0.3", id="better, but by less than noise"),
        pytest.param(trains(*noisy(1, 50)), Verdict.LOST, "then at best 0.9 at step", id="better"),
        pytest.param(
            trains(*noisy(8, 40), *noisy(1, 5), *noisy(8, 5)), Verdict.LOST, "then at best 0.9", id="better for a while"
        ),
        pytest.param(trains(*[NAN] * 50), Verdict.SAVED, "then at best no finite loss", id="no number any more"),
        pytest.param(trains(*[0.0] * 50, norm=NAN), Verdict.SAVED, "no finite loss", id="zeros that hide broken steps"),
        pytest.param(trains(*[0.0] * 50, norm=None), Verdict.SAVED, "no finite loss", id="zeros that may hide them"),
        pytest.param(trains(*[None] * 50), Verdict.SAVED, "no finite loss", id="rows without a value"),
        pytest.param([], Verdict.UNKNOWN, "nothing was recorded after it", id="no row"),
        pytest.param(trains(1, 1, 1), Verdict.UNKNOWN, "only 3 training losses were recorded", id="too few"),
        pytest.param(trains(1, NAN, 1, NAN, 1), Verdict.UNKNOWN, "only 3 training losses", id="too few numbers"),
        pytest.param(evals((60, 1.0)), Verdict.UNKNOWN, "only 0 training losses", id="an evaluation with no other"),
    ],
)
def test_by_the_training_loss(after: list[Row], verdict: Verdict, words: str) -> None:
    found = judged([*BEFORE, *after], len(BEFORE))

    assert found.verdict is verdict
    assert words in found.words


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        pytest.param([(40, 1.5)], [(60, 1.4), (80, 9.0)], Verdict.LOST, id="lower"),
        pytest.param([(40, 1.5)], [(60, 1.5)], Verdict.SAVED, id="as low"),
        pytest.param([(20, 1.5), (40, 9.0)], [(60, 1.6)], Verdict.SAVED, id="lower than the last, not than the best"),
        pytest.param([(40, NAN)], [(60, 1.0)], Verdict.LOST, id="none before: the training loss says"),
        pytest.param([(40, 1.5)], [(60, NAN)], Verdict.LOST, id="none finite after: the training loss says"),
    ],
)
def test_by_evaluations_where_both_sides_have_one(
    before: list[tuple[int, float]], after: list[tuple[int, float]], verdict: Verdict
) -> None:
    sides = [*BEFORE, *evals(*before)], [*trains(*noisy(1, 50), start=51), *evals(*after)]
    found = judged([*sides[0], *sides[1]], len(sides[0]))

    assert found.verdict is verdict


def test_what_never_trained_below_its_first_row_is_no_loss() -> None:
    """The first evaluation came when the run had left its start: better than that is not yet good."""
    before = [*trains(2.0, *noisy(9, 30)), *evals((31, 9.0))]
    high, low = ([*trains(*noisy(level, 60), start=32), *evals((80, level))] for level in (4.0, 1.5))

    assert judged([*before, *low], len(before)).verdict is Verdict.LOST
    found = judged([*before, *high], len(before))
    assert found.verdict is Verdict.SAVED
    assert found.words == (
        "eval loss 9 at step 31, then at best 4 at step 80; "
        "but the train loss never came back to the 2 of its first row"
    )


def test_numbers_after_none_at_all_are_a_loss() -> None:
    rows = trains(*[NAN] * 20, *noisy(2, 20))

    assert judged(rows, 20).verdict is Verdict.LOST


@settings(max_examples=30, deadline=None)
@given(
    losses=st.lists(st.one_of(st.none(), st.floats(), st.just(1.0)), max_size=40),
    seen=st.integers(0, 40),
    every=st.integers(1, 9),
)
def test_any_rows_give_a_verdict_that_can_be_written(losses: list[float | None], seen: int, every: int) -> None:
    rows: list[Row] = [
        EvalRow(i, i, loss) if i % every == 0 else TrainRow(i, i, loss, loss) for i, loss in enumerate(losses)
    ]
    found = judged(rows, seen)

    assert "nan" not in found.words
    assert math.isfinite(found.margin)
    assert (found.verdict is Verdict.UNKNOWN) == bool(found.why)


# --- what it was worth ---


@pytest.mark.parametrize(
    ("verdict", "step", "plan", "saved", "lost"),
    [
        pytest.param(Verdict.SAVED, 30, 100, 70, 0, id="a right one saves what was left"),
        pytest.param(Verdict.LOST, 30, 100, 0, 30, id="a wrong one loses what was done"),
        pytest.param(Verdict.UNKNOWN, 30, 100, None, None, id="one that can't be judged"),
        pytest.param(Verdict.SAVED, 30, None, None, 0, id="right, of an unknown plan"),
        pytest.param(Verdict.LOST, 30, None, 0, 30, id="wrong, of an unknown plan"),
        pytest.param(Verdict.SAVED, 120, 100, 0, 0, id="beyond the plan nothing is left"),
        pytest.param(Verdict.SAVED, 0.25, 100, 99, 0, id="a step that was begun is done"),
    ],
)
def test_steps(verdict: Verdict, step: float, plan: int | None, saved: int | None, lost: int | None) -> None:
    found = worth(verdict, step, plan, None)

    assert (found.steps_saved, found.steps_lost) == (saved, lost)


def test_dollars_carry_what_they_rest_on() -> None:
    right, wrong = (worth(verdict, 30, 100, Decimal(10)) for verdict in (Verdict.SAVED, Verdict.LOST))
    minimum = "if every step costs the same and if the $4.00 minimum does not apply to jobs that end early"

    assert moneywords.told(right.saved) == f"about $7.00, {minimum}"
    assert right.lost == NOTHING
    assert moneywords.told(wrong.lost) == f"about $3.00, {minimum}"
    assert wrong.saved == NOTHING


def test_dollars_without_a_plan_or_a_verdict_are_unknown() -> None:
    assert worth(Verdict.SAVED, 30, None, Decimal(10)).saved.missing == "plan not known"
    assert worth(Verdict.UNKNOWN, 30, 100, Decimal(10)).lost.missing == "not enough was recorded after it"
