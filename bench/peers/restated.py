"""Rivals' rules in our own words, from what their makers publish: no code of theirs is here.

Where a project has a class that can be installed, `installed.py` runs it and this module's version only checks it, or
stands in where it can't be had. Where a rule is not defined for a log (a threshold that the user must give), the value
that its documentation advises is used, and said.
"""

import math
from collections import deque

from bench.peers.base import DIVERGENCE, NAN, NO_PROGRESS, OVERFITTING, PLATEAU, Event, Peer

PUBLISHED = "re-stated from its published rule"


class StartThreshold(Peer):
    """A train loss above a multiple of the first one; a loss that is not finite, where the peer looks at that."""

    def __init__(self, name: str, *, factor: float = 2.0, nan: bool = True, infinite: bool = True) -> None:
        self.name, self.source, self.factor, self.nan, self.infinite = name, PUBLISHED, factor, nan, infinite

    def reset(self) -> None:
        self.limit: float | None = None

    def row(self, step: float, loss: float) -> Event | None:
        if self.limit is None and math.isfinite(loss):
            self.limit = self.factor * loss
        if (self.nan and math.isnan(loss)) or (self.infinite and math.isinf(loss)):
            return Event(step, NAN)
        return Event(step, DIVERGENCE) if self.limit is not None and loss > self.limit else None


class EvalPatience(Peer):
    """Stop when `patience` evaluations in a row were no better than the best.

    `finite`: an evaluation that is not finite stops at once. `warmup`: so many first evaluations never count as bad.
    `nan_is_best`: a first evaluation that is NaN becomes the best, and nothing is better than it. `never_first`: the
    first evaluation stops nothing.
    """

    def __init__(
        self,
        name: str,
        *,
        patience: int,
        finite: bool = False,
        warmup: int = 0,
        nan_is_best: bool = False,
        never_first: bool = False,
    ) -> None:
        self.name, self.source = name, PUBLISHED
        self.patience, self.finite, self.warmup = patience, finite, warmup
        self.nan_is_best, self.never_first = nan_is_best, never_first

    def reset(self) -> None:
        self.best: float | None = None
        self.bad = self.seen = 0

    def eval(self, step: float, loss: float) -> Event | None:
        self.seen += 1
        if self.finite and not math.isfinite(loss):
            return Event(step, NAN)
        if (loss < self.best) if self.best is not None else (self.nan_is_best or loss < math.inf):
            self.best, self.bad = loss, 0
            return None
        self.bad += self.seen > self.warmup
        if self.bad >= self.patience and not (self.never_first and self.seen == 1):
            return Event(step, NO_PROGRESS)
        return None


class TransformersPatience(Peer):
    """Stop when `patience` evaluations in a row did not beat the best; the first sets it, whatever it is."""

    def __init__(self, patience: int = 1) -> None:
        self.name, self.source, self.patience = "transformers EarlyStoppingCallback", PUBLISHED, patience

    def reset(self) -> None:
        self.best: float | None = None
        self.bad = 0

    def eval(self, step: float, loss: float) -> Event | None:
        self.bad = 0 if self.best is None or loss < self.best else self.bad + 1
        # The trainer keeps the best itself, after the callback has looked; NaN is never below it.
        known = math.inf if self.best is None else self.best
        self.best = min(known, loss)
        return Event(step, NO_PROGRESS) if self.bad >= self.patience else None


class PatientPruner(Peer):
    """Prune when the best of the last `patience` + 1 evaluations is above the best before them."""

    def __init__(self, patience: int = 3) -> None:
        self.name, self.source, self.patience = f"Optuna PatientPruner, eval, patience {patience}", PUBLISHED, patience

    def reset(self) -> None:
        self.last: deque[float] = deque(maxlen=self.patience + 1)
        self.before = math.nan

    def eval(self, step: float, loss: float) -> Event | None:
        if len(self.last) == self.last.maxlen:
            self.before = _least(self.before, self.last[0])
        self.last.append(loss)
        after = math.nan
        for value in self.last:
            after = _least(after, value)
        return Event(step, NO_PROGRESS) if self.before < after else None


def _least(a: float, b: float) -> float:
    """The smaller one, a NaN only if both are."""
    return b if math.isnan(a) or b < a else a


class TerminateOnNaN(Peer):
    """Any train loss that is NaN or infinite."""

    name, source = "Keras TerminateOnNaN", PUBLISHED

    def row(self, step: float, loss: float) -> Event | None:
        return None if math.isfinite(loss) else Event(step, NAN)


class KillLossSpike(Peer):
    """llm-foundry: losses of twice the mean of a window, five in a row; or half a window above a cap.

    The window is the larger of 100 batches and 5 % of the run. The cap is 10, or the largest of the first window if
    that is more, and is looked at from twice the window on. As documented: the shipped class never raises the cap.
    """

    name, source, acts = "llm-foundry KillLossSpike", PUBLISHED, "reports"
    held = False

    def __init__(self, *, patience: int = 4, multiplier: float = 2.0, window: int | None = None) -> None:
        self.patience, self.multiplier, self.given = patience, multiplier, window

    def reset(self) -> None:
        self.size = self.given or max(100, round(0.05 * (self.run.planned_rows or 0)))
        self.window: deque[float] = deque()
        self.outliers, self.seen, self.cap, self.held = 0, 0, 10.0, False

    def row(self, step: float, loss: float) -> Event | None:
        self.seen += 1
        before, self.held = self.held, len(self.window) == self.size and self._judge(loss)
        self.window.append(loss)
        if len(self.window) > self.size:
            self.window.popleft()
        if self.seen == self.size:
            self.cap = max(10.0, *self.window)
        return Event(step, DIVERGENCE) if self.held and not before else None

    def _judge(self, loss: float) -> bool:
        # A NaN in the window makes the mean NaN: nothing is an outlier until it has left.
        self.outliers = self.outliers + 1 if loss > self.multiplier * (sum(self.window) / self.size) else 0
        high = self.seen > 2 * self.size and 2 * sum(value > self.cap for value in self.window) >= self.size
        return self.outliers > self.patience or high


