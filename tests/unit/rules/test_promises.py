"""What the rules over curves promise of any curve, not only of those that were measured."""

import math
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.rules.curves import CURVE_RULES, fired, replayed, rows
from watcher.domain.codec import decode, encode
from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.domain.replay import Recording, replay
from watcher.domain.rules.divergence import Divergence

ANY_FLOAT = st.none() | st.floats(allow_nan=True, allow_infinity=True)
STEPS = st.integers(min_value=0, max_value=500)


@st.composite
def any_rows(draw: st.DrawFn) -> list[Row]:
    """Rows in any order, with any numbers: restarts, repeats and nonsense included."""
    train = st.builds(TrainRow, STEPS, st.just(0), ANY_FLOAT, ANY_FLOAT, ANY_FLOAT)
    evals = st.builds(EvalRow, STEPS, st.just(0), ANY_FLOAT)
    return [replace(row, at_ns=i) for i, row in enumerate(draw(st.lists(train | evals, max_size=80)))]


@st.composite
def noisy_falls(draw: st.DrawFn) -> list[float]:
    """A falling trend plus independent noise of less than a quarter of the initial loss, peak to peak."""
    count = draw(st.integers(min_value=30, max_value=300))
    floor = draw(st.floats(min_value=0.0, max_value=0.95))
    pace = draw(st.floats(min_value=0.0, max_value=20.0))
    width = draw(st.floats(min_value=0.0, max_value=0.249))
    draws = draw(st.lists(st.floats(min_value=-0.5, max_value=0.5), min_size=count, max_size=count))
    trend = [floor + (1 - floor) * math.exp(-pace * i / count) for i in range(count)]
    return [max(0.0, level + width * noise) for level, noise in zip(trend, draws, strict=True)]


@st.composite
def wild_curves(draw: st.DrawFn) -> list[float]:
    """Pieces at very different heights, with noise: some are divergences, some are not."""
    levels = draw(st.lists(st.floats(min_value=0.01, max_value=50.0), min_size=1, max_size=5))
    length = draw(st.integers(min_value=5, max_value=60))
    noise = draw(st.lists(st.floats(min_value=0.8, max_value=1.25), min_size=length, max_size=length))
    return [level * noise[i] for level in levels for i in range(length)]


@settings(max_examples=150, deadline=None)
@given(any_rows(), st.none() | st.integers(min_value=0, max_value=600), st.sampled_from(["dpo", "sft", None]))
def test_no_rows_raise(recorded: list[Row], total: int | None, method: str | None) -> None:
    recording = Recording(id="run", rows=tuple(recorded), total_steps=total, method=method)

    assert replay(recording, CURVE_RULES).crashes == []


@settings(max_examples=300, deadline=None)
@given(noisy_falls(), st.integers(min_value=1, max_value=500), st.booleans(), st.sampled_from(["dpo", None]))
def test_a_falling_run_with_modest_noise_is_never_cancelled(
    losses: list[float],
    every: int,
    plan_known: bool,  # noqa: FBT001 - drawn
    method: str | None,
) -> None:
    result = replayed(rows(losses, every=every), plan_known=plan_known, method=method)

    assert result.cancel is None


@settings(max_examples=150, deadline=None)
@given(wild_curves(), st.integers(min_value=2, max_value=1000))
def test_the_unit_of_the_step_changes_no_verdict(losses: list[float], factor: int) -> None:
    evals = [(step, losses[step - 1]) for step in range(10, len(losses) + 1, 10)]
    plain = replayed(rows(losses, evals=evals))
    scaled = replayed(rows(losses, evals=[(step * factor, loss) for step, loss in evals], every=factor))

    assert fired(scaled) == fired(plain)
    assert [a.step for a in scaled.alerts] == [a.step * factor for a in plain.alerts if a.step is not None]


@settings(max_examples=150, deadline=None)
@given(wild_curves(), st.sampled_from([1e-3, 1e3]), st.sampled_from(["dpo", None]))
def test_the_unit_of_the_loss_never_turns_keep_into_cancel(
    losses: list[float], factor: float, method: str | None
) -> None:
    plain = replayed(rows(losses), method=method)
    scaled = replayed(rows([loss * factor for loss in losses]), method=method)

    assert scaled.cancel is None or plain.cancel is not None


@settings(max_examples=60, deadline=None)
@given(any_rows())
def test_a_state_survives_its_storage(recorded: list[Row]) -> None:
    """Stored after any row and read back, a rule goes on as if nothing had happened."""
    for rule in CURVE_RULES:
        one, other = rule.start(), rule.start()
        for row in recorded:
            if isinstance(row, rule.sees):
                rule.observe(one, row)
                rule.observe(other, row)
                other = decode(type(other), encode(other))

        assert encode(other) == encode(one)


def test_a_longer_wait_never_cancels_more() -> None:
    losses = [1.0] * 40 + [4.0] * 160
    steps = {}
    for sensitivity in ("low", "normal", "high"):
        result = replayed(rows(losses), Divergence(sensitivity=sensitivity))
        steps[sensitivity] = result.cancel.step if result.cancel else math.inf

    assert steps["high"] < steps["normal"] < steps["low"] < math.inf
