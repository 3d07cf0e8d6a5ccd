"""What the services ask of the outside: provider, store, targets and clock. Adapters live elsewhere and import this."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeVar

from watcher.domain.alerts import Alert, Subject, Transition
from watcher.domain.groups import Decision, Group
from watcher.domain.messages import Message
from watcher.domain.muting import Silence
from watcher.domain.observations import Observation, Snapshot
from watcher.service.known import NONE_KNOWN, KnownRows
from watcher.service.records import (
    Ack,
    AlertQuery,
    Audit,
    Checkpoint,
    Identity,
    JobDetail,
    JobKey,
    JobRecord,
    KnownJob,
    Listing,
    Metrics,
    NewEffect,
    OutboxCounts,
    OutboxRow,
    OutboxState,
    Proposal,
    ProposalState,
    StateRecord,
    StoredTransition,
)

T = TypeVar("T")


class Clock(Protocol):
    """Wall time and monotonic time; only the real one touches the operating system."""

    def now(self) -> datetime:
        """Aware UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    async def sleep(self, seconds: float) -> None: ...


class Provider(Protocol):
    """One account at one provider. Every call raises ProviderError and nothing else."""

    async def whoami(self) -> Identity: ...

    async def list_jobs(self) -> Listing: ...

    async def get_job(self, job_id: str) -> JobDetail: ...

    async def get_metrics(
        self,
        job_id: str,
        *,
        from_step: int = 0,
        last_step: int | None = None,
        known: KnownRows = NONE_KNOWN,
    ) -> Metrics:
        """Rows with step >= from_step. `last_step` is the newest step known of the job, to size the windows.

        Train rows that are `known` may be left out, but for those without a time.
        """

    async def get_checkpoints(self, job_id: str) -> tuple[Checkpoint, ...]:
        """Newest first."""

    async def cancel(self, job_id: str) -> Snapshot:
        """One POST, never retried here. ProviderError.maybe_done tells that the server may have taken it."""

    async def delete(self, job_id: str, *, force: bool = False) -> str:
        """Destroys the job and all its files; the daemon never calls it. Returns the API's message."""

    async def aclose(self) -> None: ...


class Target(Protocol):
    """One place that takes messages: one URL of one receiver. `id` is a keyed hash of the URL, never the URL."""

    id: str
    receiver: str
    scheme: str
    """The kind of service (`slack`, `mailtos`, `console`): safe to show."""
    counts: bool
    """False for the console: a delivery there is no proof that anybody was told."""
    takes_pictures: bool

    async def deliver(self, message: Message, picture: bytes | None = None) -> None:
        """Returns when the service took it. `picture` is a PNG, given only to a target that takes pictures.

        Raises:
            DeliveryError: it did not.
        """


class Receivers(Protocol):
    """The targets that the present configuration has."""

    def targets(self, receiver: str) -> Sequence[Target]:
        """All targets of a receiver; empty when there is none of that name."""

    def target(self, target_id: str) -> Target | None: ...

    def names(self) -> Sequence[str]: ...


class Pictures(Protocol):
    """Draws what a message tells of."""

    async def picture(self, account: str, job_id: str, alert_id: str) -> bytes | None:
        """A PNG of the job's curve, or None when there is nothing to draw or it could not be drawn: never an error.

        `alert_id` names the alert that is marked on it; without one, all that fire are.
        """


