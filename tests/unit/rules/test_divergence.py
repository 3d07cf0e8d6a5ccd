"""When `divergence` fires, when it may cancel, and what it says."""

import math
from datetime import UTC, datetime

import pytest

from tests.unit.rules.curves import NAN, falling, fired, replayed, rows, shape
from watcher.domain.observations import Row
from watcher.domain.replay import Replay
from watcher.domain.rules.divergence import Divergence
from watcher.domain.verdicts import CLEAR, Severity, Unknown

_NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _judged(recorded: tuple[Row, ...], *, plan_known: bool = True, method: str | None = None) -> Replay:
    return replayed(recorded, Divergence(), plan_known=plan_known, method=method)


LOST = [
    pytest.param(
        rows(shape(200, lambda t: 2.0 - t if t < 0.4 else 5.5, noise=0.02)),
        (0.53, 0.56),
        id="the loss jumps to three times its start and stays",
    ),
    pytest.param(
        rows([1.5, 2.2, 3.4, *shape(197, lambda t: 3.6 - 0.4 * t, noise=0.02)]),
        (0.07, 0.15),
        id="the first updates wreck the model and it relearns too slowly",
    ),
    pytest.param(
        rows(shape(200, lambda t: 3.7 * math.exp(-20 * t) + 1.2 if t < 0.3 else 4.2 - 0.5 * t, noise=0.01)),
        (0.44, 0.48),
        id="nearly all that was learnt is lost, though the start is not passed",
    ),
    pytest.param(
        rows([0.69, 12.0, 25.0, *shape(197, lambda _: 9.0, noise=0.2)]),
        (0.17, 0.25),
        id="a preference loss of thirteen times its start waits for what falls late",
    ),
    pytest.param(
        rows(shape(200, lambda t: 2.0 - 4 * t if t < 0.25 else 1.0 + 6 * (t - 0.25), noise=0.02)),
        (0.4, 0.7),
        id="a slow climb without an end",
    ),
    pytest.param(
        rows([2.0, 1.6, 1.4, 4.8, 5.0, 5.1, 5.0, 5.0, 5.0, 5.1]),
        (0.65, 0.9),
        id="ten rows in all",
    ),
    pytest.param(
        rows(
            [0.3, 0.4, 1.5, *[9.0 + (i % 3) for i in range(60)], *shape(1937, lambda t: 6 * math.exp(-4 * t) + 1)],
            norms=[0.1] * 5 + [20.0] * 1995,
        ),
        (0.02, 0.025),
        id="gradients two hundred times those at the start need no wait",
    ),
]


@pytest.mark.parametrize(("recorded", "between"), LOST)
def test_it_cancels_what_is_lost(recorded: tuple[Row, ...], between: tuple[float, float]) -> None:
    result = _judged(recorded)
    last = recorded[-1].step

    assert result.cancel is not None
    assert between[0] <= result.cancel.step / last <= between[1]


KEPT = [
    pytest.param(
        rows(shape(300, lambda t: 2.0 + 3 * math.exp(-((t - 0.1) ** 2) / 0.002) - t, noise=0.02)),
        id="a hump that comes down by itself",
    ),
    pytest.param(
        rows(shape(300, lambda t: 2.0 - 0.6 * t + 2.5 * math.exp(-(t - 0.5) / 0.08) * (t > 0.5), noise=0.02)),
        id="a blow that heals within a fifth of the run",
    ),
    pytest.param(rows(shape(200, lambda t: 2.0 + 0.4 * t, noise=0.02)), id="a loss that creeps up by a fifth"),
    pytest.param(
        rows(shape(200, lambda t: 0.02 if t < 0.5 else 0.023, noise=0.05)), id="a tiny loss that grows a little"
    ),
    pytest.param(
        rows([2.0, *[0.3] * 20, *[0.7] * 100, *[0.3] * 79]),
        id="a steep start and a return to a third of it",
    ),
    pytest.param(rows([0.4, *shape(199, lambda _: 0.55, noise=0.3)]), id="a lucky first row"),
    pytest.param(
        rows(shape(300, lambda t: 1.5 * (1 - 0.2 * t) * (1.6 if t > 0.5 else 0.8), noise=0.02)),
        id="harder data from the middle on, at twice the best level",
    ),
    pytest.param(rows([5.0]), id="a single row"),
    pytest.param((), id="no row at all"),
]


