"""What people read of checkpoints: the best saved one, what was never saved, and the command that goes on from it."""

import math
import shlex
from dataclasses import dataclass

from watcher.domain.checkpoints import Choice, Measure, Place, reference
from watcher.domain.observations import Snapshot, finite
from watcher.domain.phrasing import number

LOWER = 0.5
"""The learning rate of the new job, as a share of the old one's: a first try, not a law."""
_LONGEST = 200
"""Characters of a value from the API that a command line takes over."""
_METHODS = ("sft", "dpo")
_SCHEDULERS = ("linear", "cosine")


@dataclass(frozen=True, slots=True)
class Continuation:
    """A command for a POSIX shell, quoted; empty where something is missing that it can't do without."""

    command: str = ""
    missing: tuple[str, ...] = ()


def continuation(job: Snapshot, place: Place) -> Continuation:
    """`together fine-tuning create …` for a new job that goes on from a saved place with a lower learning rate.

    The flags are those of the official command (together 3.1). A job that starts from a checkpoint takes its model and
    its training type from it; what the API does not tell of the old job keeps the command's defaults. Every value is
    part of its flag's word, so that text from the API can't become a flag.
    """
    method = (job.method or "sft").lower()
    rate = finite(job.learning_rate)
    missing = [
        *([] if _plain(job.training_file) else ["its training file"]),
        *([] if rate and rate > 0 else ["its learning rate"]),
        *([] if method in _METHODS else ["a training method that the command takes"]),
    ]
    if missing or not rate:
        return Continuation(missing=tuple(missing))
    values: dict[str, object] = {
        "training-file": job.training_file,
        "from-checkpoint": reference(job.job_id, place.step, final=place.final),
        "learning-rate": f"{rate * LOWER:.4g}",
        "n-epochs": _epochs_left(job, place.step),
        "n-checkpoints": job.n_checkpoints or None,
        "training-method": method if method != "sft" else None,
        **_evaluated(job),
        "batch-size": job.batch_size,
        "lr-scheduler-type": job.lr_scheduler if job.lr_scheduler in _SCHEDULERS else None,
        "warmup-ratio": _digits(job.warmup_ratio),
        "max-grad-norm": _digits(job.max_grad_norm),
        "suffix": _plain(job.suffix),
    }
    flags = [f"--{name}={value}" for name, value in values.items() if value is not None]
    return Continuation(shlex.join(["together", "fine-tuning", "create", *flags]))


def _plain(text: str | None) -> str | None:
    """Text that a terminal shows as it is; anything else is as good as not known."""
    return text if text and text.isprintable() and len(text) <= _LONGEST else None


def _digits(value: float | None) -> str | None:
    known = finite(value)
    return None if known is None else f"{known:.6g}"


def _evaluated(job: Snapshot) -> dict[str, object]:
    """The command refuses evaluations without a file to evaluate on."""
    file = _plain(job.validation_file)
    return {"validation-file": file, "n-evals": job.n_evals} if file and job.n_evals else {}


def _epochs_left(job: Snapshot, step: int) -> int | None:
    """What is left of the planned epochs, rounded up, at least one."""
    if not job.n_epochs or not job.total_steps:
        return job.n_epochs or None
    return max(1, math.ceil(job.n_epochs * (job.total_steps - step) / job.total_steps))


# --- words ---


def worth(place: Place, measure: Measure | None) -> str:
    """`eval loss 1.21`, or what it rests on beside that."""
    between = ", the worse of the evaluations around it" if place.between else ""
    return f"{measure} {number(place.loss)}{between}"


def best(choice: Choice, job_id: str) -> str:
    """The best saved place with its worth and what `from_checkpoint` takes; empty where none is known."""
    if choice.saved is None:
        return ""
    where = f"step {choice.saved.step} ({worth(choice.saved, choice.measure)})"
    return f"{where}, from_checkpoint {reference(job_id, choice.saved.step, final=choice.saved.final)}"


def better(choice: Choice) -> str:
    """A better place at which nothing is saved; empty where there is none."""
    return "" if choice.unsaved is None else f"step {choice.unsaved.step} ({worth(choice.unsaved, choice.measure)})"


def lost(step: int | None) -> str:
    """What a cancel means while nothing is saved."""
    if not step:
        return ""
    return f"a cancel now would lose all {step} steps" if step > 1 else "a cancel now would lose its one step"


def kept(choice: Choice, newest: int | None, unplaced: int = 0) -> str:
    """After a cancel: the best saved place and what was better, in one sentence."""
    if choice.saved is not None:
        other = choice.unsaved
        unsaved = f"; {choice.measure} {number(other.loss)} at step {other.step} was not saved" if other else ""
        return f"Best saved checkpoint: step {choice.saved.step}, {worth(choice.saved, choice.measure)}{unsaved}."
    if newest is not None:
        return f"Newest saved checkpoint: step {newest}; how good it is is not known."
    if unplaced:
        return "Checkpoints were saved, at steps that the log does not tell."
    return "No checkpoint had been saved."
