"""The values that cross the ports: what the provider answers and what the store keeps."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from watcher.domain.alerts import Transition
from watcher.domain.holes import Torn
from watcher.domain.observations import Drift, Event, Row, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Whose key it is, as far as the API says."""

    project_id: str | None = None
    project_name: str | None = None
    organization: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """The jobs of one account. `bad` counts entries that could not be read at all; `bad_ids` those with an id."""

    jobs: tuple[Snapshot, ...]
    drift: tuple[Drift, ...] = ()
    bad: int = 0
    bad_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDetail:
    """One job whole: its snapshot and its event log, oldest first."""

    snapshot: Snapshot
    events: tuple[Event, ...]
    drift: tuple[Drift, ...] = ()
    bad: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """Rows in the order of the answer (usually by time).

    `torn` tells of rows that could not be made out, `repeated` counts those that were left out as known.
    """

    rows: tuple[Row, ...]
    drift: tuple[Drift, ...] = ()
    torn: Torn | None = None
    repeated: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """One saved checkpoint; `reference` is what `from_checkpoint` takes (`ft-id:step`, `ft-id` for the final)."""

    step: int | None
    type: str
    created_at: datetime | None
    path: str
    reference: str
    final: bool


@dataclass(frozen=True, slots=True)
class JobKey:
    """A job of an account: ids are unique within one."""

    account: str
    job_id: str


@dataclass(slots=True, kw_only=True)
class JobRecord:
    """What is kept of a job beside its observations, states and alerts.

    `feed` is the state of its book as text (see `service/bookstate.py`): listings read many jobs and few of those.
    `moved` is what rows have changed of it since.

    `last_seq` is the number of its newest observation, `saved_seq` the number up to which the saved rule states have
    folded. `closed` is set when a terminal job's late events are in (or it was silent from the start): it is not
    visited any more. `keep` is a veto: never cancelled.
    """

    key: JobKey
    selection: str
    snapshot: Snapshot
    listed: Snapshot | None = None
    first_seen_at: datetime
    first_running_at: datetime | None = None
    ended_at: datetime | None = None
    closed: bool = False
    silent: bool = False
    keep: bool = False
    gone: bool = False
    health: str = "waiting"
    last_seq: int = 0
    saved_seq: int = 0
    feed: str | None = None
    moved: str | None = None
    detail_at: datetime | None = None
    updated_at: datetime | None = None
    successor: str | None = None

    @property
    def created_at(self) -> datetime | None:
        return self.snapshot.created_at


class KnownJob(NamedTuple):
    """What a start asks of every job: a job's whole record takes twenty times as long to read."""

    job_id: str
    created_at: datetime | None
    first_seen_at: datetime
    first_running_at: datetime | None
    ended: bool
    closed: bool
    successor: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRecord:
    """One rule's state on one subject; `fingerprint` changes with the rule's version and settings.

    `state` is any plain value that `codec` knows; what the store gives back is the JSON value of it.
    """

    rule: str
    fingerprint: str
    state: Any


class Effect(StrEnum):
    """What the dispatcher can do."""

    NOTIFY = "notify"
    CANCEL = "cancel"


class Topic(StrEnum):
    """What a commit changed, as those are told who show it."""

    JOBS = "jobs"
    ALERTS = "alerts"
    PROPOSALS = "proposals"
    SILENCES = "silences"
    RECEIVERS = "receivers"


class OutboxState(StrEnum):
    """due → claimed → done, or back to due with a later `next_at`, or parked as a dead letter."""

    DUE = "due"
    CLAIMED = "claimed"
    DONE = "done"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEffect:
    """An effect to be performed. `key` is unique: enqueuing the same key again does nothing.

    `lane` orders: rows of one lane are performed one by one, oldest first (a target's id, or `cancel:<account>`).
    `payload` is JSON: a Message for a notification, the proposal's id for a cancel.
    """

    key: str
    effect: Effect
    lane: str
    receiver: str = ""
    target: str = ""
    payload: Any = None
    next_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxRow:
    """An effect in the store. `id` grows with time; times are aware UTC."""

    id: int
    key: str
    effect: Effect
    lane: str
    receiver: str
    target: str
    payload: Any
    state: OutboxState
    attempts: int
    created_at: datetime
    next_at: datetime
    claimed_at: datetime | None = None
    done_at: datetime | None = None
    error: str = ""


