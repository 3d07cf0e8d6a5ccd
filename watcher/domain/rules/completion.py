"""`completion`: the job completed; what came out of it, what it cost and how to fetch it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import ClassVar

from watcher.domain import money
from watcher.domain.early_stop_check import would
from watcher.domain.early_stop_words import would_words
from watcher.domain.early_stopping import DOCUMENTED, Course, Evaluation
from watcher.domain.event_log import earliest, highest
from watcher.domain.observations import EvalRow, Event, Observation, Snapshot, Status, TrainRow, finite
from watcher.domain.phrasing import number, pairs, quote, span, steps
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Unknown, Verdict

_WAITING_FOR_LOG = Unknown("completed; waiting for the rest of the event log")
_WAITING_FOR_NAME = Unknown("completed; waiting for the name of the output model")
_CHECKPOINTS = 20
_BEGINNINGS = frozenset({"job_start", "training_start"})


@dataclass(slots=True)
class CompletionState:
    """What the message will need. `saved` holds the steps of the last 20 checkpoints, in order.

    `course` is what early stopping with its documented defaults would have made of the evaluations before `newest`,
    which can still be corrected.
    """

    job_id: str = ""
    status: Status | None = None
    completed_at: datetime | None = None
    created_at: datetime | None = None
    begun_at: datetime | None = None
    finished_at: datetime | None = None
    output_name: str = ""
    price_nano: int | None = None
    done: int | None = None
    planned: int | None = None
    early_stopped: bool = False
    promoted_step: int | None = None
    best_loss: float | None = None
    best_step: int | None = None
    saved: list[int] = field(default_factory=list)
    n_evals: int | None = None
    evals: int = 0
    newest: Evaluation | None = None
    course: Course = field(default_factory=Course)


@dataclass(frozen=True, slots=True)
class Completion:
    """Fires once when the job completed.

    A job can be `completed` some time before its output model has a name: the rule waits for it at most `name_wait`. It
    also waits for the log's last entry, at most `log_wait`, so that the message holds the true end.

    Of a job that was not stopped early it says what early stopping would have saved, with the documented defaults.
    """

    name: str = "completion"
    name_wait: timedelta = timedelta(minutes=10)
    log_wait: timedelta = timedelta(minutes=1)

    version: ClassVar[int] = 2
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, TrainRow, EvalRow, Event)
    timed: ClassVar[bool] = True

    def start(self) -> CompletionState:
        return CompletionState()

    def observe(self, state: CompletionState, observation: Observation) -> None:
        match observation:
            case TrainRow():
                state.done = highest(state.done, observation.step)
            case EvalRow():
                _take_eval(state, observation)
            case Event():
                _take_event(state, observation)
            case Snapshot():
                _take_snapshot(state, observation)
            case _:
                pass

    def judge(self, state: CompletionState, now: datetime) -> Verdict:
        if state.status is not Status.COMPLETED or state.completed_at is None:
            return CLEAR
        waited = now - state.completed_at
        if not state.output_name and waited < self.name_wait:
            return _WAITING_FOR_NAME
        if state.finished_at is None and waited < self.log_wait:
            return _WAITING_FOR_LOG
        return Breach((_finding(state),))


def _take_eval(state: CompletionState, row: EvalRow) -> None:
    loss = finite(row.loss)
    if loss is not None and (state.best_loss is None or loss < state.best_loss):
        state.best_loss, state.best_step = loss, row.step
    if state.newest is None or row.step != state.newest.step:
        state.course = _course(state)
        state.evals += 1
    state.newest = Evaluation(row.step, loss)


def _take_event(state: CompletionState, event: Event) -> None:
    state.planned = state.planned or event.total_steps or None
    if event.type in _BEGINNINGS:
        state.begun_at = earliest(state.begun_at, event.at)
    elif event.type == "job_complete":
        state.finished_at = earliest(state.finished_at, event.at)
    elif event.type == "checkpoint_save" and event.step and event.step not in state.saved:
        state.saved = sorted([*state.saved, event.step])[-_CHECKPOINTS:]


def _take_snapshot(state: CompletionState, snapshot: Snapshot) -> None:
    state.job_id, state.status = snapshot.job_id, snapshot.status
    state.created_at = snapshot.created_at or state.created_at
    state.output_name = (snapshot.output_name or "").strip() or state.output_name
    state.price_nano = snapshot.total_price_nano or state.price_nano
    state.done = highest(state.done, snapshot.steps_completed)
    state.planned = snapshot.total_steps or state.planned
    state.n_evals = snapshot.n_evals or state.n_evals
    state.early_stopped |= bool(snapshot.early_stopped)
    if state.early_stopped:
        state.promoted_step = snapshot.best_step or state.promoted_step
    if snapshot.status is Status.COMPLETED:
        state.completed_at = state.completed_at or snapshot.at


def _finding(state: CompletionState) -> Finding:
    done = steps(state.done, state.planned)
    best = f"{number(state.best_loss)} at step {state.best_step}" if state.best_loss is not None else None
    name = quote(state.output_name) or "name not given yet"
    early = f", stopped early by the provider, ships step {state.promoted_step}" if state.promoted_step else ""
    took, price = _duration(state), money.price_as_given(state.price_nano)
    words = [f"The job completed ({name})"]
    words += [f"in {took}"] if took else []
    words += [f"after {done} steps{early}"] if done else []
    return Finding(
        kind="completed",
        severity=Severity.INFO,
        reason=f"{' '.join(words)}; best eval loss {best or 'unknown'}; price {price}.",
        step=state.done,
        evidence=pairs(
            ("model", name),
            ("duration", took),
            ("steps", done),
            ("best eval loss", best),
            ("checkpoints saved at steps", ", ".join(map(str, state.saved)) or None),
            ("early stopping", _would_have(state)),
            ("download", f"together fine-tuning download {quote(state.job_id)}"),
        ),
        notice=True,
    )


def _course(state: CompletionState) -> Course:
    return state.course if state.newest is None else state.course.take(state.newest, DOCUMENTED)


def _would_have(state: CompletionState) -> str | None:
    """What the documented defaults would have saved; None where it was stopped early, or they would not have fired."""
    evals = state.n_evals or state.evals
    lowest = Evaluation(state.best_step, state.best_loss) if state.best_step is not None else None
    found = would(_course(state), lowest)
    if state.early_stopped or found is None or evals < DOCUMENTED.least_evals:
        return None
    return would_words(
        found,
        DOCUMENTED,
        "the documented defaults",
        until=state.planned,
        planned=state.planned,
        price_nano=state.price_nano,
    )


def _duration(state: CompletionState) -> str | None:
    """From the start of the work, or else from creation, to the end; None where the times make no sense."""
    begun = state.begun_at or state.created_at
    ended = state.finished_at or state.completed_at
    if begun is None or ended is None or ended < begun:
        return None
    return span(ended - begun) + ("" if state.begun_at else " since it was created")
