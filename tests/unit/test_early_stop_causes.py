"""Why a job was stopped early: which evaluations, which knobs, and what can't be known."""

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.test_early_stopping import BROKEN, EXACT, evals
from watcher.domain.early_stop_causes import Cause, Explanation, Stop, explain, lower_seen
from watcher.domain.early_stopping import EarlyStopping, course
from watcher.domain.observations import finite

DOCUMENTED = (0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388)
EXACTLY = ", or a min_delta a little larger, if a decrease of exactly that much is an improvement"
API = "; the API does not tell them"


def stopped(losses: tuple[float | None, ...], halt: int | None, best: int | None, **more: Any) -> Explanation:
    """By the numbers of evaluations, which are 12 steps apart; the metric is that of the best one."""
    metric = losses[best - 1] if best is not None and best <= len(losses) else None
    steps = {"halt_step": halt and 12 * halt, "best_step": best and 12 * best}
    return explain(Stop(**{"evals": evals(*losses), "best_metric": metric, **steps, **more}))


@pytest.mark.parametrize(
    ("losses", "halt", "best", "more", "cause", "used"),
    [
        pytest.param(DOCUMENTED, 6, 4, {}, Cause.PATIENCE, [5, 6], id="the documented example"),
        pytest.param(DOCUMENTED, None, 4, {}, Cause.PATIENCE, [5, 6], id="the log did not say where"),
        pytest.param((0.5, 0.6, 0.7), 3, 1, {"configured": EarlyStopping(patience=1, warmup=2)}, Cause.PATIENCE, [3],
                     id="a bad evaluation of the warm-up used up nothing"),
        pytest.param((0.5, 0.4, None), 3, 2, {}, Cause.NOT_FINITE, [], id="not finite"),
        pytest.param((None,), 1, 1, {}, Cause.NOT_FINITE, [], id="nothing was ever finite"),
        pytest.param((), 1, 1, {}, Cause.NOT_FINITE, [], id="nothing was seen, and the metric is null"),
        pytest.param((0.5, 0.6, 0.7), 3, 1, {"best_metric": None}, Cause.UNKNOWN, [], id="null beside finite losses"),
        pytest.param(DOCUMENTED[:4], 6, 4, {}, Cause.UNKNOWN, [], id="the evaluation at the halt was not seen"),
        pytest.param((), 6, 4, {"best_metric": 0.4}, Cause.UNKNOWN, [], id="no evaluation was seen"),
        pytest.param((0.5, 0.4), 2, 2, {}, Cause.UNKNOWN, [], id="a best one halts nothing"),
        pytest.param((*DOCUMENTED, 0.1), 6, 4, {}, Cause.PATIENCE, [5, 6], id="rows after the halt are none of it"),
        pytest.param(DOCUMENTED, 6, 4, {"complete": False}, Cause.PATIENCE, [5, 6], id="some rows are missing"),
    ],
)  # fmt: skip
def test_cause(
    losses: tuple[float | None, ...], *, halt: int, best: int, more: dict[str, Any], cause: Cause, used: list[int]
) -> None:
    found = stopped(losses, halt, best, **more)

    assert found.cause is cause
    assert [evaluation.step // 12 for evaluation in found.used] == used


@pytest.mark.parametrize(
    ("losses", "best", "more", "settings"),
    [
        pytest.param(DOCUMENTED, 4, {}, f"consistent with patience 2, min_delta 0, warm-up 1, the documented defaults"
                     f"{API}", id="the defaults, where they explain it"),
        pytest.param((0.5, 0.6, 0.7, 0.8), 1, {}, f"consistent with patience 3, min_delta 0, warm-up 1{API}",
                     id="more patience"),
        # With a warm-up of 1 the bad second evaluation would have halted a patience of 1.
        pytest.param((0.5, 0.6, 0.4, 0.5), 3, {}, f"consistent with patience 1, min_delta 0, warm-up 2{API}",
                     id="a longer warm-up, where patience alone would have halted it before"),
        # Without a min_delta the third would be the best; with 0.01 or a little more it is a bad one.
        pytest.param((0.5, 0.4, 0.39, 0.41), 2, {},
                     f"consistent with patience 2, min_delta 0.01, warm-up 1{EXACTLY}{API}",
                     id="the least min_delta, where a lower one was not promoted"),
        # 0.03 would make the second the best, from which 0.39 is too small a step; 0.08 keeps the first until then.
        pytest.param((0.5, 0.42, 0.39, 0.35, 0.36), 3, {},
                     f"consistent with patience 2, min_delta 0.08, warm-up 1{EXACTLY}{API}",
                     id="a larger min_delta, where the least one makes another the best"),
        pytest.param((0.5, 0.6, 0.7), 1, {"n_evals": 3}, f"consistent with patience 2, min_delta 0, warm-up 0{API}",
                     id="the service takes no warm-up of 1 with three planned evaluations"),
        pytest.param((0.5, 0.6, 0.6), 2, {}, "", id="nothing makes a worse one the best"),
        pytest.param(DOCUMENTED, 4, {"complete": False}, "", id="not inferred from some of the evaluations"),
        pytest.param(DOCUMENTED, 4, {"best_step": 50, "best_metric": 0.4}, "", id="the promoted one was not seen"),
        pytest.param((0.5, None, 0.6, 0.7), 1, {}, "", id="a gap that should have halted it"),
        pytest.param(DOCUMENTED, 4, {"configured": EarlyStopping(patience=2)},
                     "patience 2, min_delta 0, warm-up 1, as configured", id="as configured"),
        pytest.param(DOCUMENTED, 4, {"configured": EarlyStopping(patience=3)},
                     "those configured (patience 3, min_delta 0, warm-up 1) do not lead to this halt; consistent with "
                     f"patience 2, min_delta 0, warm-up 1, the documented defaults{API}", id="not what was configured"),
        pytest.param((0.5, 0.45, 0.46, 0.47), 2, {"configured": EarlyStopping(patience=2, min_delta=0.05)},
                     "patience 2, min_delta 0.05, warm-up 1, as configured; this fits only if a decrease of exactly "
                     "min_delta is an improvement and a smaller one does not move the best",
                     id="as configured, in one reading of min_delta"),
        pytest.param((0.5, 0.6, 0.6), 2, {"configured": EarlyStopping(patience=2)},
                     "those configured (patience 2, min_delta 0, warm-up 1) do not lead to this halt",
                     id="neither configured nor anything else"),
    ],
)  # fmt: skip
def test_settings(losses: tuple[float | None, ...], best: int, more: dict[str, Any], settings: str) -> None:
    assert stopped(losses, len(losses), best, **more).settings == settings


def test_a_best_that_moved_leaves_bad_evaluations_before_it() -> None:
    # Read so that 0.48 moves the best though it is bad: it is among those that used up patience.
    found = stopped((0.5, 0.48, 0.49), 3, 2, configured=EarlyStopping(patience=2, min_delta=0.05))

    assert [evaluation.step // 12 for evaluation in found.used] == [2, 3]
    assert "a smaller one moves the best" in found.settings


@pytest.mark.parametrize(
    ("losses", "best", "shown"),
    [
        pytest.param(DOCUMENTED, 4, None, id="the promoted one is the lowest"),
        pytest.param((0.5, 0.4, 0.39, 0.41), 2, "0.39 at step 36", id="a lower one was not promoted"),
        pytest.param((0.5, 0.5, 0.5), 1, None, id="as low is not lower"),
    ],
)
def test_a_lower_evaluation_than_the_promoted_one(
    losses: tuple[float | None, ...], best: int, shown: str | None
) -> None:
    assert lower_seen(stopped(losses, len(losses), best), evals(*losses)) == shown


@given(
    losses=st.lists(EXACT | BROKEN, min_size=1, max_size=14),
    patience=st.integers(1, 4),
    warmup=st.integers(0, 3),
    min_delta=st.just(0.0) | EXACT,
)
@example(losses=[32 / 64, 27 / 64, 25 / 64, 23 / 64, 24 / 64], patience=2, warmup=1, min_delta=6 / 64)
def test_a_stop_that_the_algorithm_made_is_explained(
    losses: list[float | None], patience: int, warmup: int, min_delta: float
) -> None:
    own = EarlyStopping(patience=patience, min_delta=min_delta, warmup=warmup)
    seen = evals(*(finite(loss) for loss in losses))
    end = course(seen, own)
    if end.halt is None:
        return
    metric = end.best.loss if end.best else None
    stop = Stop(evals=seen, halt_step=end.halt.step, best_step=end.ships, best_metric=metric)
    found = explain(stop)

    assert found.best is None or (found.best.loss is not None and math.isfinite(found.best.loss))
    assert found.cause is (Cause.NOT_FINITE if end.halt.loss is None else Cause.PATIENCE)
    if found.cause is Cause.PATIENCE:
        # Some knobs always lead there, since its own do.
        assert found.settings.startswith("consistent with patience ")
        assert found.used[-1] == end.halt