class Reads(Protocol):
    """What can be asked of the store, inside one consistent read."""

    def job(self, key: JobKey) -> JobRecord | None: ...

    def jobs(self, account: str | None = None, *, open_only: bool = False) -> list[JobRecord]:
        """Newest first by created_at, then by first_seen_at."""

    def known_jobs(self, account: str) -> list[KnownJob]:
        """In the order of `jobs`."""

    def find_jobs(self, job_id: str) -> list[JobRecord]:
        """By exact id, over all accounts."""

    def observations(self, key: JobKey, *, after_seq: int = 0) -> list[tuple[int, Observation]]:
        """In order of arrival, without rows of superseded attempts."""

    def log(self, key: JobKey) -> list[Observation]:
        """Snapshots and events only, in order of arrival."""

    def row_keys(self, key: JobKey, *, from_step: int = 0, before: int | None = None) -> list[tuple[int, int]]:
        """(step, at_ns) of rows with from_step <= step < before, superseded ones too; of an eval row (~step, at_ns)."""

    def states(self, subject: Subject) -> list[StateRecord]: ...

    def alerts(self, query: AlertQuery) -> list[Alert]:
        """Newest first."""

    def latest_alerts(self, subject: Subject) -> list[Alert]:
        """The newest episode of each (rule, kind) on a subject."""

    def alert(self, alert_id: str) -> Alert | None: ...

    def unconsumed(self, limit: int = 500) -> list[StoredTransition]:
        """Oldest first."""

    def transitions(self, alert_id: str) -> list[StoredTransition]: ...

    def outbox_counts(self, now: datetime) -> OutboxCounts: ...

    def outbox(self, *, states: Iterable[OutboxState] | None = None, limit: int = 500) -> list[OutboxRow]: ...

    def behind(self, row: OutboxRow, limit: int) -> list[OutboxRow]:
        """The next open rows of its lane, oldest first."""

    def latest_effects(self) -> list[OutboxRow]:
        """Of every receiver's target the newest notification in each state."""

    def proposal(self, proposal_id: str) -> Proposal | None: ...

    def proposals(
        self,
        *,
        key: JobKey | None = None,
        account: str | None = None,
        job_id: str | None = None,
        states: Iterable[ProposalState] | None = None,
        limit: int | None = None,
    ) -> list[Proposal]:
        """Newest first: of one job, or of all that are of an account or have an id; the first `limit` of them."""

    def cancels_since(self, since: datetime) -> int:
        """The watcher's own cancels whose intent was stored at or after a time, whatever became of them."""

    def audits(self, *, account: str | None = None, job_id: str | None = None, limit: int | None = None) -> list[Audit]:
        """What people did, newest first: about jobs of an account or with an id, or all; the first `limit` of it."""

    def group(self, key: str) -> Group | None: ...

    def groups_due(self, now: datetime) -> list[Group]:
        """Those whose time has come, the oldest first."""

    def first_flush(self) -> datetime | None:
        """When the first of all groups is due, past or future; None where none waits."""

    def groups(self) -> list[Group]: ...

    def silences(self, since: datetime) -> list[Silence]:
        """Those that end after a time, begun or not."""

    def ack(self, alert_id: str) -> Ack | None: ...

    def told_by(self, key: str) -> list[str]:
        """The alerts that the message with this key told of."""

    def acks(self) -> dict[str, Ack]:
        """All of them, by alert."""

    def effects(self, key: str) -> list[OutboxRow]:
        """The outbox row of a key, and those that replaced it when its target was gone; oldest first."""

    def decisions(self, alert_id: str) -> list[tuple[Decision, str]]:
        """Why an alert was told or not, oldest first, each with the key of the outbox row it made, or nothing."""

    def meta(self, name: str) -> str | None: ...

    def ended_jobs(self, since: datetime | None, until: datetime, *, keep_rows: int, limit: int) -> list[JobKey]:
        """Closed jobs that ended in a span and hold more rows than they are to keep; the oldest first."""


