"""When `gradient` warns of norms and learning rates."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from tests.unit.rules.curves import NAN, falling, replayed, rows, shape
from watcher.domain.observations import Snapshot, Status
from watcher.domain.replay import Replay
from watcher.domain.rules.gradient import Gradient
from watcher.domain.verdicts import Breach, Severity, Unknown

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _norms(norms: Sequence[float | None]) -> Replay:
    return replayed(rows(falling(len(norms)), norms=norms), Gradient())


def _rates(rates: Sequence[float], rule: Gradient | None = None) -> Replay:
    return replayed(rows(falling(len(rates)), lr=rates), rule or Gradient())


@pytest.mark.parametrize("norms", [[1.0] * 60 + [20.0] * 30, [1.0] * 60 + [25.0, 30.0, 1.0, 25.0] * 10])
def test_a_norm_far_above_its_past_warns(norms: Sequence[float]) -> None:
    alert = _norms(norms).alerts[0]

    assert (alert.kind, alert.severity, alert.may_cancel) == ("norm", Severity.WARNING, False)
    assert alert.step is not None
    assert 60 < alert.step <= 75


FINE = [
    pytest.param([1.0] * 60 + [1000.0] + [1.0] * 60, id="a single huge norm"),
    pytest.param([1.0] * 60 + [1000.0] * 5 + [1.0] * 60, id="five huge norms"),
    pytest.param([0.001 * 1.02**i for i in range(200)], id="a norm that grows slowly"),
    pytest.param(shape(300, lambda _: 1.0, noise=0.7), id="much noise"),
    pytest.param([20.0] * 20 + [0.01] * 100 + [2.0] * 60, id="back to a tenth of where it began"),
    pytest.param([NAN if i % 3 == 0 else 1.0 for i in range(120)], id="a third of the norms is NaN"),
    pytest.param([None] * 120, id="no norm was ever reported"),
    pytest.param([NAN] * 120, id="no norm was ever a number"),
    pytest.param([0.0] * 120, id="norms of exactly 0"),
]


@pytest.mark.parametrize("norms", FINE)
def test_other_norms_are_fine(norms: Sequence[float | None]) -> None:
    assert _norms(norms).alerts == []


def test_norms_that_are_no_number_any_more_warn() -> None:
    (alert,) = _norms([1.0] * 40 + [math.inf] * 40).alerts

    assert (alert.onset, alert.step) == (41, 60)
    assert alert.reason == (
        "The gradient norm has been inf in all 20 rows since step 41, "
        "while the loss is a number: such steps are skipped."
    )


def test_it_recovers_when_the_norm_is_back() -> None:
    result = _norms([1.0] * 60 + [20.0] * 30 + [1.0] * 60)

    assert [t.reason.value for t in result.transitions] == ["first", "resolved"]


def test_its_reason_can_be_checked_on_the_picture() -> None:
    (alert,) = _norms([1.0] * 60 + [20.0] * 30).alerts

    assert (alert.onset, alert.step) == (60, 68)
    assert alert.reason == (
        "The gradient norm is near 20 in the last 15 rows up to step 68, 20 times its geometric mean of 1 before."
    )


WARM_UP = [1e-5 * i for i in range(1, 11)]
WRONG_RATES = [
    pytest.param([*WARM_UP, *[1e-4] * 50, *[1e-3] * 40], 61, "far above its highest before", id="it jumps tenfold"),
    pytest.param([*WARM_UP, *[1e-4] * 20, *[0.0] * 70], 40, "exactly 0 since step 31", id="it is 0 in the middle"),
]


@pytest.mark.parametrize(("rates", "step", "words"), WRONG_RATES)
def test_a_learning_rate_that_was_not_planned_warns(rates: Sequence[float], step: int, words: str) -> None:
    (alert,) = _rates(rates).alerts

    assert (alert.kind, alert.step) == ("learning_rate", step)
    assert words in alert.reason


FINE_RATES = [
    pytest.param([*WARM_UP, *[1e-4 * (1 - i / 90) for i in range(90)], 0.0], id="warm-up and a linear decay to 0"),
    pytest.param([0.0, *WARM_UP, *[1e-4] * 80], id="a first row at 0"),
    pytest.param(
        [1e-4 * (0.51 + 0.49 * math.cos(math.pi * (i % 25) / 25)) for i in range(100)],
        id="cosine restarts to the same top",
    ),
    pytest.param([1e-6 * 1.1**i for i in range(100)], id="a warm-up over the whole run"),
]


@pytest.mark.parametrize("rates", FINE_RATES)
def test_other_learning_rates_are_fine(rates: Sequence[float]) -> None:
    assert _rates(rates).alerts == []


def test_a_learning_rate_above_the_plan_warns_until_it_is_back() -> None:
    rule = Gradient()
    state = rule.start()
    rule.observe(
        state, Snapshot(job_id="ft-1", at=NOW, status=Status.RUNNING, raw_status="running", learning_rate=1e-4)
    )
    said = []
    for row in rows([1.0] * 4, lr=[1e-4, 2e-4, 2e-4, 1e-4]):
        rule.observe(state, row)
        verdict = rule.judge(state, NOW)
        said.append(verdict.findings[0].reason if isinstance(verdict, Breach) else "")

    assert said == ["", *["The learning rate at step 2 is 0.0002, above the planned 0.0001."] * 2, ""]


def test_a_low_sensitivity_asks_for_more() -> None:
    jump = [*WARM_UP, *[1e-4] * 50, *[3e-4] * 40]

    assert len(_rates(jump).alerts) == 1
    assert _rates(jump, Gradient(sensitivity="low")).alerts == []


def test_before_any_row_it_does_not_know() -> None:
    rule = Gradient()

    assert isinstance(rule.judge(rule.start(), NOW), Unknown)
