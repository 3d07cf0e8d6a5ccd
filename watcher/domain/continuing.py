"""What people read of checkpoints: the best saved one, what was never saved, and the command that goes on from it."""

import math
import re
import shlex
from dataclasses import dataclass
from typing import TypeVar

from watcher.domain.checkpoints import Basis, Choice, Measure, Place, reference
from watcher.domain.observations import Snapshot, finite
from watcher.domain.phrasing import number

T = TypeVar("T")
LOWER = 0.5
"""The learning rate of the new job, as a share of the old one's: a first try, not a law."""
_PLAIN = re.compile(r"[\w][\w .:/+=-]{0,99}", re.ASCII)
"""Text from the API that a command line takes over: nothing that any shell, terminal or chat could read as its own."""
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
        "n-epochs": _beside(_epochs_left(job, place.step), 1),
        "n-checkpoints": _beside(job.n_checkpoints or None, 1),
        "training-method": method if method != "sft" else None,
        **_evaluated(job),
        "batch-size": job.batch_size,
        "lr-scheduler-type": job.lr_scheduler if job.lr_scheduler in _SCHEDULERS else None,
        "warmup-ratio": _digits(_beside(job.warmup_ratio, 0.0)),
        "max-grad-norm": _digits(_beside(job.max_grad_norm, 1.0)),
        "suffix": _plain(job.suffix),
    }
    flags = [f"--{name}={value}" for name, value in values.items() if value is not None]
    return Continuation(shlex.join(["together", "fine-tuning", "create", *flags]))


def _plain(text: str | None) -> str | None:
    """The text; anything that is more than a name is as good as not known."""
    return text if text and _PLAIN.fullmatch(text) and "//" not in text else None


def _beside(value: T, default: T) -> T | None:
    """What is not what the command takes without the flag."""
    return None if value == default else value


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

_RESTS_ON = {
    Basis.OWN: "",
    Basis.AROUND: ", the worse of the evaluations around it",
    Basis.BEFORE: ", of the evaluation before it",
}


def worth(place: Place, measure: Measure | None) -> str:
    """`eval loss 1.21`, or what it rests on beside that."""
    return f"{measure} {number(place.loss)}{_RESTS_ON[place.basis]}"


def best(choice: Choice, job_id: str) -> str:
    """The best saved place with its worth and what `from_checkpoint` takes; empty where none is known."""
    if choice.saved is None:
        return ""
    where = f"step {choice.saved.step} ({worth(choice.saved, choice.measure)})"
    return f"{where}, from_checkpoint {reference(job_id, choice.saved.step, final=choice.saved.final)}"


def unsaved(choice: Choice) -> tuple[tuple[str, str], ...]:
    """A better place at which nothing is saved: one (label, value) pair, or none."""
    if choice.unsaved is None:
        return ()
    label = "better, but not saved" if choice.saved else "best so far, but not saved"
    return ((label, f"step {choice.unsaved.step} ({worth(choice.unsaved, choice.measure)})"),)


def rows(
    choice: Choice, job_id: str, *, newest: int | None, unplaced: int = 0, onset: int | None = None
) -> tuple[tuple[str, str], ...]:
    """(label, value) pairs: the saved checkpoint to go on from, and a better place. Empty where nothing is saved.

    Args:
        choice: What is known to be saved, and how good it is.
        job_id: The job.
        newest: The newest saved step.
        unplaced: How many are saved at steps that are not known.
        onset: The step at which what is told of began.
    """
    if choice.saved is not None:
        measured = choice.measure is Measure.EVAL and choice.saved.basis is Basis.OWN
        late = "" if measured else _late(choice.saved.step, onset)
        return (("best checkpoint", best(choice, job_id) + late), *unsaved(choice))
    if newest is not None:
        return (
            ("newest checkpoint", f"step {newest}, from_checkpoint {reference(job_id, newest)}{_late(newest, onset)}"),
        )
    return (("newest checkpoint", f"{unplaced} saved, at steps that the log does not tell"),) if unplaced else ()


def _late(step: int, onset: int | None) -> str:
    return ", saved after it began" if onset is not None and step >= onset else ""


def lost(step: int | None) -> str:
    """What a cancel means while nothing is saved."""
    if not step:
        return ""
    return f"a cancel now would lose all {step} steps" if step > 1 else "a cancel now would lose its one step"


def kept(choice: Choice, newest: int | None, unplaced: int = 0) -> str:
    """After a cancel: the best saved place and what was better, in one sentence."""
    other = choice.unsaved
    missed = f"; {choice.measure} {number(other.loss)} at step {other.step} was not saved" if other else ""
    if choice.saved is not None:
        return f"Best saved checkpoint: step {choice.saved.step}, {worth(choice.saved, choice.measure)}{missed}."
    if newest is not None:
        return f"Newest saved checkpoint: step {newest}, of which no loss is known{missed}."
    if unplaced:
        return "Checkpoints were saved, at steps that the log does not tell."
    return "No checkpoint had been saved."
