"""What real feeds do to curves that are fine: none of it is a divergence, a NaN or a reason to cancel."""

import math

import pytest

from tests.unit.rules.curves import NAN, dice, falling, fired, replayed, rows, shape
from watcher.domain.observations import Row, TrainRow
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.nan_loss import NanLoss


def _warm_up_hump() -> tuple[Row, ...]:
    """0.65 → 0.99 while the learning rate climbs, → 0.45 after: seen on real runs."""
    losses = shape(300, lambda t: 0.65 + 0.34 * t / 0.08 if t < 0.08 else 0.42 + 0.57 * math.exp(-(t - 0.08) / 0.1))
    return rows(losses, lr=[1e-4 * min(1.0, i / 24) for i in range(300)])


def _cosine_restarts() -> tuple[Row, ...]:
    return rows(shape(400, lambda t: 1 + 1.2 * math.exp(-5 * t) + 0.2 * (1 - (4 * t) % 1) * (t > 0.25), noise=0.02))


def _epoch_stairs() -> tuple[Row, ...]:
    """Memorising in steps: drops at each epoch, a slow rise within."""
    return rows(shape(300, lambda t: 2.0 * 0.6 ** int(5 * t) * (1 + 0.1 * ((5 * t) % 1)), noise=0.02))


def _spike_that_comes_back() -> tuple[Row, ...]:
    return rows(shape(400, lambda t: 1.5 - 0.4 * t + (4.0 * math.exp(-(t - 0.4) / 0.01) if t > 0.4 else 0.0)))


def _bad_shard_for_a_tenth() -> tuple[Row, ...]:
    return rows(shape(400, lambda t: 5.5 if 0.4 < t < 0.5 else 2.0 - 0.8 * t, noise=0.02))


def _batch_of_one() -> tuple[Row, ...]:
    draw = dice(3)
    return rows([max(0.0, (2.0 - 0.5 * i / 400) * math.exp(draw.gauss(0, 0.5))) for i in range(400)])


def _dpo_start() -> tuple[Row, ...]:
    """It stays at ln 2 for a third of the run while the learning rate warms up, then down."""
    return rows(shape(200, lambda t: 0.6931 if t < 0.33 else 0.6931 * math.exp(-4 * (t - 0.33)), noise=0.01))


def _dpo_end() -> tuple[Row, ...]:
    """Near 0 with single huge rows."""
    draw = dice(5)
    return rows([0.6931 * math.exp(-i / 8) + (3.0 if i > 40 and draw.random() < 0.06 else 0.0) for i in range(250)])


def _tiny() -> tuple[Row, ...]:
    """4.2 → 0.008, then a bump to 0.028: nearly fourfold and nothing."""
    return rows(shape(300, lambda t: 0.008 + 4.2 * math.exp(-60 * t) + (0.02 if 0.4 < t < 0.6 else 0.0), noise=0.05))


def _zero_is_fine() -> tuple[Row, ...]:
    """GRPO: the loss is 0 for most rows, the gradients are not."""
    return rows([0.0 if i % 5 else 0.01 for i in range(300)], norms=0.3)


def _around_zero() -> tuple[Row, ...]:
    draw = dice(7)
    return rows([draw.gauss(0, 0.1) for _ in range(300)])


def _lone_nan_norms() -> tuple[Row, ...]:
    return rows(falling(), norms=[NAN if i % 40 == 0 else math.inf if i % 40 == 1 else 1.0 for i in range(200)])


def _nan_evals() -> tuple[Row, ...]:
    return rows(falling(), evals=[(20 * i, NAN) for i in range(1, 11)])


def _gaps() -> tuple[Row, ...]:
    return tuple(row for row in rows(falling(400)) if not 100 < row.step < 220 and row.step % 7)


def _steps_back() -> tuple[Row, ...]:
    """A node is lost at step 120; the job goes on from step 80, a little above where it was."""
    before = [TrainRow(i + 1, i, loss, 1.0) for i, loss in enumerate(falling()[:120])]
    after = [TrainRow(i + 81, 1000 + i, loss * 1.03, 1.0) for i, loss in enumerate(falling()[80:])]
    return (*before, *after)


def _zero_learning_rate_tail() -> tuple[Row, ...]:
    losses = shape(300, lambda t: 1.2 + 0.8 * math.exp(-8 * min(t, 0.85)), noise=0.03)
    return rows(losses, lr=[1e-4 if i < 0.85 * 300 else 0.0 for i in range(300)])


