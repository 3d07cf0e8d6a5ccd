"""What can be observed of a job, an account or the watcher itself: the only input that rules have.

Numbers are kept as the API gave them: a field that was null or missing is None, a non-finite one is a float NaN or
infinity. Use `finite` before a comparison or an average: NaN enters neither.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import Any


class Status(StrEnum):
    """Life cycle of a fine-tuning job; a word that this version does not know is UNRECOGNISED and not terminal."""

    PENDING = "pending"
    QUEUED = "queued"
    RUNNING = "running"
    COMPRESSING = "compressing"
    UPLOADING = "uploading"
    CANCEL_REQUESTED = "cancel_requested"
    CANCELLED = "cancelled"
    ERROR = "error"
    USER_ERROR = "user_error"
    COMPLETED = "completed"
    UNRECOGNISED = "unrecognised"

    def __init__(self, word: str) -> None:
        self.terminal = word in ("cancelled", "error", "user_error", "completed")
        self.waiting = word in ("pending", "queued")

    @classmethod
    def named(cls, word: str) -> "Status":
        """The status that the API calls so, in whatever case; UNRECOGNISED for a word that this version lacks."""
        return _BY_WORD.get(word.strip().lower(), cls.UNRECOGNISED)


_BY_WORD = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the API says of one job. Two are equal when nothing but the passing of time and progress differs.

    The list gives a shorter form than the single job: what it lacks is None, and `merged` fills it from what is known.
    Times are aware UTC. `total_price_nano` is in nano-dollars. `eta_seconds` is what the API calls
    `progress.seconds_remaining`: seconds counted from `started_at` of the present stage, not from now.
    """

    job_id: str
    at: datetime = field(compare=False)
    status: Status
    raw_status: str
    created_at: datetime | None = None
    updated_at: datetime | None = field(default=None, compare=False)
    started_at: datetime | None = None
    model: str | None = None
    suffix: str | None = None
    output_name: str | None = None
    user_id: str | None = None
    method: str | None = None
    training_type: str | None = None
    from_checkpoint: str | None = None
    n_epochs: int | None = None
    n_evals: int | None = None
    n_checkpoints: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    warmup_ratio: float | None = None
    lr_scheduler: str | None = None
    max_grad_norm: float | None = None
    training_file: str | None = None
    validation_file: str | None = None
    total_steps: int | None = None
    eval_steps: int | None = None
    steps_completed: int | None = field(default=None, compare=False)
    evals_completed: int | None = field(default=None, compare=False)
    epochs_completed: int | None = field(default=None, compare=False)
    queue_depth: int | None = field(default=None, compare=False)
    usual_wait_seconds: float | None = field(default=None, compare=False)
    """What the account's last jobs waited before they ran, in the middle: added by the sweep, not by the API."""
    eta_seconds: float | None = field(default=None, compare=False)
    token_count: int | None = None
    param_count: int | None = None
    total_price_nano: int | None = None
    early_stopped: bool | None = None
    best_step: int | None = None
    best_metric: float | None = None
    wandb_url: str | None = None

    def merged(self, known: "Snapshot | None") -> "Snapshot":
        """This snapshot; what it does not say is taken from an earlier one, unless it was said of another stage."""
        if known is None:
            return self
        said, before = _VALUES(self), _VALUES(known)
        values = [earlier if value is None else value for value, earlier in zip(said, before, strict=True)]
        if known.status is not self.status:
            for place in _OF_STAGE:
                values[place] = said[place]
        return _snapshot(values)

    def outdated_by(self, known: "Snapshot") -> bool:
        """Whether this is an answer of before the end that is known: a cache or a replica that lags gives such ones."""
        if not known.status.terminal or self.status.terminal or self.updated_at is None or known.updated_at is None:
            return False
        return self.updated_at < known.updated_at


_NAMES = [f.name for f in fields(Snapshot)]
_VALUES = attrgetter(*_NAMES)
_OF_STAGE = [_NAMES.index("eta_seconds"), _NAMES.index("queue_depth")]
_SETTERS = [getattr(Snapshot, name).__set__ for name in _NAMES]


def _snapshot(values: Iterable[Any]) -> Snapshot:
    """A snapshot of values in the order of its fields.

    In every sweep each list entry is merged with what is known of its job: this way it takes 3 µs, by `replace` 9.
    """
    made = object.__new__(Snapshot)
    for setter, value in zip(_SETTERS, values, strict=True):
        setter(made, value)
    return made


@dataclass(frozen=True, slots=True)
class TrainRow:
    """One training step as logged; `at_ns` is Unix time in nanoseconds, exact. Loss in nats, norm before clipping."""

    step: int
    at_ns: int
    loss: float | None
    grad_norm: float | None = None
    lr: float | None = None


@dataclass(frozen=True, slots=True)
class EvalRow:
    """One evaluation; `at_ns` is Unix time in nanoseconds, exact."""

    step: int
    at_ns: int
    loss: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the job's event log. `type` is lower case and free of aliases; `known` is False for a new word."""

    type: str
    at: datetime
    message: str = ""
    level: str | None = None
    step: int | None = None
    total_steps: int | None = None
    token_count: int | None = None
    checkpoint_path: str | None = None
    model_path: str | None = None
    best_step: int | None = None
    best_metric: float | None = None
    known: bool = True


@dataclass(frozen=True, slots=True)
class Gone:
    """A job that was known is answered with 404."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Rows of a job came after all others that could not be made out: a sign of life, and nothing else is known."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepOutcome:
    """How one pass over one account went: `reason` is None when the account could be seen.

    `unreadable` tells of entries of the answers that could not be made out: (what they are, how many, one job's id).
    """

    at: datetime
    reason: str | None = None
    detail: str = ""
    unreadable: tuple[tuple[str, int, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """A word of the API that this version does not know. `what` is status, event or metric."""

    at: datetime
    what: str
    word: str
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Something wrong with the watcher itself. `kind` is rule_crash, dead_letter, store, reload or clock.

    `key` tells faults of one kind apart (a rule's name, a target's id). `over` ends it.
    """

    at: datetime
    kind: str
    key: str
    detail: str
    over: bool = False


Row = TrainRow | EvalRow
Observation = Snapshot | TrainRow | EvalRow | Event | Gone | Unreadable | SweepOutcome | Drift | Fault


def undisguised(row: TrainRow) -> float | None:
    """The loss; some trainers log a broken step as a loss of 0.0, or none, beside a norm that is no number."""
    hidden = not row.loss and row.grad_norm is not None and not math.isfinite(row.grad_norm)
    return math.nan if hidden else row.loss


def finite(value: float | None) -> float | None:
    """The value when it is a number that may be compared and averaged, else None."""
    return value if value is not None and math.isfinite(value) else None


def steps_after(last: int | None, observations: Iterable[Observation]) -> list[int | None]:
    """The highest step of a row after each of them; `last` is that before them."""
    steps = list[int | None]()
    for observation in observations:
        if isinstance(observation, (TrainRow, EvalRow)) and (last is None or observation.step > last):
            last = observation.step
        steps.append(last)
    return steps
