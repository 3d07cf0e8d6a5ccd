"""When an auto-cancel may happen: every guard, each refusal with its reason. Pure: what is not known refuses.

The one thing that is not asked to be known is the plan: where the API never said how many steps are planned, the
progress bounds cannot be computed and do not apply; the breach itself must be known all the same.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from fnmatch import fnmatchcase

from watcher.domain.observations import Snapshot, Status
from watcher.domain.verdicts import Finding

CONFIRMATIONS = 2
"""Sweeps with fresh data in which the finding must hold."""
NEVER_CANCELS = "this rule never cancels"


class CancelMode(StrEnum):
    """What the policy does when every guard agrees."""

    OFF = "off"
    OBSERVE = "observe"
    PROPOSE = "propose"
    ENFORCE = "enforce"


class Guard(StrEnum):
    """Who refused: stable words for logs, metrics and pages."""

    MODE = "mode"
    CAPABILITY = "capability"
    FINDING = "finding"
    UNKNOWN = "unknown"
    CONFIRMATION = "confirmation"
    FRESHNESS = "freshness"
    STATUS = "status"
    PROGRESS = "progress"
    NEVER = "never"
    VETO = "veto"
    ASKED = "asked"
    RATE = "rate"
    KILL_SWITCH = "kill_switch"

    @property
    def passing(self) -> bool:
        """Whether the next sweep may well agree: an open proposal waits for it, and nobody is told of the refusal."""
        return self in (Guard.CONFIRMATION, Guard.FRESHNESS, Guard.UNKNOWN)

    @property
    def worth_telling(self) -> bool:
        """Whether people are told, once an alert, that this kept a job from being cancelled."""
        return self in (Guard.NEVER, Guard.RATE, Guard.KILL_SWITCH, Guard.PROGRESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelPolicy:
    """The settings of one selection. `never` holds globs on job id, suffix, model and output name.

    `veto_window` is how long people have to say no, in the mode `propose`.
    """

    mode: CancelMode = CancelMode.OFF
    min_progress: float = 0.02
    max_progress: float = 0.90
    max_per_hour: int = 3
    veto_window: timedelta = timedelta(minutes=15)
    never: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What the guards look at. `finding` is None when the rule is clear or unknown at this moment.

    `unknown` says that it is the latter: as after a restart, before the first fresh row. `proposed` is the mode of the
    proposal that is open, None before there is one. `asked` says that the API took a cancel of this job before.
    `cancels_last_hour` counts those of all jobs, `cancels_proposed` those that people are asked about; `rate_stopped`
    says that their number stopped this one before, and that there was no hour without one since.
    """

    finding: Finding | None
    unknown: bool = False
    confirmations: int
    fresh: bool
    snapshot: Snapshot
    step: int | None
    vetoed: bool
    cancels_last_hour: int
    kill_switch: bool
    proposed: CancelMode | None = None
    asked: bool = False
    cancels_proposed: int = 0
    rate_stopped: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """One guard said no, and why."""

    guard: Guard
    reason: str


@dataclass(slots=True)
class _Refusals:
    items: list[Refusal] = field(default_factory=list)

    def unless(self, agreed: bool, guard: Guard, reason: str) -> None:  # noqa: FBT001 - reads as a sentence
        if not agreed:
            self.items.append(Refusal(guard, reason))


def refusals(policy: CancelPolicy, seen: Evidence) -> tuple[Refusal, ...]:
    """Every guard that refuses; empty when the cancel may happen, or in the mode `observe` would."""
    no = _Refusals()
    job, finding = seen.snapshot, seen.finding
    no.unless(_acts(policy.mode, seen.proposed), Guard.MODE, f"auto-cancel is {policy.mode} for this selection of jobs")
    no.unless(not seen.unknown, Guard.UNKNOWN, "the rule can't tell at the moment")
    no.unless(finding is not None or seen.unknown, Guard.FINDING, "the rule does not find it any more")
    no.unless(finding is None or finding.may_cancel, Guard.CAPABILITY, NEVER_CANCELS)
    no.unless(seen.fresh, Guard.FRESHNESS, "the last sweep brought no fresh data of this job")
    no.unless(
        seen.confirmations >= CONFIRMATIONS,
        Guard.CONFIRMATION,
        f"seen on fresh data in {seen.confirmations} of {CONFIRMATIONS} sweeps",
    )
    no.unless(job.status is Status.RUNNING, Guard.STATUS, f"the job is {job.raw_status}, not running")
    out = out_of_bounds(policy, seen.step, job.total_steps)
    no.unless(out is None, Guard.PROGRESS, out or "")
    match = protected_by(policy, job)
    no.unless(match is None, Guard.NEVER, f"the job is on the never-cancel list ({match})")
    no.unless(not seen.vetoed, Guard.VETO, "somebody vetoed cancels of this job")
    no.unless(not seen.asked, Guard.ASKED, "a cancel of this job was taken before, and is never asked for twice")
    rate = _too_many(policy, seen)
    no.unless(not rate, Guard.RATE, rate)
    no.unless(not seen.kill_switch, Guard.KILL_SWITCH, "the kill switch file no-cancel is there")
    return tuple(no.items)


def _too_many(policy: CancelPolicy, seen: Evidence) -> str:
    """Why the number of cancels stops this one, or nothing."""
    if seen.cancels_last_hour + seen.cancels_proposed < policy.max_per_hour:
        return "too many cancels stopped it, and an hour without one has not passed yet" if seen.rate_stopped else ""
    proposed = f" and {seen.cancels_proposed} proposed" if seen.cancels_proposed else ""
    return f"{seen.cancels_last_hour} cancels in the last hour{proposed}, the limit is {policy.max_per_hour}"


def _acts(mode: CancelMode, proposed: CancelMode | None) -> bool:
    """Whether the mode in force lets this go on.

    What was proposed goes on as it was announced. A reload to `enforce` takes nobody's window away; one to any other
    mode ends it, and the job is judged anew in that mode.
    """
    if proposed is None:
        return mode is not CancelMode.OFF
    return mode is proposed or (mode is CancelMode.ENFORCE and proposed is CancelMode.PROPOSE)


def out_of_bounds(policy: CancelPolicy, step: int | None, total_steps: int | None) -> str | None:
    """Why the progress is outside the bounds, or None when it is within them or the plan is unknown."""
    if total_steps is None or total_steps <= 0:
        return None
    if step is None:
        return "no step was seen yet"
    share = step / total_steps
    if policy.min_progress <= share <= policy.max_progress:
        return None
    low, high = round(100 * policy.min_progress), round(100 * policy.max_progress)
    return f"step {step} of {total_steps} is {100 * share:.0f} %, outside {low}–{high} %"


def protected_by(policy: CancelPolicy, job: Snapshot) -> str | None:
    """The first glob of the never-cancel list that the job matches."""
    names = [name for name in (job.job_id, job.suffix, job.model, job.output_name) if name]
    return next((glob for glob in policy.never if any(fnmatchcase(name, glob) for name in names)), None)
