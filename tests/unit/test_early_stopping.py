from typing import Any

import pytest

from watcher.domain.early_stopping import EarlyStopping, Evaluation, course

TWO = EarlyStopping(patience=2)


@pytest.mark.parametrize(
    ("knobs", "losses", "best", "bad"),
    [
        pytest.param(TWO, [], None, [], id="nothing yet"),
        pytest.param(TWO, [0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388], 4, [5, 6], id="the documented example"),
        pytest.param(TWO, [0.5, 0.5], 1, [2], id="equal is no improvement"),
        pytest.param(TWO, [0.5, 0.6, 0.4], 3, [], id="an improvement resets the count"),
        pytest.param(EarlyStopping(patience=2, warmup=2), [0.5, 0.6, 0.7], 1, [3], id="warm-up is not counted"),
        pytest.param(EarlyStopping(patience=2, warmup=0), [0.5, 0.6], 1, [2], id="no warm-up"),
        pytest.param(EarlyStopping(patience=2, min_delta=0.1), [0.5, 0.45, 0.35], 3, [], id="too small, then enough"),
        pytest.param(TWO, [None, 0.5], 2, [], id="a first finite loss is the best"),
        pytest.param(TWO, [0.5, None], 1, [2], id="not finite is bad"),
        pytest.param(TWO, [None], None, [1], id="not finite is bad in warm-up too"),
    ],
)
def test_course(knobs: EarlyStopping, losses: list[float | None], best: int | None, bad: list[int]) -> None:
    found = course([Evaluation(i, loss) for i, loss in enumerate(losses, start=1)], knobs)

    assert (found.best.step if found.best else None) == best
    assert [evaluation.step for evaluation in found.bad] == bad


@pytest.mark.parametrize("knobs", [{"patience": 0}, {"patience": 2, "min_delta": -1.0}, {"patience": 2, "warmup": -1}])
def test_knobs_that_the_service_would_refuse(knobs: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least"):
        EarlyStopping(**knobs)