class Writes(Reads, Protocol):
    """What can be changed, inside one transaction that commits whole or not at all."""

    def save_job(self, record: JobRecord) -> None:
        """Insert or replace."""

    def move_job(self, key: JobKey, *, last_seq: int, updated_at: datetime, moved: str) -> None:
        """What rows alone change of a job that was saved: `job` gives it so until it is saved again."""

    def append(self, key: JobKey, first_seq: int, observations: Sequence[Observation]) -> None:
        """Number them from first_seq on, one by one."""

    def supersede(self, key: JobKey, from_step: int, *, before_seq: int) -> None:
        """Rows with step >= from_step that came before an observation belong to an attempt that is over.

        `observations` no longer gives them.
        """

    def save_states(self, subject: Subject, states: Sequence[StateRecord]) -> None:
        """Replaces all states of the subject."""

    def save_alert(self, alert: Alert) -> None: ...

    def add_transition(self, transition: Transition, facts: Any = None) -> int: ...  # noqa: ANN401 - JSON

    def consume(self, transition_ids: Sequence[int], now: datetime) -> None: ...

    def enqueue(self, effects: Sequence[NewEffect], now: datetime) -> int:
        """Returns how many were new."""

    def claim(self, now: datetime, *, busy_lanes: Iterable[str] = (), limit: int = 50) -> list[OutboxRow]:
        """Marks and returns the oldest open row of each lane that is not busy and whose oldest row is due.

        A lane whose oldest open row waits for its `next_at` gives nothing: order is kept.
        """

    def claim_next(self, lane: str, now: datetime) -> OutboxRow | None:
        """As `claim`, in one lane that the caller has."""

    def finish(self, row_id: int, now: datetime) -> None: ...

    def retry(self, row_id: int, next_at: datetime, error: str) -> None:
        """Back to due, one attempt more."""

    def park(self, row_id: int, now: datetime, error: str) -> None:
        """A dead letter: kept, shown, and sent again only by hand."""

    def requeue(self, row_id: int, now: datetime) -> bool:
        """A dead letter is due again."""

    def readdress(self, row_id: int, targets: Sequence[str]) -> int:
        """Replace a row whose target is gone by one for each given target; the target is added to its key."""

    def release_claims(self) -> int:
        """After a crash: claimed rows are due again. Call once, at the start, under the state lock."""

    def clamp_due(self, latest: datetime) -> int:
        """Open effects and groups that wait for a time after `latest` wait for `latest`: the clock was stepped back."""

    def add_proposal(self, proposal: Proposal) -> None: ...

    def move_proposal(self, proposal_id: str, expected: ProposalState, new: Proposal) -> bool:
        """One conditional update: False, and nothing changed, when its state is not `expected`.

        The window (`window`, `round`, `announced_at`, `deadline_at`, `frozen_at`, `approved_at`) stays as it is stored:
        it has writers of its own, below. Each of them changes nothing, and says False, unless the state is `proposed`.
        """

    def announce(self, proposal_id: str, round_: int, at: datetime, deadline: datetime) -> bool:
        """The window of this round begins; False for another round, or where it has begun."""

    def renew(self, proposal_id: str, round_: int, window: timedelta, *, frozen_at: datetime | None, why: str) -> bool:
        """After `round_` comes the next one, not announced yet; False after another one, or where it was approved.

        `why` is kept as the proposal's detail.
        """

    def freeze(self, proposal_id: str, round_: int, at: datetime | None, why: str) -> bool:
        """Since when something is not known that must be, and what; None lets it go on. False in another round."""

    def approve(self, proposal_id: str, at: datetime) -> bool:
        """A person gave up the rest of the window; False where one did before."""

    def hasten(self, lane: str, now: datetime) -> int:
        """Open effects of a lane that wait for a later time are due now; returns how many."""

    def add_audit(self, entry: Audit) -> None: ...

    def save_group(self, group: Group) -> None:
        """Insert or replace."""

    def drop_group(self, key: str) -> None: ...

    def save_silence(self, silence: Silence) -> None:
        """Insert or replace: ending one early is saving it with another end."""

    def save_ack(self, ack: Ack) -> None:
        """The first acknowledgement of an alert stays."""

    def drop_ack(self, alert_id: str) -> None:
        """Its time is over."""

    def add_decisions(self, decisions: Sequence[tuple[Decision, str]]) -> None: ...

    def set_keep(self, key: JobKey, *, keep: bool) -> None: ...

    def set_meta(self, name: str, value: str) -> None: ...

    def thin(self, key: JobKey, keep: int) -> int:
        """Leave about `keep` train rows of a closed job, evenly spread; returns how many went. Others stay whole."""

    def forget(self, before: datetime, *, limit: int) -> int:
        """Drop at most `limit` of each kind of what was told and done with before a time; returns how many went."""


class Store(Protocol):
    """A durable store with one writer. Raises StoreError and nothing else for its own faults."""

    async def write(self, work: Callable[[Writes], T]) -> T:
        """Runs `work` in the writer's thread inside one transaction; an exception from it rolls back and is raised."""

    async def read(self, work: Callable[[Reads], T]) -> T:
        """Runs `work` in a reader's thread inside one read-only snapshot."""

    async def aclose(self) -> None: ...


class Telemetry(Protocol):
    """Counters for `/metrics`; names and labels are fixed by the adapter."""

    def api_request(self, account: str, endpoint: str, outcome: str, seconds: float) -> None: ...

    def sweep(self, account: str, reason: str | None, seconds: float, rows: int) -> None: ...

    def unreadable(self, account: str, what: str, count: int) -> None:
        """Entries of answers that could not be made out: `jobs`, `rows` or `events`."""

    def alert(self, rule: str, reason: str) -> None: ...

    def rule(self, rule: str, seconds: float) -> None:
        """What a rule took to judge what a visit to one job brought."""

    def notification(self, receiver: str, outcome: str) -> None: ...

    def cancel(self, outcome: str) -> None: ...

    def saved(self, account: str, steps: int, dollars: float) -> None:
        """What one cancel of the watcher's own left unspent, as far as is known."""

    def fault(self, kind: str) -> None: ...


class NoTelemetry:
    """Counts nothing: for one-off commands."""

    def api_request(self, account: str, endpoint: str, outcome: str, seconds: float) -> None: ...

    def sweep(self, account: str, reason: str | None, seconds: float, rows: int) -> None: ...

    def unreadable(self, account: str, what: str, count: int) -> None: ...

    def alert(self, rule: str, reason: str) -> None: ...

    def rule(self, rule: str, seconds: float) -> None: ...

    def notification(self, receiver: str, outcome: str) -> None: ...

    def cancel(self, outcome: str) -> None: ...

    def saved(self, account: str, steps: int, dollars: float) -> None: ...

    def fault(self, kind: str) -> None: ...
