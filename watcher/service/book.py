"""One job as the daemon holds it in memory: its record, its fold, and what tells new rows from known ones."""

import asyncio
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from watcher.domain.alerts import Subject
from watcher.domain.billing import Meter, before_the_end
from watcher.domain.cadence import next_from
from watcher.domain.cancel_policy import CancelMode, Refusal
from watcher.domain.checkpoints import Attempt, Choice, final_step, trusted
from watcher.domain.continuing import continuation, lost
from watcher.domain.curve import Curve, sparkline
from watcher.domain.engine import AlertKey, Fold
from watcher.domain.facts import JobFacts
from watcher.domain.observations import EvalRow, Event, Row, Snapshot, TrainRow, finite
from watcher.domain.restarts import successor_named
from watcher.domain.rule import SubjectKind
from watcher.service.bookstate import BookState, Ticks, Whole
from watcher.service.config import Selection
from watcher.service.known import KnownRows
from watcher.service.records import JobKey, JobRecord, Proposal, ProposalState

SPARKLINE_WIDTH = 24
_CARRIED_THROUGH = (ProposalState.CONFIRMED, ProposalState.OVERTAKEN, ProposalState.FAILED)
_TICKS = 30
_KNOWN = 96
"""Row keys kept in memory; an older window is looked up in the store."""


@dataclass(slots=True)
class JobBook:
    """A watched job. Whoever changes it holds its lock; after a failed commit it is thrown away and loaded again."""

    record: JobRecord
    selection: Selection
    fold: Fold
    state: BookState = field(default_factory=BookState)
    proposal: Proposal | None = None
    past: dict[str, Proposal] = field(default_factory=dict)
    """Proposals that are over, by id."""
    refusals: dict[AlertKey, Refusal] = field(default_factory=dict)
    known: KnownRows = field(default_factory=KnownRows)
    known_from: int | None = None
    stale: set[str] = field(default_factory=set)
    saved_at: datetime | None = None
    fresh_contact: bool = False
    origin: str = ""
    """The id of the job that the service restarted as this one."""
    seen_at: datetime | None = None
    """When a sweep last saw the job whole; at first, when it was loaded."""
    whole: Whole | None = None
    """What the store has of the job since it was last saved whole; None until it was."""
    looked_fresh: bool = False
    """Whether a look between two sweeps brought rows: they are news to the next sweep."""
    looked_at: float = -math.inf
    """When somebody last looked at the job between sweeps, on the monotonic clock."""
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def close_proposal(self, ended: Proposal) -> None:
        """A proposal of this job is over."""
        self.past[ended.id] = ended
        if self.proposal is not None and self.proposal.id == ended.id:
            self.proposal = None

    @property
    def was_asked(self) -> bool:
        """Whether the API ever took a cancel of this job, from the watcher or from a person who used it."""
        known = [*self.past.values(), *([self.proposal] if self.proposal else [])]
        return any(proposal.posted_at is not None for proposal in known)

    def is_settled(self, alert_id: str, mode: CancelMode, *, untold: str) -> bool:
        """Whether the policy has had its say on an alert in this mode: observed, carried through, or not to be told."""
        mine = [p for p in self.past.values() if p.alert_id == alert_id]
        if mode is CancelMode.OBSERVE:
            return any(p.mode == CancelMode.OBSERVE for p in mine)
        return any(p.state in _CARRIED_THROUGH or p.detail == untold for p in mine)

    @property
    def may_be_cancelled(self) -> bool:
        """Whether something fires for which the watcher may cancel the job: then people ask what is saved of it."""
        off = self.selection.policy.mode is CancelMode.OFF or self.record.keep
        return not off and any(alert.may_cancel for alert in self.fold.firing())

    @property
    def loses(self) -> str:
        """What a cancel would lose for good because no checkpoint is saved; empty where one is."""
        state = self.state
        saved = state.checkpoint_step is not None or state.shelf.unplaced
        return "" if saved or self.record.detail_at is None else lost(state.train_step)

    def next_proposal_id(self, alert_id: str) -> str:
        """An id that no proposal of this job has: a withdrawn one may be followed by another on the same alert."""
        count = sum(p.alert_id == alert_id for p in self.past.values())
        return f"p-{alert_id}-{count + 1}" if count else f"p-{alert_id}"

    @property
    def key(self) -> JobKey:
        return self.record.key

    @property
    def snapshot(self) -> Snapshot:
        return self.record.snapshot

    def note_rows(self, rows: Sequence[Row], now: datetime) -> None:
        """New rows are in: remember what people want to see of them."""
        self.state.pace.take(rows, now)
        self._show(rows)

    def restart(self, rows: list[Row]) -> None:
        """Only these rows still count."""
        self.state.feed.restart(rows)
        self.state.pace.restart(rows)
        self.state.curve = Curve()
        self.state.last_loss = self.state.best_eval = self.state.best_eval_step = None
        self.state.ticks, self.state.shelf.evaluations = Ticks(), []
        self._show(rows)

    def _show(self, rows: Sequence[Row]) -> None:
        state = self.state
        trains = [row for row in rows if isinstance(row, TrainRow)]
        if trains:
            state.curve.extend([(trusted(row), row.step) for row in trains])
            state.last_loss = finite(trains[-1].loss)
            state.ticks += [(row.step, row.at_ns) for row in trains[-_TICKS:]]
            del state.ticks[:-_TICKS]
        if len(trains) < len(rows):
            for row in rows:
                if isinstance(row, EvalRow):
                    self._show_eval(row)

    def _show_eval(self, row: EvalRow) -> None:
        self.state.shelf.note_eval(row)
        value = finite(row.loss)
        if value is not None and (self.state.best_eval is None or value < self.state.best_eval):
            self.state.best_eval, self.state.best_eval_step = value, row.step

    def note_event(self, event: Event) -> bool:
        """Remember an event; False when it was known."""
        digest = event_digest(event)
        if digest in self.state.events:
            return False
        self.state.events.append(digest)
        if event.type == "checkpoint_save":
            self.state.shelf.note_saved(event)
            if event.step is not None:
                self.state.checkpoint_step = max(event.step, self.state.checkpoint_step or 0)
        if event.type in ("early_stopped", "job_restarted"):
            self.state.owed_refund = True
        if event.type == "job_restarted":
            self.state.restarted_at = event.at
            self.record.successor = successor_named(event.message, self.key.job_id) or self.record.successor
        if event.type == "refund":
            self.state.owed_refund, self.state.refunded = False, True
        return True

    def heed(self, stored: JobRecord, proposals: Mapping[str, Proposal]) -> None:
        """What a person said is in the store: the job as it is there, and its proposals by id.

        Nothing but a proposal that was not claimed is touched: whoever claims one knows better than what was read.
        """
        self.record.keep = stored.keep
        mine = self.proposal
        now = proposals.get(mine.id) if mine is not None and mine.state is ProposalState.PROPOSED else None
        if mine is None or now is None:
            return
        if not now.state.open:
            self.close_proposal(now)
        elif now.state is ProposalState.PROPOSED:
            self.proposal = replace(mine, approved_at=now.approved_at)

    def forget_old_keys(self) -> None:
        """Keep memory bounded: what lies before the next window is in the store, should another be asked for."""
        if len(self.known) > _KNOWN:
            keep_from = next_from(self.state.pace, self.snapshot)
            if self.known_from is not None and keep_from > self.known_from:  # what a window goes back to is looked up
                self.known.forget_before(keep_from)
                self.known_from = keep_from

    def facts(self, link: str) -> JobFacts:
        """The job as it is now, for messages and pages."""
        job, state = self.snapshot, self.state
        meter, choice = meter_of(self.record, state), chosen(self.record, state)
        return JobFacts(
            account=self.key.account,
            job_id=self.key.job_id,
            selection=self.record.selection,
            model=job.model or "",
            suffix=job.suffix or "",
            user_id=job.user_id or "",
            status=job.raw_status,
            health=self.record.health,
            step=meter.done,
            total_steps=meter.planned,
            last_loss=state.last_loss,
            best_eval=state.best_eval,
            best_eval_step=state.best_eval_step,
            price_nano=meter.price_nano,
            checkpoint_step=state.checkpoint_step,
            sparkline=sparkline(state.curve.values(), SPARKLINE_WIDTH),
            cancel_mode=self.selection.policy.mode.value,
            vetoed=self.record.keep,
            running=not job.status.terminal and not self.record.gone,
            seconds_per_step=meter.seconds_per_step,
            fresh_at=state.pace.new_row_at,
            choice=choice,
            saved_unplaced=state.shelf.unplaced,
            log_read_at=self.record.detail_at,
            go_on=continuation(job, choice.saved).command if choice.saved else "",
            link=link.format(job_id=self.key.job_id) if link else "",
            restarted_from=self.origin,
            early_stopped=meter.early_stopped,
            restarted=meter.restarted,
            priced_late=meter.priced_late,
        )


