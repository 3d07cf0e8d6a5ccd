"""Together's documented early stopping, told over a job's own evaluations.

After each evaluation its loss is compared with the best so far: lower by more than `min_delta` is an improvement and
sets the count of bad evaluations to none; anything else raises it, but not during the first `warmup` evaluations. The
job is halted when the count reaches `patience`, or at once by an evaluation that is not finite.

Not documented, and taken here as: a decrease of exactly `min_delta` is no improvement, and one smaller than it does
not move the best.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlyStopping:
    """The knobs with which a job was created; the API does not echo them. `warmup` counts evaluations."""

    patience: int
    min_delta: float = 0.0
    warmup: int = 1

    def __post_init__(self) -> None:
        """A patience of none would halt before the first evaluation.

        Raises:
            ValueError: a knob is outside what the service takes.
        """
        if self.patience < 1 or self.min_delta < 0 or self.warmup < 0:
            raise ValueError("expected patience of at least 1, and min_delta and warmup of at least 0")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One evaluation; `loss` in nats is None when it was missing or not finite."""

    step: int
    loss: float | None


@dataclass(frozen=True, slots=True)
class Course:
    """How far patience is used up: the best evaluation, and those after it that count as bad."""

    best: Evaluation | None
    bad: tuple[Evaluation, ...]


def course(evaluations: Sequence[Evaluation], knobs: EarlyStopping) -> Course:
    """Fold the evaluations, in order of steps, as the service is documented to do."""
    best: Evaluation | None = None
    bad: list[Evaluation] = []
    for index, evaluation in enumerate(evaluations):
        if _improves(evaluation, best, knobs.min_delta):
            best, bad = evaluation, []
        elif index >= knobs.warmup or evaluation.loss is None:
            bad.append(evaluation)
    return Course(best, tuple(bad))


def _improves(evaluation: Evaluation, best: Evaluation | None, min_delta: float) -> bool:
    if evaluation.loss is None:
        return False
    return best is None or best.loss is None or best.loss - evaluation.loss > min_delta
