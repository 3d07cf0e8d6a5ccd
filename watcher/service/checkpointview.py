"""What a job's page says of its checkpoints: all that are saved, and which of them to go on from, with the command."""

import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from watcher.domain.checkpoints import Choice, Saved, choose, curve_of, final_step, nanoseconds, reference
from watcher.domain.continuing import best, continuation, lost, rows, unsaved
from watcher.domain.early_stopping import evaluations_of
from watcher.domain.observations import Event, Row, Status, TrainRow
from watcher.service.book import attempt_of, chosen
from watcher.service.bookstate import BookState, unpacked
from watcher.service.records import Checkpoint, JobRecord
from watcher.service.status import iso

Json = dict[str, Any]


def saved_rows(record: JobRecord, state: BookState) -> tuple[tuple[str, str], ...]:
    """What is saved of a job, as messages say it: (label, value) pairs, none where nothing is."""
    if record.gone:
        return ()
    newest, unplaced = state.checkpoint_step, state.shelf.unplaced
    return rows(chosen(record, state), record.key.job_id, newest=newest, unplaced=unplaced)


def going_on_view(record: JobRecord, found: Iterable[Checkpoint], seen: Sequence[Row], *, unplaced: int = 0) -> Json:
    """From which of the checkpoints to go on, and at which better step none was saved.

    `measure` is what they were compared by, or None; `saved` and `unsaved` are the best places, or None (`basis`: whose
    loss it is, its own, the worse of the evaluations around it, or that before it); `replaced` are
    steps that an attempt saved which is over, `not_compared` those of which no loss is known. `command` makes a job
    that goes on with a lower learning rate; where it is None, `missing` says what of the old job is not known. `lines`
    are the same as sentences.

    Args:
        record: The job.
        found: Its checkpoints.
        seen: Its rows of the present attempt, in order.
        unplaced: How many more are saved, at steps that nobody tells.
    """
    attempt = attempt_of(unpacked(record))
    kept = [] if record.gone else [_saved(c) for c in found]
    curve = curve_of(row for row in seen if isinstance(row, TrainRow))
    choice = choose([c for c in kept if c is not None], evaluations_of(seen), curve, attempt)
    place = choice.saved
    way = continuation(record.snapshot, place) if place else None
    last = max((row.step for row in seen if isinstance(row, TrainRow)), default=None)
    job_id = record.key.job_id
    return {
        "measure": choice.measure.value if choice.measure else None,
        "saved": None
        if place is None
        else {
            "step": place.step,
            "loss": place.loss,
            "basis": place.basis.value,
            "from_checkpoint": reference(job_id, place.step, final=place.final),
        },
        "unsaved": {"step": choice.unsaved.step, "loss": choice.unsaved.loss} if choice.unsaved else None,
        "newest": choice.newest,
        "replaced": list(choice.replaced),
        "not_compared": list(choice.unvalued),
        "command": (way.command or None) if way else None,
        "missing": list(way.missing) if way else [],
        "lines": _lines(record, choice, way.missing if way else (), last, unplaced),
    }


def _lines(record: JobRecord, choice: Choice, missing: Sequence[str], last: int | None, unplaced: int) -> list[str]:
    known = best(choice, record.key.job_id)
    lines = [
        f"best saved: {known}" if known else "",
        *(f"{label}: {value}" for label, value in unsaved(choice)),
        f"not compared, since no loss is known of them: {_steps(choice.unvalued)}" if choice.unvalued else "",
        f"of an attempt that is over, perhaps written over since: {_steps(choice.replaced)}" if choice.replaced else "",
        f"{unplaced} more, at steps that the log does not tell" if unplaced else "",
        f"no command to go on from it, for want of {' and '.join(missing)}" if missing else "",
    ]
    open_ended = not (record.snapshot.status.terminal or record.gone)
    if open_ended and last and choice.newest is None and not choice.replaced and not unplaced:
        lines.insert(0, f"none is saved yet: {lost(last)}")
    return [line for line in lines if line]


def _steps(steps: Sequence[int]) -> str:
    return f"step{'s' if len(steps) > 1 else ''} {', '.join(map(str, steps))}"


def _saved(checkpoint: Checkpoint) -> Saved | None:
    if checkpoint.step is None:
        return None
    at = nanoseconds(checkpoint.created_at) if checkpoint.created_at else 0
    return Saved(checkpoint.step, at, final=checkpoint.final)


def unplaced_in(log: Iterable[Event]) -> int:
    """How many checkpoints the log tells of without their step."""
    return sum(event.type == "checkpoint_save" and event.step is None for event in log)


def stored_checkpoints(record: JobRecord, log: Sequence[Event], seen: Sequence[Row]) -> list[Checkpoint]:
    """What the event log says was saved, the final model first, then the newest step first."""
    job_id = record.key.job_id
    saved: dict[int, Event] = {e.step: e for e in log if e.type == "checkpoint_save" and e.step is not None}
    found = [
        Checkpoint(
            step=step,
            type="Intermediate",
            created_at=event.at,
            path=event.checkpoint_path or "",
            reference=f"{job_id}:{step}",
            final=False,
        )
        for step, event in sorted(saved.items(), reverse=True)
    ]
    final = _final(record, log, seen)
    return [final, *found] if final else found


def _final(record: JobRecord, log: Sequence[Event], seen: Sequence[Row]) -> Checkpoint | None:
    if record.snapshot.status is not Status.COMPLETED:
        return None
    last = max((row.step for row in seen if isinstance(row, TrainRow)), default=record.snapshot.steps_completed)
    done = next((e for e in reversed(log) if e.type == "job_complete"), None)
    return Checkpoint(
        step=final_step(record.snapshot, last),
        type="Final",
        created_at=done.at if done else record.ended_at,
        path=(done.model_path if done else None) or "",
        reference=record.key.job_id,
        final=True,
    )


def checkpoint_view(checkpoint: Checkpoint, job_id: str) -> Json:
    """One checkpoint, with what a new job's `from_checkpoint` takes and the command that fetches it."""
    return {
        "step": checkpoint.step,
        "type": checkpoint.type,
        "final": checkpoint.final,
        "created_at": iso(checkpoint.created_at),
        "path": checkpoint.path,
        "from_checkpoint": checkpoint.reference,
        "download": _download(checkpoint, job_id),
    }


def _download(checkpoint: Checkpoint, job_id: str) -> str:
    command = ["together", "fine-tuning", "download", job_id]
    if not checkpoint.final:
        command += ["--checkpoint-step", str(checkpoint.step)]
    kind = checkpoint.type.lower()
    for selector in ("merged", "adapter"):
        if checkpoint.final and selector in kind:
            command += ["--checkpoint-type", selector]
    return shlex.join(command)