def attempt_of(state: BookState) -> Attempt:
    """The present attempt."""
    return Attempt(state.feed.attempt_step, state.feed.attempt_ns)


def chosen(record: JobRecord, state: BookState) -> Choice:
    """Which checkpoint of the job to go on from, as far as its state tells."""
    return state.shelf.choose(state.curve, attempt_of(state), final_step(record.snapshot, state.train_step))


class Metered(Protocol):
    """What of a job's state its bill depends on."""

    @property
    def train_step(self) -> int | None: ...
    @property
    def price_nano(self) -> int | None: ...
    @property
    def seconds_per_step(self) -> float | None: ...
    @property
    def restarted(self) -> bool: ...


def meter_of(record: JobRecord, state: Metered) -> Meter:
    """What a job's bill is computed from, as far as its record tells."""
    job = record.snapshot
    return Meter(
        status=job.status,
        price_nano=state.price_nano or job.total_price_nano,
        done=state.train_step if state.train_step is not None else job.steps_completed,
        planned=job.total_steps,
        seconds_per_step=state.seconds_per_step,
        early_stopped=bool(job.early_stopped),
        restarted=state.restarted,
        gone=record.gone,
        priced_late=state.price_nano is None and not before_the_end(job),
    )


def event_digest(event: Event) -> str:
    """What makes an event the same event: type, time, step and message (the API gives events no id)."""
    text = "\x1f".join((event.type, event.at.isoformat(), str(event.step), event.message))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def new_book(key: JobKey, snapshot: Snapshot, selection: Selection, now: datetime) -> JobBook:
    """A job seen for the first time."""
    record = JobRecord(key=key, selection=selection.name, snapshot=snapshot, first_seen_at=now)
    return JobBook(
        record,
        selection,
        Fold.of(subject_of(key), selection.rules, selection.lives),
        known_from=0,
        fresh_contact=True,
        seen_at=now,
    )


def subject_of(key: JobKey) -> Subject:
    """The subject of alerts about a job."""
    return Subject(kind=SubjectKind.JOB, account=key.account, job_id=key.job_id)