MANUAL = "manual"
"""The mode of a cancel that a person asked for: it has no alert, and it does not count as one of the watcher's own."""


class ProposalState(StrEnum):
    """proposed → vetoed, withdrawn, or requested → confirmed, overtaken, failed."""

    PROPOSED = "proposed"
    VETOED = "vetoed"
    WITHDRAWN = "withdrawn"
    REQUESTED = "requested"
    CONFIRMED = "confirmed"
    OVERTAKEN = "overtaken"
    FAILED = "failed"

    @property
    def open(self) -> bool:
        return self in (ProposalState.PROPOSED, ProposalState.REQUESTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """One cancel: the watcher's own, or with mode `manual` a person's.

    `requested_at` is the newest stored intent, written before its POST; `posted_at` is when the API took one;
    `tries` counts intents.

    In the mode `propose` people have `window` to say no. `round` counts the full windows that were given: each is
    announced. `announced_at` is when the announcement of this round first reached a receiver that counts, and
    `deadline_at` the end of the window that began then; both are None until then, and no cancel is sent.
    `frozen_at` is since when something that must be known is not: nothing is sent until it is known again.
    `approved_at` is when a person gave up the rest of the window.
    """

    id: str
    key: JobKey
    alert_id: str
    rule: str
    kind: str
    mode: str
    state: ProposalState
    proposed_at: datetime
    step: int | None = None
    reason: str = ""
    window: timedelta = timedelta(0)
    round: int = 1
    announced_at: datetime | None = None
    deadline_at: datetime | None = None
    frozen_at: datetime | None = None
    approved_at: datetime | None = None
    requested_at: datetime | None = None
    posted_at: datetime | None = None
    tries: int = 0
    ended_at: datetime | None = None
    detail: str = ""

    @property
    def ended_the_job(self) -> bool:
        """Whether the watcher has cancelled the job, by itself or for a person, and seen that it took effect."""
        return self.state is ProposalState.CONFIRMED

    def with_window_of(self, stored: "Proposal") -> "Proposal":
        """The same with the window as the store has it; an approval that is known here stays."""
        return replace(
            self,
            window=stored.window,
            round=stored.round,
            announced_at=stored.announced_at,
            deadline_at=stored.deadline_at,
            frozen_at=stored.frozen_at,
            approved_at=self.approved_at or stored.approved_at,
            detail=stored.detail,
        )


class Act(StrEnum):
    """What a person may do: about the cancel of a job, to the job itself, and about who is told."""

    VETO = "veto"
    LIFT = "lift"
    APPROVE = "approve"
    CANCEL = "cancel"
    DELETE = "delete"
    ACK = "ack"
    SILENCE = "silence"
    EXPIRE = "expire"
    DRILL = "drill"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """A person did something about the cancel of a job or about who is told, or tried to: never changed, never removed.

    `who` and `why` are as they were given, `via` is the way (`command`, `link`, `page`, `api`), `proposal_id` is empty
    where no cancel was open, and `outcome` is the word that the person got (see `service/consent.py`), or what was
    made: a silence is about no job, and its key is empty.
    """

    at: datetime
    who: str
    via: str
    what: Act
    key: JobKey
    outcome: str
    why: str = ""
    proposal_id: str = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """A person takes care of an alert: it is not repeated or escalated any more, or not until a time."""

    alert_id: str
    author: str
    comment: str
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTransition:
    """A transition as the router finds it; `facts` is the job as it was then (see `service/facts.py`)."""

    id: int
    transition: Transition
    facts: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxCounts:
    """How full the outbox is.

    `oldest_due_at` is when the oldest notification that is not delivered was made, however often it was tried; or when
    the oldest other effect became due.
    """

    due: int = 0
    waiting: int = 0
    claimed: int = 0
    done: int = 0
    dead: int = 0
    oldest_due_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertQuery:
    """Filters of a listing; None means any."""

    account: str | None = None
    job_id: str | None = None
    firing_only: bool = False
    notices: bool = True
    since: datetime | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """The sweeps of one account: the ends of the newest, and of the newest that saw it.

    Before the first, both are the time at which the daemon began with the account. `reason` is why the newest did not
    see it, or that there was none yet.
    """

    interval: timedelta
    swept_at: datetime
    useful_at: datetime
    reason: str = ""