@pytest.mark.parametrize("recorded", KEPT)
def test_it_keeps_what_may_be_fine(recorded: tuple[Row, ...]) -> None:
    assert _judged(recorded).cancel is None


def test_it_tells_before_it_may_cancel() -> None:
    result = _judged(rows([2.0] * 60 + [5.5] * 140))
    first, second = result.alerts

    assert [first.kind, second.kind] == ["diverging", "diverged"]
    assert first.step is not None
    assert second.step is not None
    assert first.step < second.step
    assert (first.may_cancel, second.may_cancel) == (False, True)
    assert (first.severity, second.severity) == (Severity.WARNING, Severity.CRITICAL)


def test_its_reason_can_be_checked_on_the_picture() -> None:
    alert = _judged(rows([2.0] * 60 + [5.5] * 140)).alerts[-1]

    assert alert.onset == 60
    assert alert.reason == (
        "The train loss has been above its start of 2 since step 60, at most 5.5 (step 67), and was near 5.5 in the "
        "rows up to step 88; carried on, its course leads nowhere near 2."
    )


def test_it_recovers_when_the_loss_came_back() -> None:
    """A bad shard of a fifth of the run: the alert resolves, and a second one is a new episode."""
    losses = [2.0] * 60 + [5.5] * 20 + [1.9] * 60 + [5.5] * 60

    assert fired(_judged(rows(losses))) == [
        ("divergence", "diverging"),
        ("divergence", "diverging"),
        ("divergence", "diverged"),
    ]


def test_evaluations_stand_in_for_the_wait() -> None:
    """Train and eval loss left their best together and stay: three evaluations are enough."""
    losses = shape(60, lambda t: 0.12 + 0.7 * math.exp(-60 * t) if t < 0.2 else 0.31)
    evals = [(6, 0.22), (20, 0.42), (30, 0.42), (40, 0.41), (50, 0.44)]

    result = replayed(rows(losses, evals=evals), Divergence(), total=440)

    assert result.cancel is not None
    assert result.cancel.step == 40
    assert "3 evaluations in a row stayed far above the best of 0.22" in result.cancel.reason


def test_with_an_unknown_plan_it_needs_many_rows() -> None:
    losses = [2.0] * 60 + [5.5] * 30

    assert _judged(rows(losses), plan_known=False).cancel is None
    assert _judged(rows(losses + [5.5] * 60), plan_known=False).cancel is not None


def test_a_first_row_that_is_no_number_is_not_the_start() -> None:
    assert _judged(rows([NAN, math.inf, *falling(100)])).alerts == []


def test_a_negative_loss_turns_it_off() -> None:
    assert _judged(rows([0.5, -0.2, *[8.0] * 100])).alerts == []


def test_before_any_row_it_does_not_know() -> None:
    rule = Divergence()

    assert isinstance(rule.judge(rule.start(), _NOW), Unknown)


def test_after_a_row_it_is_clear() -> None:
    rule = Divergence()
    state = rule.start()
    rule.observe(state, rows([2.0])[0])

    assert rule.judge(state, _NOW) is CLEAR


def test_what_it_says_stays_the_same_object_until_it_recovers() -> None:
    rule = Divergence()
    state = rule.start()
    said = []
    for row in rows([2.0] * 60 + [5.5] * 340):
        rule.observe(state, row)
        said.append(rule.judge(state, _NOW))

    assert len({id(verdict) for verdict in said}) == 3  # clear, diverging, diverged
