"""One job: a script, the moment it was born, and what its owner did to it."""

import uuid
from dataclasses import dataclass
from typing import Any

from watcher.simulator.script import Script, ScriptedEvent, Timing

_IDS = uuid.UUID("5f0c2b5e-3c55-4d58-9b0e-6f2f0d7f1a01")
_CANCELLABLE = frozenset({"pending", "queued", "running", "compressing", "uploading"})


def job_id_of(run_id: str, nth: int = 1) -> str:
    """The id of the nth job made from a run: the same in every process."""
    return f"ft-{uuid.uuid5(_IDS, f'{run_id}#{nth}')}"


@dataclass(frozen=True, slots=True)
class Moment:
    """How far a job has come: its script up to `horizon_ns`, in nanoseconds since its birth, like all times here."""

    status: str
    since_ns: int
    horizon_ns: int
    rows: int
    events: list[ScriptedEvent]

    @property
    def changed_ns(self) -> int:
        """When status or log changed last."""
        return max([self.since_ns, *(event.ns for event in self.events[-1:])])


@dataclass(slots=True, kw_only=True)
class Job:
    """One job of the simulated service. `born_ns` is Unix time in nanoseconds; it may lie ahead."""

    id: str
    suffix: str
    script: Script
    timing: Timing
    born_ns: int
    fields: dict[str, Any]
    predecessor: "Job | None" = None
    successor_id: str = ""
    cancel_ns: int | None = None

    def exists(self, now_ns: int) -> bool:
        """Whether it was made by now and not deleted yet.

        A restarted job is not made when the one before it never came to the error.
        """
        spared = self.predecessor is not None and self.predecessor.stopped_ns is not None
        deleted = self.script.deleted_ns is not None and now_ns - self.born_ns >= self.script.deleted_ns
        return self.born_ns <= now_ns and not spared and not deleted

    @property
    def stopped_ns(self) -> int | None:
        """When a cancel takes hold; None without one, or when the job ends by itself before."""
        if self.cancel_ns is None:
            return None
        stop = self.cancel_ns + self.timing.cancel_ns
        overtaken = self.script.end_ns is not None and self.script.end_ns <= stop
        return None if overtaken else stop

    def cancel(self, now_ns: int) -> bool:
        """Ask for a cancel at Unix time `now_ns`; False when the job is in no state to be cancelled."""
        if self.at(now_ns).status not in _CANCELLABLE:
            return False
        self.cancel_ns = now_ns - self.born_ns
        return True

    def at(self, now_ns: int) -> Moment:
        """How far it has come at Unix time `now_ns`. Rows go on until a cancel takes hold, as training does."""
        age = now_ns - self.born_ns
        stop = self.stopped_ns
        horizon = age if stop is None else min(age, stop)
        since, status = next(phase for phase in reversed(self.script.phases) if phase[0] <= horizon)
        if self.cancel_ns is not None and status in _CANCELLABLE and age >= self.cancel_ns:
            since, status = self.cancel_ns, "cancel_requested"
        if stop is not None and age >= stop:
            since, status = stop, "cancelled"
        rows = min(self.script.rows.count_until(horizon), self.script.row_limit)
        return Moment(status, since, horizon, rows, self._events(age, horizon))

    def _events(self, age: int, horizon: int) -> list[ScriptedEvent]:
        """The log by now; what follows a job's end (a refund) still comes, but not what a cancel prevented."""
        events = [event for event in self.script.events if event.ns <= horizon]
        if self.cancel_ns is None:
            return events
        events.append(ScriptedEvent(self.cancel_ns, "CANCEL_REQUESTED", "Cancel requested"))
        stop = self.stopped_ns
        if stop is not None and age >= stop:
            events.append(ScriptedEvent(stop, "JOB_STOPPED", "Job stopped"))
        return sorted(events, key=lambda event: event.ns)
