"""When `nan_loss` fires, and what it takes for a NaN in disguise."""

import math
from collections.abc import Sequence

import pytest

from tests.unit.rules.curves import NAN, fired, replayed, rows
from watcher.domain.observations import Row
from watcher.domain.replay import Replay
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.verdicts import Severity

INF = math.inf
GOOD = [2.0, 1.9, 1.8, 1.7, 1.6]


def _judged(losses: Sequence[float | None], norms: Sequence[float | None] | float | None = 1.0) -> Replay:
    return replayed(rows(losses, norms=norms), NanLoss(), total=100)


BROKEN = [
    pytest.param([*GOOD, NAN, NAN, NAN], 1.0, 6, 8, id="three NaN rows"),
    pytest.param([*GOOD, INF, NAN, -INF], 1.0, 6, 8, id="infinities of both signs"),
    pytest.param([NAN] * 5, None, 1, 3, id="NaN from the first row"),
    pytest.param(
        [*GOOD, 0.0, 0.0, 0.0], [*[1.0] * 5, NAN, NAN, INF], 6, 8, id="exactly 0.0 with a non-finite gradient norm"
    ),
    pytest.param(
        [*GOOD, 0.0, 0.0, 0.0], [*[1.0] * 5, None, None, None], 6, 8, id="exactly 0.0 where the norm went missing"
    ),
    pytest.param(
        [*GOOD, None, None, None], [*[1.0] * 5, NAN, None, None], 6, 8, id="missing with a missing or NaN norm"
    ),
    pytest.param([1.0, 0.0, 0.0, 0.0], [NAN] * 4, 2, 4, id="the norm is NaN before the loss is 0.0"),
    pytest.param([*GOOD, *[0.0] * 12], None, 6, 17, id="0.0 at once from far above, where no norm was ever reported"),
    pytest.param([*GOOD, *[None] * 12], None, 6, 17, id="missing for twelve rows, where no norm was ever reported"),
    pytest.param([*GOOD, NAN, NAN, 1.6, NAN, NAN, NAN], 1.0, 6, 11, id="a lone good row in between"),
    pytest.param([*GOOD, NAN, 1.6, 1.6, *[NAN] * 4], 1.0, 9, 12, id="NaN rows that came and went cost a row more"),
]


@pytest.mark.parametrize(("losses", "norms", "onset", "step"), BROKEN)
def test_it_fires(losses: Sequence[float | None], norms: Sequence[float | None] | None, onset: int, step: int) -> None:
    result = _judged(losses, norms)

    assert [(a.kind, a.onset, a.step) for a in result.alerts] == [("train", onset, step)]
    assert result.alerts[0].severity is Severity.CRITICAL
    assert result.cancel is not None


FINE = [
    pytest.param([*GOOD, NAN, NAN, *GOOD], 1.0, id="two NaN rows and back"),
    pytest.param([1.0, *[0.0] * 50], 0.5, id="0.0 with finite gradients, as with equal rewards"),
    pytest.param([1.0, *[0.0] * 50], 0.0, id="0.0 with gradients of exactly 0"),
    pytest.param(GOOD * 8, [NAN if i % 3 else 1.0 for i in range(40)], id="NaN gradient norms with a normal loss"),
    pytest.param(GOOD * 8, [NAN] * 40, id="a gradient norm that is always NaN with a normal loss"),
    pytest.param([2.0 * 0.7**i for i in range(30)] + [0.0] * 20, None, id="memorised until four digits show 0.0"),
    pytest.param([0.0] * 50, None, id="0.0 from the first row without norms: nothing is known"),
    pytest.param([None] * 50, None, id="no loss was ever reported: nothing is known"),
    pytest.param(([1.7] * 4 + [NAN]) * 40, 1.0, id="a fifth of the rows is NaN, one at a time, for ever"),
]


@pytest.mark.parametrize(("losses", "norms"), FINE)
def test_it_is_silent(losses: Sequence[float | None], norms: Sequence[float | None] | float | None) -> None:
    assert _judged(losses, norms).alerts == []


def _with_evals(*evals: tuple[int, float | None]) -> tuple[Row, ...]:
    return rows(GOOD * 10, evals=evals)


def test_an_eval_that_is_no_number_warns_and_never_cancels() -> None:
    result = replayed(_with_evals((10, NAN), (20, NAN), (30, None)), NanLoss())

    assert [(a.kind, a.severity, a.step, a.may_cancel) for a in result.alerts] == [
        ("eval", Severity.WARNING, 10, False)
    ]
    assert result.cancel is None


def test_a_good_eval_ends_the_warning() -> None:
    result = replayed(_with_evals((10, NAN), (20, 1.5), (30, NAN)), NanLoss())

    assert [a.step for a in result.alerts] == [10, 30]


def test_many_good_rows_end_a_firing() -> None:
    result = _judged([*GOOD, NAN, NAN, NAN, *[1.5] * 20, *[NAN] * 4])

    assert [a.step for a in result.alerts] == [8, 32]


def test_train_and_eval_fire_beside_each_other() -> None:
    recorded = rows([*GOOD, *[NAN] * 6], evals=[(6, NAN)])

    assert fired(replayed(recorded, NanLoss())) == [("nan_loss", "eval"), ("nan_loss", "train")]


def test_its_reason_can_be_checked_on_the_picture() -> None:
    result = _judged([*GOOD, 0.0, 0.0, 0.0], [*[1.0] * 5, NAN, NAN, NAN])

    assert result.alerts[0].reason == (
        "Since step 6 the train loss is exactly 0.0 and the gradient norm nan, in 3 rows up to step 8; "
        "the last good loss was near 1.694."
    )


def test_sensitivity_changes_the_rows_it_needs() -> None:
    recorded = rows([*GOOD, *[NAN] * 10])
    steps = {
        sensitivity: replayed(recorded, NanLoss(sensitivity=sensitivity)).alerts[0].step
        for sensitivity in ("low", "normal", "high")
    }

    assert steps == {"low": 11, "normal": 8, "high": 7}
