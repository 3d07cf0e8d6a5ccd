"""One job in one sweep: what was fetched is de-duplicated, folded and judged, and becomes one piece of work."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from watcher.domain import codec
from watcher.domain.alerts import Transition, TransitionReason
from watcher.domain.billing import before_the_end
from watcher.domain.cadence import followed_out
from watcher.domain.facts import JobFacts
from watcher.domain.feed import Arrival, history_order, rows_of
from watcher.domain.health import job_health
from watcher.domain.observations import EvalRow, Event, Gone, Observation, Row, Snapshot, Status, TrainRow, Unreadable
from watcher.service.book import JobBook
from watcher.service.bookstate import Whole, packed
from watcher.service.errors import ProviderError
from watcher.service.ports import Writes
from watcher.service.records import NewEffect, Proposal, ProposalState, StateRecord

SAVE_AFTER_ROWS = 200
SAVE_AFTER_SECONDS = 600
CANCELLED = "the job was cancelled"


@dataclass(slots=True)
class Visit:
    """The changes of one job in one sweep; `write` puts all of them into one transaction."""

    book: JobBook
    now: datetime
    link: str = ""
    fresh: bool = False
    """Whether this visit brought rows that go on from those that were known; a row that was held up is no news."""
    unreadable: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Entries of answers that could not be made out, by what they are."""
    metrics_read: bool = False
    blind: str = ""
    """Why the job could not be seen whole, or `clock` when the clock just stepped; empty when it could."""
    unread: list[ProviderError] = field(default_factory=list)
    """Calls that failed and were gone on without."""
    observations: list[Observation] = field(default_factory=list)
    transitions: list[Transition] = field(default_factory=list)
    superseded: list[tuple[int, int]] = field(default_factory=list)
    """(from step, before which observation of this visit): rows of attempts that are over."""
    proposal: Proposal | None = None
    moves: list[tuple[ProposalState, Proposal]] = field(default_factory=list)
    """(expected state, proposal as it is to be): a conditional update each."""
    changes: list[Callable[[Writes], object]] = field(default_factory=list)
    """What becomes of the window of the open proposal, each a conditional update."""
    tended: Proposal | None = None
    """The open proposal after those changes."""
    announced: Proposal | None = None
    """A proposal that people are told of beforehand."""
    effects: list[NewEffect] = field(default_factory=list)
    new_eval: bool = False
    rows: int = 0
    _guards_changed: bool = False
    _restarted: bool = False
    _saves: bool = False
    _whole: Whole | None = None

    # --- taking in what was fetched ---

    def take_listed(self, listed: Snapshot) -> None:
        """The job's list entry."""
        self.book.record.listed = listed
        self._take_snapshot(listed.merged(self.book.snapshot))

    def take_detail(self, snapshot: Snapshot, events: Iterable[Event]) -> None:
        """The job itself and its event log. A plan that only an event names is part of the snapshot."""
        events = list(events)
        if not snapshot.outdated_by(self.book.snapshot):
            self._take_snapshot(_planned(snapshot, events).merged(self.book.snapshot))
        self.book.record.detail_at = self.now
        for event in sorted(events, key=lambda e: e.at):
            if self.book.note_event(event):
                self._observe([event])
        if self.book.record.first_running_at is None and snapshot.status is Status.RUNNING:
            self.book.record.first_running_at = self.now

    def take_plan(self, snapshot: Snapshot, events: Iterable[Event]) -> None:
        """What a job was planned as, while its status stays what it was: rules know the plan before rows and end."""
        known = self.book.snapshot
        plan = _planned(snapshot, list(events)).merged(known)
        self._take_snapshot(replace(plan, status=known.status, raw_status=known.raw_status))

    def take_gone(self) -> None:
        """The API knows the job no more: what it would do by now can't be told from its silence."""
        self.blind = self.blind or "gone"
        self.book.record.gone = True
        self.book.record.ended_at = self.book.record.ended_at or self.now
        self._observe([Gone(self.now)])

    def take_event_of_ours(self, event: Event) -> None:
        """Something that we did to the job, for rules that must tell it from what others did."""
        if self.book.note_event(event):
            self._observe([event])

    def take_unreadable(self) -> None:
        """Rows came that could not be made out."""
        self._observe([Unreadable(self.now)])

    def wants_history(self, rows: Sequence[Row]) -> bool:
        """Whether folding these rows may need the job's whole history: one of them goes back, or a rule is rebuilt."""
        return bool(self.book.stale) or self.book.state.feed.goes_back(rows)

    def take_rows(self, rows: Sequence[Row], history: Sequence[Observation]) -> None:
        """New rows, one by one. `history` is what the store has of the job, given when `wants_history` asked.

        Rows that were held up are folded first: what comes with them is judged with them in their places.
        """
        self.book.known.add(rows)
        new = self.book.state.feed.take_new(rows)
        self._take_new(new)
        if len(new) < len(rows):
            self._take_others(rows[len(new) :], history)

    def _take_others(self, rows: Sequence[Row], history: Sequence[Observation]) -> None:
        """Rows of which the first is known, late or of another attempt."""
        feed, new, late = self.book.state.feed, list[Row](), list[Row]()
        for row in rows:
            arrival = feed.classify(row)
            if late and arrival in (Arrival.NEW, Arrival.ATTEMPT) and not (new or self.fresh):
                # only once: rows without times may stand anywhere, and each time all rows are folded again
                self._take_late(late, history)
                late = []
            match arrival:
                case Arrival.NEW:
                    feed.take(row)
                    new.append(row)
                case Arrival.ATTEMPT:
                    self._take_new(new)
                    self._start_attempt(row, history)
                    feed.take(row)
                    new = [row]
                case Arrival.LATE:
                    late.append(row)
                case Arrival.DUPLICATE | Arrival.SUPERSEDED:
                    pass
        self._take_new(new)
        if late:
            self._take_late(late, history)

    def _take_new(self, rows: Sequence[Row]) -> None:
        """Rows that go on from those that were known."""
        if rows:
            self.fresh = True
            self._count(rows)
            self.book.note_rows(rows, self.now)
            self._observe(rows)

    def _count(self, rows: Sequence[Row]) -> None:
        self.rows += len(rows)
        self.new_eval |= EvalRow in map(type, rows)

    def rebuild(self, history: Sequence[Observation]) -> None:
        """Rules whose version or settings changed fold the whole history anew."""
        self.book.fold.rebuild(self.book.stale, history_order(self._live(list(history), self.observations)))
        self.book.stale = set()
        self._restarted = True
        if not self.book.fresh_contact:
            self.transitions += self.book.fold.judge_all(self.now, timed=False)

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        record = self.book.record
        changed = snapshot != record.snapshot or not self._has_snapshot() or record.gone
        record.snapshot, record.gone = snapshot, False
        if before_the_end(snapshot):
            self.book.state.price_nano = snapshot.total_price_nano or self.book.state.price_nano
        if not snapshot.status.terminal:
            record.ended_at = None
        elif record.ended_at is None:
            record.ended_at = self.now
            self.book.state.owed_refund |= bool(snapshot.early_stopped) and not self.book.state.refunded
        if changed:
            self._observe([snapshot])

    def _has_snapshot(self) -> bool:
        return self.book.record.last_seq > 0 or any(isinstance(o, Snapshot) for o in self.observations)

    def _observe(self, observations: Sequence[Observation]) -> None:
        self.observations += observations
        if self.book.fresh_contact:
            self.book.fold.observe_silently(observations)
        else:
            self.transitions += self.book.fold.observe_all(observations, self.now)

    def _start_attempt(self, row: Row, history: Sequence[Observation]) -> None:
        """The job went back to this row's step: rules fold again over what came before it."""
        self.superseded.append((row.step, len(self.observations)))
        self._refold(row.step, self._live(list(history), self.observations))
        self.book.state.feed.begin_attempt(row)
        self.book.fold.confirmations.clear()

    def _take_late(self, late: list[Row], history: Sequence[Observation]) -> None:
        """Rows that were held up: rules fold again with them in their places."""
        self._count(late)
        self.observations += late
        self._refold(min(row.step for row in late), self._live(list(history), self.observations))
        if not self.book.fresh_contact:
            self.transitions += self.book.fold.judge_all(self.now, timed=False)

    def _live(self, history: list[Observation], new: list[Observation]) -> list[Observation]:
        """History and new observations without rows that an attempt within this visit replaced."""
        offset = len(history)
        everything = [*history, *new]
        for step, before in self.superseded:
            cut = offset + before
            everything = [
                o
                for i, o in enumerate(everything)
                if i >= cut or not isinstance(o, TrainRow | EvalRow) or o.step < step
            ]
        return everything

    def _refold(self, step: int, kept: list[Observation]) -> None:
        ordered = history_order(kept)
        self.book.restart(rows_of(ordered))
        self.book.fold.restart(step, ordered)
        self._restarted = True

    # --- the end of the visit ---

    def finish(self, *, sweep: bool = True) -> None:
        """Judge what time alone can change, count confirmations, and see whether the job is done with.

        When the job could not be seen whole or the clock stepped, nothing is concluded from the passing of time.
        A look between two sweeps confirms nothing: what it found is news to the next sweep.
        """
        book, fold = self.book, self.book.fold
        if not self.blind:
            self.transitions += fold.judge_all(self.now) if book.fresh_contact else fold.judge_timed(self.now)
            book.fresh_contact, book.state.contacted = False, True
            self._confirm(sweep)
        record = book.record
        if not any(past.ended_the_job for past in book.past.values()):  # else it stays what the job was cancelled for
            record.health = self._health()
        if any(ended.ended_the_job for _, ended in self.moves):
            self.transitions += fold.retire(self.now, CANCELLED)
        self._close_if_done()

    def _health(self) -> str:
        book, fold = self.book, self.book.fold
        return job_health(
            book.record.snapshot.status,
            {(a.rule, a.kind) for a in fold.firing()},
            unknown=bool(self.blind) or fold.crippled,
            has_rows=book.state.pace.train_step is not None,
        ).value

    @property
    def in_part(self) -> bool:
        """Whether rows that were there could not be made out: a finding on the others is no ground for a cancel."""
        return self.book.state.pace.holes.open

    def _confirm(self, sweep: bool) -> None:  # noqa: FBT001
        if not sweep:
            self.book.looked_fresh |= self.fresh and not self.in_part
            return
        self.fresh |= self.book.looked_fresh
        self.book.looked_fresh, self.book.seen_at = False, self.now
        if self.fresh and not self.in_part:
            self.book.fold.confirm()

    def _close_if_done(self) -> None:
        record = self.book.record
        if record.ended_at is None or not (record.snapshot.status.terminal or record.gone) or self._cancel_is_open():
            return
        if self.blind == "clock":
            return
        owed = self.book.state.owed_refund and not record.gone
        if followed_out(ended_at=record.ended_at, owed_refund=owed, now=self.now):
            record.closed = True
            self.transitions += self.book.fold.close(self.now, "the job has ended and is not followed any more")

    def _cancel_is_open(self) -> bool:
        proposal = self.proposal or self.book.proposal
        return proposal is not None and proposal.state is ProposalState.REQUESTED

    # --- the store ---

    @property
    def changed(self) -> bool:
        """Whether there is anything to write."""
        work = self.observations or self.transitions or self.proposal or self.moves or self.effects
        return bool(work) or bool(self.changes) or self._guards_changed or self._restarted or self.book.record.closed

    def change(self, work: Callable[[Writes], object], after: Proposal) -> None:
        """The window of the open proposal changes; `after` is how it is then."""
        self.changes.append(work)
        self.tended = after

    def note_guards(self) -> None:
        """What keeps alerts from cancelling now is stored when it is another guard; its words go on with the job."""
        state = self.book.state
        now = [(rule, kind, r.guard.value, r.reason) for (rule, kind), r in self.book.refusals.items()]
        self._guards_changed |= [entry[:3] for entry in now] != [entry[:3] for entry in state.guards]
        state.guards = now

    def note(self, transition: Transition) -> None:
        """Something is told beside what the rules decided."""
        self.transitions.append(transition)

    def write(self, tx: Writes) -> None:
        """All changes of the visit, inside the caller's transaction."""
        book, record = self.book, self.book.record
        first = record.last_seq + 1
        self._saves = self._saves_states()
        book.state.held = book.fold.held()
        if self._saves:
            tx.save_states(
                book.fold.subject, [StateRecord(rule=r, fingerprint=f, state=s) for r, f, s in book.fold.dump()]
            )
        self._save_job(tx, record.last_seq + len(self.observations))
        tx.append(book.key, first, self.observations)
        for step, before in self.superseded:
            tx.supersede(book.key, step, before_seq=first + before)
        if self.transitions:
            self._tell(tx, book.facts(self.link))
        if self.proposal is not None:
            tx.add_proposal(self.proposal)
        for change in self.changes:
            change(tx)
        for expected, proposal in self.moves:
            tx.move_proposal(proposal.id, expected, proposal)
        tx.enqueue(self.effects, self.now)

    def _save_job(self, tx: Writes, last_seq: int) -> None:
        """The job whole when the rules' states are saved too, or when something changed that rows alone don't."""
        book, record = self.book, self.book.record
        moved = book.whole.moved(record, book.state) if book.whole is not None and not self._saves else None
        if moved is not None:
            tx.move_job(book.key, last_seq=last_seq, updated_at=self.now, moved=moved)
            return
        self._whole = Whole.of(record, book.state)
        saved_seq = last_seq if self._saves else record.saved_seq
        feed = packed(book.state)
        tx.save_job(replace(record, last_seq=last_seq, saved_seq=saved_seq, feed=feed, updated_at=self.now))

    def _tell(self, tx: Writes, facts: JobFacts) -> None:
        for transition in self.transitions:
            tx.save_alert(transition.alert)
            if transition.reason is TransitionReason.FIRST:
                facts = replace(facts, cancel=self._cancel_note(transition))
            tx.add_transition(transition, codec.encode(self._about(transition, facts)))

    def _about(self, transition: Transition, facts: JobFacts) -> JobFacts:
        """An announcement also says which cancel it announces, and when that comes at the earliest."""
        proposal = self.announced
        if proposal is None or transition.reason is not TransitionReason.CANCEL_PROPOSED:
            return facts
        deadline = self.now + proposal.window
        return replace(facts, proposal_id=proposal.id, proposal_round=proposal.round, deadline_at=deadline)

    def _cancel_note(self, transition: Transition) -> str:
        refusal = self.book.refusals.get((transition.alert.rule, transition.alert.kind))
        if not transition.alert.may_cancel:
            return ""
        return f"Auto-cancel: not now, {refusal.reason}." if refusal else ""

    def _saves_states(self) -> bool:
        book = self.book
        due = book.saved_at is None or (self.now - book.saved_at).total_seconds() >= SAVE_AFTER_SECONDS
        many = book.record.last_seq + len(self.observations) - book.record.saved_seq >= SAVE_AFTER_ROWS
        return bool(self.transitions or self.proposal) or self._restarted or due or many or book.record.closed

    def committed(self) -> None:
        """The transaction is durable: the book moves on."""
        record = self.book.record
        record.last_seq += len(self.observations)
        record.updated_at = self.now
        if self._saves:
            record.saved_seq = record.last_seq
            self.book.saved_at = self.now
        self.book.whole = self._whole or self.book.whole
        self.book.forget_old_keys()
        self._committed_proposals()

    def _committed_proposals(self) -> None:
        book = self.book
        if self.tended is not None and book.proposal is not None and book.proposal.id == self.tended.id:
            book.proposal = book.proposal.with_window_of(self.tended)
        for proposal in [*([self.proposal] if self.proposal else []), *(p for _, p in self.moves)]:
            if proposal.state.open:
                book.proposal = proposal
            else:
                book.close_proposal(proposal)


def _planned(snapshot: Snapshot, events: Sequence[Event]) -> Snapshot:
    """The snapshot with the number of planned steps, which some answers give in an event only."""
    planned = next((event.total_steps for event in reversed(events) if event.total_steps), None)
    return replace(snapshot, total_steps=planned) if snapshot.total_steps is None and planned else snapshot
