"""Early stopping against the documentation's worked example and its edges."""

import math

import pytest

from watcher.simulator.early_stopping import EarlyStopping, Halt


def _evals(*losses: float | None) -> list[tuple[float, float | None]]:
    return [(12 * n, loss) for n, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("knobs", "losses", "halt"),
    [
        pytest.param({}, (0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388), Halt(6, 72, 48, 0.4213), id="the worked example"),
        pytest.param({}, (0.6, 0.5, 0.55, 0.45, 0.5), None, id="an improvement resets the count"),
        pytest.param({}, (0.5, 0.6, 0.7), Halt(3, 36, 12, 0.5), id="the earliest halt is warmup + patience"),
        pytest.param({"warmup_evals": 3}, (0.5, 0.6, 0.7, 0.6), None, id="warm-up evaluations do not count"),
        pytest.param({"warmup_evals": 0, "patience": 1}, (0.5, 0.5), Halt(2, 24, 12, 0.5), id="an equal loss counts"),
        pytest.param({"min_delta": 0.1}, (0.5, 0.45, 0.42), Halt(3, 36, 12, 0.5), id="less than min_delta counts"),
        pytest.param({}, (math.nan, 0.5), Halt(1, 12, 12, None), id="a first evaluation that is NaN halts in warm-up"),
        pytest.param({}, (0.5, math.inf), Halt(2, 24, 12, 0.5), id="an infinite one ships the best before it"),
        pytest.param({}, (0.5, None), Halt(2, 24, 12, 0.5), id="a missing one is not finite"),
        pytest.param({}, (), None, id="no evaluation, no halt"),
    ],
)
def test_halt(knobs: dict[str, float], losses: tuple[float | None, ...], halt: Halt | None) -> None:
    assert EarlyStopping(**knobs).halt(_evals(*losses)) == halt  # type: ignore[arg-type]  # ints as floats


@pytest.mark.parametrize("knobs", [{"patience": 0}, {"min_delta": -1}, {"warmup_evals": -1}])
def test_knobs_out_of_range_are_refused(knobs: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="early stopping needs"):
        EarlyStopping(**knobs)
