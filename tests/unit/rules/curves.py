"""Loss curves drawn by hand, and the fold that the daemon runs over them."""

import math
import random
from collections.abc import Callable, Sequence

from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.domain.replay import Recording, Replay, merge, replay
from watcher.domain.rule import Rule
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.gradient import Gradient
from watcher.domain.rules.loss_spike import LossSpike
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.overfitting import Overfitting
from watcher.domain.rules.plateau import Plateau

NAN = math.nan
CURVE_RULES: tuple[Rule, ...] = (Divergence(), NanLoss(), Plateau(), Overfitting(), Gradient(), LossSpike())


def rows(
    losses: Sequence[float | None],
    *,
    norms: Sequence[float | None] | float | None = 1.0,
    lr: Sequence[float] | float | None = 1e-4,
    evals: Sequence[tuple[int, float | None]] = (),
    every: int = 1,
) -> tuple[Row, ...]:
    """Train rows at every, 2·every, … with evaluations merged in; time is the order."""
    norm = norms if isinstance(norms, Sequence) else [norms] * len(losses)
    rate = lr if isinstance(lr, Sequence) else [lr] * len(losses)
    train = [TrainRow(every * (i + 1), i, loss, norm[i], rate[i]) for i, loss in enumerate(losses)]
    return merge(train, [EvalRow(step, step, loss) for step, loss in evals])


def replayed(
    recorded: Sequence[Row],
    *rules: Rule,
    total: int | None = None,
    plan_known: bool = True,
    method: str | None = None,
    n_evals: int | None = None,
) -> Replay:
    """What the rules (all that look at curves unless some are given) say of the rows; the plan is the last step."""
    known = (total or max((row.step for row in recorded), default=1)) if plan_known else None
    recording = Recording(id="run", rows=tuple(recorded), total_steps=known, method=method, n_evals=n_evals)
    result = replay(recording, rules or CURVE_RULES)
    assert not result.crashes
    return result


def fired(result: Replay) -> list[tuple[str, str]]:
    return [(alert.rule, alert.kind) for alert in result.alerts]


def shape(count: int, at: Callable[[float], float], *, noise: float = 0.0, seed: int = 1) -> list[float]:
    """`count` losses of a function of the share of the run, with normal noise of a share of the value."""
    draw = dice(seed)
    return [max(0.0, at(i / (count - 1)) * (1 + noise * draw.gauss(0, 1))) for i in range(count)]


def dice(seed: int) -> random.Random:
    """The same draws at every call."""
    return random.Random(seed)  # noqa: S311 - noise, not a secret


def falling(
    count: int = 200, *, start: float = 2.0, end: float = 1.0, noise: float = 0.02, seed: int = 1
) -> list[float]:
    """An ordinary healthy run: fast at first, slower and slower, still falling at its end."""
    return shape(count, lambda t: end + (start - end) / (1 + 8 * t) * (1 - 0.1 * t), noise=noise, seed=seed)
