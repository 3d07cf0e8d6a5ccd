"""Early stopping as Together documents it: which evaluation halts a run, and which checkpoint is shipped."""

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Halt:
    """Where a run was halted. With no finite evaluation the metric is None and the best step the halt step."""

    evals: int
    step: int
    best_step: int
    best_metric: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """The knobs of a create request (`early_stopping_*`), with the service's defaults. Losses are in nats.

    An improvement is a decrease of more than `min_delta`; only that moves the best. The documentation leaves both
    open for a decrease of exactly, or less than, `min_delta`.
    """

    patience: int = 2
    min_delta: float = 0.0
    warmup_evals: int = 1

    def __post_init__(self) -> None:
        if self.patience < 1 or self.min_delta < 0 or self.warmup_evals < 0:
            raise ValueError("early stopping needs patience >= 1, min_delta >= 0 and warmup_evals >= 0")

    def halt(self, evals: Iterable[tuple[int, float | None]]) -> Halt | None:
        """The halt that these evaluations, as (step, loss) in order of time, lead to; None when they lead to none.

        A loss that is not finite halts at once; warm-up gives no shelter from that.
        """
        best_step, best = 0, math.inf
        waited = 0
        for number, (step, loss) in enumerate(evals, start=1):
            if loss is None or not math.isfinite(loss):
                return _halted(number, step, best_step, best)
            if loss < best - self.min_delta:
                best_step, best, waited = step, loss, 0
            elif number > self.warmup_evals:
                waited += 1
            if waited >= self.patience:
                return _halted(number, step, best_step, best)
        return None


def _halted(evals: int, step: int, best_step: int, best: float) -> Halt:
    if math.isinf(best):
        return Halt(evals, step, step, None)
    return Halt(evals, step, best_step, best)
