"""When `plateau` says that a run is stuck or has converged, and when it holds its tongue."""

import math
from datetime import UTC, datetime

import pytest

from tests.unit.rules.curves import falling, replayed, rows, shape
from watcher.domain.observations import Row
from watcher.domain.replay import Replay
from watcher.domain.rules.plateau import Plateau
from watcher.domain.verdicts import Severity, Unknown


def _judged(recorded: tuple[Row, ...], rule: Plateau | None = None, *, plan_known: bool = True) -> Replay:
    return replayed(recorded, rule or Plateau(), plan_known=plan_known)


def _every_tenth(value: float) -> list[tuple[int, float]]:
    return [(20 * i, value) for i in range(1, 11)]


FLAT = [
    pytest.param(rows(shape(200, lambda _: 2.3, noise=0.03)), "stuck", id="nothing was learnt since the start"),
    pytest.param(
        rows(shape(200, lambda t: 5.55 + 2.7 * math.exp(-40 * t), noise=0.002)),
        "converged",
        id="flat at two thirds of its start",
    ),
    pytest.param(
        rows(shape(200, lambda t: 0.69 * math.exp(-40 * t), noise=0.3)),
        "converged",
        id="a preference loss with nothing left to gain",
    ),
    pytest.param(
        rows([2.0 if i % 13 == 12 else 0.69 * math.exp(-i / 5) for i in range(200)]),
        "converged",
        id="nothing left to gain, with a single huge row now and then",
    ),
    pytest.param(
        rows(shape(200, lambda _: 2.0, noise=0.3), evals=_every_tenth(2.014)),
        "stuck",
        id="noise hides the trend, evaluations show none",
    ),
    pytest.param(
        rows(
            shape(200, lambda t: 1.5 + 0.5 * math.exp(-30 * t), noise=0.15),
            evals=[(20 * i, 1.7 + 0.1 * 0.3**i) for i in range(1, 11)],
        ),
        "converged",
        id="noise hides the trend, evaluations are flat after a fall",
    ),
    pytest.param(
        rows([0.69, *[0.4 if 6 < i < 9 else 0.0001 for i in range(9)]], evals=[(i, 0.001) for i in range(1, 11)]),
        "converged",
        id="ten rows in all, evaluations near 0",
    ),
]


@pytest.mark.parametrize(("recorded", "kind"), FLAT)
def test_it_fires(recorded: tuple[Row, ...], kind: str) -> None:
    result = _judged(recorded)

    assert [(a.kind, a.severity) for a in result.alerts] == [(kind, Severity.WARNING)]
    assert result.alerts[0].step is not None
    assert 0.3 <= result.alerts[0].step / recorded[-1].step <= 0.8


MOVING = [
    pytest.param(rows(falling(400)), id="an ordinary falling run"),
    pytest.param(rows(falling(400, noise=0.3)), id="an ordinary falling run of much noise"),
    pytest.param(
        rows(shape(300, lambda t: 3.7 * math.exp(-6 * t) + 1.25 - 0.08 * t, noise=0.01)), id="slow but steady gains"
    ),
    pytest.param(rows(shape(300, lambda t: 2.0 + t, noise=0.01)), id="a loss that rises"),
    pytest.param(rows(shape(200, lambda _: 2.0, noise=0.5)), id="too much noise to tell"),
    pytest.param(rows([2.0, 1.9]), id="two rows"),
    pytest.param(rows([0.1, -0.1] * 100), id="a loss around 0"),
]


@pytest.mark.parametrize("recorded", MOVING)
def test_it_is_silent(recorded: tuple[Row, ...]) -> None:
    assert _judged(recorded).alerts == []


def test_without_a_plan_nothing_is_near_its_end() -> None:
    assert _judged(rows([2.3] * 300), plan_known=False).alerts == []


def test_stuck_may_cancel_where_it_is_allowed() -> None:
    allowed = Plateau(may_cancel=True)

    assert [a.may_cancel for a in _judged(rows([2.3] * 100)).alerts] == [False]
    assert [a.may_cancel for a in _judged(rows([2.3] * 100), allowed).alerts] == [True]
    converged = rows(shape(200, lambda t: 0.69 * math.exp(-40 * t)))
    assert [a.may_cancel for a in _judged(converged, allowed).alerts] == [False]


def test_it_recovers_when_the_loss_moves_on() -> None:
    """Flat for the first half, then it falls: the alert resolves."""
    result = _judged(rows(shape(200, lambda t: 2.3 if t < 0.5 else 2.3 - 2 * (t - 0.5), noise=0.01)))

    assert [t.reason.value for t in result.transitions] == ["first", "resolved"]


def test_its_reason_can_be_checked_on_the_picture() -> None:
    (alert,) = _judged(rows([2.3] * 100)).alerts

    assert alert.onset == 1
    assert alert.reason == (
        "The train loss averaged 2.3 from step 7 to 15 and 2.3 from step 22 to 30: "
        "it gained no more than 0.069 since the start."
    )


def test_sensitivity_sets_how_much_progress_counts_as_none() -> None:
    recorded = rows(shape(200, lambda t: 2.3 - 0.2 * t))
    fired = {s: bool(_judged(recorded, Plateau(sensitivity=s)).alerts) for s in ("low", "normal", "high")}

    assert fired == {"low": False, "normal": True, "high": True}


def test_before_any_row_it_does_not_know() -> None:
    rule = Plateau()

    assert isinstance(rule.judge(rule.start(), datetime(2026, 1, 1, tzinfo=UTC)), Unknown)