class MegatronSpiky(Peer):
    """Megatron-core's check of results: a loss that is not finite is fatal; ten times the largest of the first 100.

    There the latter only sets off a second look at the step; here it counts as a stop.
    """

    name, source = "Megatron-core result check", PUBLISHED

    def __init__(self, *, factor: float = 10.0, samples: int = 100) -> None:
        self.factor, self.samples = factor, samples

    def reset(self) -> None:
        self.seen, self.largest = 0, 0.0

    def row(self, step: float, loss: float) -> Event | None:
        if not math.isfinite(loss):
            return Event(step, NAN)
        if self.seen < self.samples:
            self.seen += 1
            self.largest = max(self.largest, loss)
            return None
        return Event(step, DIVERGENCE) if loss >= self.factor * self.largest else None


class LossWatchdog(Peer):
    """axolotl: the loss above a threshold for three rows in a row.

    Off by default; its documentation advises twice the first loss.
    """

    name, source = "axolotl loss watchdog, 2x start", PUBLISHED

    def __init__(self, *, factor: float = 2.0, patience: int = 3) -> None:
        self.factor, self.patience = factor, patience

    def reset(self) -> None:
        self.limit: float | None = None
        self.high = 0

    def row(self, step: float, loss: float) -> Event | None:
        if self.limit is None and math.isfinite(loss):
            self.limit = self.factor * loss
        self.high = self.high + 1 if self.limit is not None and loss > self.limit else 0
        return Event(step, DIVERGENCE) if self.high >= self.patience else None


class LossNotDecreasing(Peer):
    """SageMaker Debugger: every ten steps, a loss that is not below the one at least ten steps before."""

    name, source, acts = "SageMaker LossNotDecreasing", PUBLISHED, "reports"

    def __init__(self, *, num_steps: int = 10, diff_percent: float = 0.0) -> None:
        self.num_steps, self.diff_percent = num_steps, diff_percent

    def reset(self) -> None:
        self.held: tuple[float, float] | None = None

    def row(self, step: float, loss: float) -> Event | None:
        if self.held is None:
            self.held = (step, loss)
            return None
        if step - self.held[0] < self.num_steps:
            return None
        before, self.held = self.held[1], (step, loss)
        fell = before - loss > self.diff_percent / 100 * abs(before)
        return None if fell else Event(step, PLATEAU)


class SageMakerOverfit(Peer):
    """SageMaker Debugger: the eval loss more than a tenth above the mean train loss since the last evaluation.

    Patience is read as the number of evaluations for which that is allowed: the next one is reported.
    """

    name, source, acts = "SageMaker Overfit", PUBLISHED, "reports"

    def __init__(self, *, ratio_threshold: float = 0.1, patience: int = 1) -> None:
        self.ratio_threshold, self.patience = ratio_threshold, patience

    def reset(self) -> None:
        self.train: list[float] = []
        self.over = 0

    def row(self, step: float, loss: float) -> Event | None:  # noqa: ARG002
        self.train.append(loss)
        return None

    def eval(self, step: float, loss: float) -> Event | None:
        if not self.train:
            return None
        mean = sum(self.train) / len(self.train)
        self.train = []
        ratio = (loss - mean) / mean if mean else math.nan
        self.over = self.over + 1 if ratio > self.ratio_threshold else 0
        return Event(step, OVERFITTING) if self.over == self.patience + 1 else None


class PageHinkley(Peer):
    """The Page-Hinkley test for a rise, with river's defaults."""

    name, source, acts = "river PageHinkley, rise", PUBLISHED, "reports"

    def __init__(
        self, *, min_instances: int = 30, delta: float = 0.005, threshold: float = 50.0, alpha: float = 0.9999
    ) -> None:
        self.min_instances, self.delta, self.threshold, self.alpha = min_instances, delta, threshold, alpha

    def reset(self) -> None:
        self.seen, self.mean, self.sum, self.least = 0, 0.0, 0.0, 0.0

    def row(self, step: float, loss: float) -> Event | None:
        if not math.isfinite(loss):
            return None
        self.seen += 1
        self.mean += (loss - self.mean) / self.seen
        self.sum = self.alpha * self.sum + (loss - self.mean - self.delta)
        self.least = min(self.least, self.sum)
        if self.seen >= self.min_instances and self.sum - self.least > self.threshold:
            self.reset()
            return Event(step, DIVERGENCE)
        return None


def all_restated() -> list[Peer]:
    """Every rule that we can state without its maker's code, at its defaults."""
    return [
        StartThreshold("Lightning EarlyStopping, train, divergence_threshold 2x start"),
        EvalPatience("Lightning EarlyStopping, eval, patience 3", patience=3, finite=True),
        EvalPatience("Keras EarlyStopping, eval, patience 0", patience=0, nan_is_best=True, never_first=True),
        TerminateOnNaN(),
        TransformersPatience(),
        StartThreshold("Optuna ThresholdPruner, train, upper 2x start", infinite=False),
        PatientPruner(),
        PageHinkley(),
        KillLossSpike(),
        MegatronSpiky(),
        LossWatchdog(),
        LossNotDecreasing(),
        SageMakerOverfit(),
        EvalPatience("Together early stopping, patience 2", patience=2, finite=True, warmup=1),
    ]