def _lone_nan_rows() -> tuple[Row, ...]:
    """A batch that is all padding now and then."""
    return rows([NAN if i % 25 == 24 else loss for i, loss in enumerate(falling(400))])


HEALTHY = [
    pytest.param(_warm_up_hump(), None, id="a warm-up hump of half the start that ends below it"),
    pytest.param(_cosine_restarts(), None, id="bumps at cosine restarts"),
    pytest.param(_epoch_stairs(), None, id="stairs down at epoch boundaries with a rise within each"),
    pytest.param(_bad_shard_for_a_tenth(), None, id="a bad shard for a tenth of the run"),
    pytest.param(_spike_that_comes_back(), None, id="a spike that comes back"),
    pytest.param(_batch_of_one(), None, id="the noise of a batch of one"),
    pytest.param(_dpo_start(), "dpo", id="DPO's ln 2 for a third of the run"),
    pytest.param(_dpo_end(), "dpo", id="DPO near 0 with single huge rows"),
    pytest.param(_tiny(), None, id="a tiny loss that triples"),
    pytest.param(_zero_is_fine(), None, id="a loss that is 0 with finite gradients"),
    pytest.param(_around_zero(), None, id="a loss around 0 with both signs"),
    pytest.param(_lone_nan_norms(), None, id="lone NaN and infinite gradient norms with a normal loss"),
    pytest.param(_nan_evals(), None, id="NaN in every evaluation of a run that falls"),
    pytest.param(_gaps(), None, id="gaps and missing rows"),
    pytest.param(_steps_back(), None, id="a restart that steps back"),
    pytest.param(_zero_learning_rate_tail(), None, id="a tail at learning rate 0"),
    pytest.param(_lone_nan_rows(), None, id="a lone NaN row now and then"),
    *[pytest.param(rows(falling(), every=n), None, id=f"a row every {n} steps") for n in (1, 2, 10, 50, 500)],
    pytest.param(rows(falling(10)), None, id="ten rows in all"),
    pytest.param(rows(falling(), norms=None, lr=None), None, id="no gradient norm and no learning rate anywhere"),
]

TOLD = [h for h in HEALTHY if "shard" in f"{h.id}" or "evaluation" in f"{h.id}"]
"""Fine to go on, and still worth a word: the kinds that never cancel may fire."""


@pytest.mark.parametrize(("recorded", "method"), HEALTHY)
@pytest.mark.parametrize("plan_known", [pytest.param(True, id="planned"), pytest.param(False, id="unknown plan")])
def test_it_is_not_cancelled(recorded: tuple[Row, ...], method: str | None, *, plan_known: bool) -> None:
    result = replayed(recorded, method=method, plan_known=plan_known)

    assert result.cancel is None


@pytest.mark.parametrize(("recorded", "method"), [h for h in HEALTHY if h not in TOLD])
def test_it_raises_no_alarm_either(recorded: tuple[Row, ...], method: str | None) -> None:
    result = replayed(recorded, Divergence(), NanLoss(), method=method)

    assert fired(result) == []


def test_a_restart_forgets_what_it_took_back() -> None:
    """The loss blew up, the job was started again from before that, and is fine: nothing is left to cancel."""
    blown = [TrainRow(i + 1, i, 2.0 if i < 40 else 9.0, 1.0) for i in range(55)]
    again = [TrainRow(i + 31, 1000 + i, loss, 1.0) for i, loss in enumerate(falling()[30:])]

    result = replayed([*blown, *again], total=200)

    assert result.cancel is None


WEIRD = [0.0, -0.0, 5e-324, 1e-300, 1e308, -1e308, math.inf, -math.inf, NAN, None]


@pytest.mark.parametrize("loss", WEIRD)
@pytest.mark.parametrize("norm", [1.0, math.inf, NAN, None, 1e308])
def test_no_number_raises(loss: float | None, norm: float | None) -> None:
    """`replayed` asserts that no rule crashed."""
    losses = [1.0, loss, 2.0, loss, *[loss] * 30, 1e308, 1.0, loss]
    replayed(rows(losses, norms=norm, evals=[(i, loss) for i in range(3, 30, 3)]))
    replayed(rows([loss] * 40, norms=norm, evals=[(i, loss) for i in range(3, 30, 3)]), method="dpo")


def test_steps_that_repeat_do_not_raise() -> None:
    replayed([TrainRow(5, i, 1.0 + i, 1.0) for i in range(50)])
