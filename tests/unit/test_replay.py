"""Recorded runs through the same fold: order, restarts, and what would have been cancelled."""

from typing import Any

import pytest

from tests.toys import Crashing, High, Trace
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.domain.replay import Recording, Replay, merge, replay


def trains(*steps: int, loss: float = 1.0) -> list[TrainRow]:
    return [TrainRow(step, at, loss) for at, step in enumerate(steps, 1)]


def evals(*steps: int) -> list[EvalRow]:
    return [EvalRow(step, 0, 1.0) for step in steps]


def shape(rows: tuple[Row, ...]) -> str:
    return " ".join(("t" if isinstance(row, TrainRow) else "e") + str(row.step) for row in rows)


@pytest.mark.parametrize(
    ("train", "evaluated", "merged"),
    [
        pytest.param((1, 2, 3), (), "t1 t2 t3", id="no evaluations"),
        pytest.param((), (1, 2), "e1 e2", id="nothing but evaluations"),
        pytest.param((1, 2, 3), (2,), "t1 t2 e2 t3", id="train before eval at equal steps"),
        pytest.param((2, 4), (1, 3, 5), "e1 t2 e3 t4 e5", id="by step"),
        pytest.param((1, 2, 3, 2, 3), (3, 2), "t1 t2 t3 e3 t2 e2 t3", id="a lower step is a restart of both"),
        pytest.param((1, 2, 1, 2), (2, 1), "t1 t2 e2 t1 e1 t2", id="each eval in its own attempt"),
        pytest.param((1, 2, 3, 4), (4, 2), "t1 t2 t3 t4 e4 e2", id="evaluations alone that went back come last"),
    ],
)
def test_merge(train: tuple[int, ...], evaluated: tuple[int, ...], merged: str) -> None:
    assert shape(merge(trains(*train), evals(*evaluated))) == merged


def run(losses: list[tuple[int, float]], *rules: Any, **changes: Any) -> Replay:
    rows = tuple(TrainRow(step, at, loss) for at, (step, loss) in enumerate(losses, 1))
    policy = changes.pop("policy", None)
    return replay(Recording(id="r", rows=rows, **changes), rules or (High(name="divergence"),), policy)


def test_each_firing_is_given_in_order() -> None:
    result = run([(1, 1), (2, 9), (3, 1), (4, 9)])

    assert [(alert.rule, alert.step, alert.episode) for alert in result.alerts] == [
        ("divergence", 2, 1),
        ("divergence", 4, 2),
    ]


def test_an_empty_run_has_no_alerts() -> None:
    result = run([])

    assert (result.alerts, result.cancel) == ([], None)


def test_a_restart_folds_again_and_what_fired_stays() -> None:
    result = run([(1, 1), (2, 1), (3, 9), (2, 1), (3, 1), (4, 1)])

    assert [transition.reason.value for transition in result.transitions] == ["first", "resolved"]


def test_rows_of_the_attempt_before_are_not_folded_again() -> None:
    result = run([(1, 1), (2, 1), (3, 1), (2, 1)], Trace())

    assert result.crashes == []
    assert result.alerts == []


@pytest.mark.parametrize(
    ("steps", "total", "cancel"),
    [
        pytest.param([(50, 9)], 100, 50, id="when it fires"),
        pytest.param([(1, 9), (2, 9)], 100, 2, id="not before the lower bound"),
        pytest.param([(91, 9), (92, 9)], 100, None, id="not after the upper bound"),
        pytest.param([(1, 9)], None, 1, id="an unknown plan has no bounds"),
        pytest.param([(1, 9), (3, 1)], 100, None, id="what is over by then cancels nothing"),
        pytest.param([(50, 9), (51, 1), (52, 9)], 100, 50, id="the first one counts"),
    ],
)
def test_what_would_have_been_cancelled(steps: list[tuple[int, float]], total: int | None, cancel: int | None) -> None:
    found = run(steps, total_steps=total).cancel

    assert (found.step if found else None) == cancel


@pytest.mark.parametrize(
    ("rule", "cancels"),
    [
        pytest.param(High(name="divergence", kind="any"), True, id="divergence of any kind"),
        pytest.param(High(name="nan_loss", kind="train"), True, id="a train loss that is no number"),
        pytest.param(High(name="nan_loss", kind="eval"), False, id="an eval loss that is none"),
        pytest.param(High(name="plateau"), False, id="another rule"),
        pytest.param(High(name="divergence", may_cancel=False), False, id="a finding that may not cancel"),
    ],
)
def test_which_rules_cancel_in_a_replay(rule: High, *, cancels: bool) -> None:
    assert (run([(50, 9)], rule, total_steps=100).cancel is not None) is cancels


def test_the_policy_can_be_given() -> None:
    result = run([(50, 9)], total_steps=100, policy=CancelPolicy(max_progress=0.4))

    assert result.cancel is None


def test_a_rule_that_crashes_is_reported() -> None:
    result = run([(1, 666), (2, 9)], Crashing())

    assert [crash.rule for crash in result.crashes] == ["crashing"]
    assert result.alerts == []
