"""`deleted`: a job that was known is gone."""

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from watcher.domain.event_log import highest
from watcher.domain.observations import Gone, Observation, Snapshot
from watcher.domain.phrasing import clock, pairs, quote, steps
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import CLEAR, Breach, Finding, Severity, Verdict


@dataclass(slots=True)
class DeletedState:
    """What was last known of it, and since when it is gone; a job that is seen again is not."""

    raw_status: str = ""
    ended: bool = False
    output_name: str = ""
    done: int | None = None
    planned: int | None = None
    gone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Deleted:
    """Fires once when a known job is answered with 404.

    Deleting destroys every file that a job made, intermediate checkpoints and final model alike, so it is told for a
    job that had ended too. It can't be undone, and the watcher never does it.
    """

    name: str = "deleted"

    version: ClassVar[int] = 1
    subject: ClassVar[SubjectKind] = SubjectKind.JOB
    sees: ClassVar[tuple[type, ...]] = (Snapshot, Gone)
    timed: ClassVar[bool] = False

    def start(self) -> DeletedState:
        return DeletedState()

    def observe(self, state: DeletedState, observation: Observation) -> None:
        if isinstance(observation, Gone):
            state.gone_at = state.gone_at or observation.at
        elif isinstance(observation, Snapshot):
            state.raw_status, state.ended = observation.raw_status, observation.status.terminal
            state.output_name = observation.output_name or state.output_name
            state.done = highest(state.done, observation.steps_completed)
            state.planned = observation.total_steps or state.planned
            state.gone_at = None

    def judge(self, state: DeletedState, now: datetime) -> Verdict:  # noqa: ARG002 - the form of a rule
        return CLEAR if state.gone_at is None else Breach((_finding(state, state.gone_at),))


def _finding(state: DeletedState, gone_at: datetime) -> Finding:
    status = quote(state.raw_status) or "unknown"
    when = "after it had ended" if state.ended else "before it had ended"
    where = steps(state.done, state.planned)
    return Finding(
        kind="deleted",
        severity=Severity.WARNING,
        reason=(
            f"The job was deleted {when}: it was {status}{f' at step {where}' if where else ''}, and on "
            f"{clock(gone_at)} the API did not know it any more; its checkpoints and model are gone with it."
        ),
        step=state.done,
        evidence=pairs(("last status", status), ("steps done", where), ("model", quote(state.output_name))),
        notice=True,
    )
