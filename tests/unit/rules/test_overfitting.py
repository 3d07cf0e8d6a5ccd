"""When `overfitting` fires on the evaluations, and what it takes for a rise to count."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tests.unit.rules.curves import NAN, falling, replayed, rows
from watcher.domain.replay import Replay
from watcher.domain.rules.overfitting import Overfitting
from watcher.domain.verdicts import Severity, Unknown


def _judged(
    evals: Sequence[float | None], *, train: Sequence[float] | None = None, rule: Overfitting | None = None
) -> Replay:
    """Evaluations every ten steps beside a train loss that falls unless it is given."""
    losses = falling(10 * len(evals)) if train is None else train
    recorded = rows(losses, evals=[(10 * (i + 1), loss) for i, loss in enumerate(evals)])
    return replayed(recorded, rule or Overfitting())


RISING = [
    pytest.param([2.0, 1.9, 1.85, 1.9, 2.0, 2.2], 30, 50, id="two evaluations above the best"),
    pytest.param([2.04, 2.24, 2.39, 2.45, 2.46], 10, 30, id="the first evaluation was the best"),
    pytest.param(
        [1.935, 1.921, 1.927, 1.932, 1.938, 1.95, 1.954, 1.96], 20, 80, id="a rise of two percent without noise"
    ),
    pytest.param([0.031, 0.022, 0.022, 0.024, 0.025, 0.027], 20, 50, id="a small loss that rises by a tenth"),
    pytest.param([2.0, 1.8, NAN, 1.9, None, 2.0], 20, 60, id="evaluations without a number do not count"),
]


@pytest.mark.parametrize(("evals", "onset", "step"), RISING)
def test_it_fires(evals: Sequence[float | None], onset: int, step: int) -> None:
    (alert,) = _judged(evals).alerts

    assert (alert.kind, alert.severity, alert.may_cancel) == ("rising", Severity.WARNING, False)
    assert (alert.onset, alert.step) == (onset, step)


NOT_RISING = [
    pytest.param([2.0, 1.9, 1.8, 1.75, 1.7], id="it falls"),
    pytest.param([2.0, 1.9, 2.1, 1.85, 1.8], id="a single evaluation above the best"),
    pytest.param([2.0, 1.9, 1.905, 1.91, 1.908, 1.91], id="a rise of half a percent"),
    pytest.param([1.29, 1.19, 1.72, 1.21, 1.18, 1.17], id="a spike that ends at its best"),
    pytest.param([2.0, 1.9, 2.0, 1.92, 2.01, 1.91, 2.02, 1.92, 2.0], id="noise as large as the rise"),
    pytest.param([0.69, 0.0001, 0.0004, 0.0009, 0.001], id="a preference loss that rises near 0"),
    pytest.param([2.0], id="one evaluation"),
    pytest.param([NAN, None, NAN], id="no evaluation with a number"),
    pytest.param([0.0, 0.0, 0.0, 0.0], id="evaluations of exactly 0"),
]


@pytest.mark.parametrize("evals", NOT_RISING)
def test_it_is_silent(evals: Sequence[float | None]) -> None:
    assert _judged(evals).alerts == []


def test_a_train_loss_that_rises_too_is_something_else() -> None:
    rising = [1.0 + 0.02 * i for i in range(60)]

    assert _judged([2.0, 1.9, 2.0, 2.1, 2.3, 2.5], train=rising).alerts == []


def test_many_planned_evaluations_ask_for_more_of_them() -> None:
    recorded = rows(falling(60), evals=[(10, 2.0), (20, 1.9), (30, 2.0), (40, 2.1), (50, 2.2), (60, 2.3)])

    assert [a.step for a in replayed(recorded, Overfitting(), total=200, n_evals=5).alerts] == [40]
    assert [a.step for a in replayed(recorded, Overfitting(), total=200, n_evals=20).alerts] == [60]


def test_a_hump_among_twenty_evaluations_is_none() -> None:
    evals = [(10 * i, loss) for i, loss in enumerate([2.1, 2.27, 2.38, 2.28, 2.26, 2.2, 2.15, 2.08, *[2.0] * 12], 1)]

    assert replayed(rows(falling(200), evals=evals), Overfitting(), n_evals=20).alerts == []


def test_a_new_best_ends_it() -> None:
    result = _judged([2.0, 1.9, 2.1, 2.2, 1.8, 1.7])

    assert [t.reason.value for t in result.transitions] == ["first", "resolved"]


def test_a_rise_that_mostly_went_away_ends_it_and_may_begin_again() -> None:
    result = _judged([2.0, 1.9, 2.1, 2.2, 1.95, 1.97, 2.3, 2.5, 2.7])

    assert [t.reason.value for t in result.transitions] == ["first", "resolved", "first"]


def test_it_may_cancel_where_it_is_allowed() -> None:
    (alert,) = _judged([2.0, 1.9, 2.1, 2.2], rule=Overfitting(may_cancel=True)).alerts

    assert alert.may_cancel


def test_its_reason_can_be_checked_on_the_picture() -> None:
    (alert,) = _judged([2.0, 1.9, 2.1, 2.2], train=[1.0] * 40).alerts

    assert alert.reason == (
        "The eval loss was 2.2 at step 40, up from its best 1.9 at step 20, with none of the 2 evaluations since then "
        "below it, while the train loss went from 1 to 1."
    )


def test_it_needs_no_train_rows() -> None:
    (alert,) = replayed(rows([], evals=[(10, 2.0), (20, 2.2), (30, 2.4)]), Overfitting()).alerts

    assert alert.reason.endswith("below it.")


def test_before_any_row_it_does_not_know() -> None:
    rule = Overfitting()

    assert isinstance(rule.judge(rule.start(), datetime(2026, 1, 1, tzinfo=UTC)), Unknown)
