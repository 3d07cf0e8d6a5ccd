"""The POST of a cancel: look again under the job's lock, judge again, store the intent, then ask the API once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from watcher.domain import codec
from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.cancel_policy import Guard, Refusal
from watcher.domain.event_log import OUR_CANCEL
from watcher.domain.facts import JobFacts
from watcher.domain.observations import Event, Status
from watcher.service.book import JobBook
from watcher.service.cancels import UNREADABLE, CancelDesk
from watcher.service.errors import FailureReason, ProviderError, StoreError
from watcher.service.ports import Clock, Provider, Reads, Store, Telemetry, Writes
from watcher.service.records import OutboxRow, Proposal, ProposalState
from watcher.service.sweep import Sweeper, SweeperOf
from watcher.service.visit import Visit
from watcher.service.windows import Windows

log = structlog.get_logger(__name__)

SETTLE = timedelta(seconds=60)
"""After a POST of which nobody knows whether it was taken, the job is given so long before another is thought of."""
TRIES = 3
"""POSTs that may fail before the cancel is given up and people are told."""
AGAIN = timedelta(seconds=5)
"""The wait before another look when nothing was asked of the API, or it surely did not take it."""
STALE = timedelta(seconds=60)
"""What was judged longer ago is judged again before anything is asked of the API."""
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Later:
    """The effect is not done; try again at a time, because of a reason."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class _Posted:
    """The POST was taken: what is to be written of it."""

    proposal: Proposal
    told: Transition
    facts: JobFacts


class CancelPerformer:
    """Performs the cancel effects of the outbox. Safe to call again after a crash at any point."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        desk: CancelDesk,
        windows: Windows,
        sweepers: SweeperOf,
        telemetry: Telemetry,
        settle: timedelta = SETTLE,
    ) -> None:
        self._store, self._clock, self._desk, self._settle = store, clock, desk, settle
        self._windows, self._sweepers, self._telemetry = windows, sweepers, telemetry
        self._deciding = asyncio.Lock()
        """Held from counting the cancels of the last hour to storing an intent: the limit is for all jobs together."""

    async def perform(self, row: OutboxRow, provider: Provider) -> Later | None:
        """Carry out one cancel; None when the row is done with, whatever became of it.

        Raises:
            ProviderError: the job can't be seen now; nothing was done.
            StoreError: the store can't be written; nothing was posted.
        """
        proposal = await self._proposal(row)
        sweeper = self._sweepers(proposal.key.account) if proposal else None
        if proposal is None or not proposal.state.open or proposal.round != row.payload.get("round", 1):
            return None  # another round of its window has its own effect
        lock = sweeper.locked(proposal.key.job_id) if sweeper else None
        if sweeper is None or lock is None:
            return Later(self._clock.now() + AGAIN, "the job is not loaded")
        if proposal.posted_at is not None:
            return None
        waits = self._waits(proposal, sweeper)
        if waits is not None:
            return waits
        async with lock:
            result = await self._under_lock(proposal, sweeper, provider)
        if isinstance(result, _Posted):
            await self._remember(result)
            return None
        return result

    async def _proposal(self, row: OutboxRow) -> Proposal | None:
        return await self._store.read(lambda reads: reads.proposal(str(row.payload["proposal"])))

    def _waits(self, proposal: Proposal, sweeper: Sweeper) -> Later | None:
        """Why nothing may be asked of the API yet: a request that may be under way, a freeze, or a veto window."""
        now = self._clock.now()
        if proposal.state is ProposalState.REQUESTED:
            settled = (proposal.requested_at or now) + self._settle
            under_way = "a cancel may be under way: looking again when it has had time to show"
            return Later(settled, under_way) if now < settled else None
        if proposal.frozen_at is not None:
            return Later(self._soon(sweeper), f"it waits: {proposal.detail}")
        ready_at = self._windows.ready_at(proposal, now)
        if ready_at is None:
            return Later(self._soon(sweeper), "its veto window has not begun")
        return Later(ready_at, "its veto window is open") if now < ready_at else None

    def _may_be_asked(self, tx: Reads, stored: Proposal, sweeper: Sweeper) -> bool:
        """Whether nothing that people or the clock did since it was judged speaks against it."""
        job = tx.job(stored.key)
        kept = job is None or job.keep
        under_way = not stored.state.open or stored.posted_at is not None
        return not kept and not under_way and self._waits(stored, sweeper) is None

    def _soon(self, sweeper: Sweeper) -> datetime:
        """When a sweep may have brought what is missing."""
        return self._clock.now() + min(max(sweeper.config.interval, AGAIN), self._settle)

    async def _under_lock(self, proposal: Proposal, sweeper: Sweeper, provider: Provider) -> Later | _Posted | None:
        looked = await sweeper.look_again(proposal.key.job_id)
        book = sweeper.book(proposal.key.job_id)
        if looked is None:
            return Later(self._clock.now() + AGAIN, "the job is being loaded again")
        if book is None or book.proposal is None or book.proposal.id != proposal.id:
            return None  # ended while we looked, or gave way to a person's: told by whoever ended it
        visit = looked[1]
        alert = book.fold.alerts.get((proposal.rule, proposal.kind))
        if alert is None or alert.id != proposal.alert_id:
            await self._withdraw(sweeper, visit, [Refusal(Guard.FINDING, "another episode has begun since")])
            return None
        if book.snapshot.status is Status.CANCEL_REQUESTED:
            await self._taken(visit)
            return None
        if book.proposal.tries >= TRIES:
            await self._give_up(sweeper, visit, f"{TRIES} requests were not taken")
            return None
        return await self._judged(proposal, sweeper, visit, alert, provider)

    async def _judged(
        self, proposal: Proposal, sweeper: Sweeper, visit: Visit, alert: Alert, provider: Provider
    ) -> Later | _Posted | None:
        """The job was looked at: what the guards say to it now decides."""
        async with self._deciding:
            no = self._desk.guards_again(visit, alert, cancels_last_hour=await self._last_hour(proposal))
            intended = None if no else await self._intend(sweeper, visit, alert)
        if no:
            return await self._refused(sweeper, visit, no)
        if intended is None:
            return self._not_now(visit)
        if self._is_stale(visit):
            return await self._back(visit, intended, "what was judged has become old")
        return await self._post(sweeper, visit, alert, provider, intended)

    def _is_stale(self, visit: Visit) -> bool:
        """Whether too long has passed since the job was looked at, on either clock: the store or the machine hung."""
        on_the_wall = (self._clock.now() - visit.now).total_seconds()
        passed = self._clock.monotonic() - visit.book.looked_at
        return passed > STALE.total_seconds() or not 0 <= on_the_wall <= 2 * STALE.total_seconds()

    async def _taken(self, visit: Visit) -> None:
        """The job says that the cancel was taken, though its answer never came: another is not sent."""
        proposal = visit.book.proposal
        if proposal is not None and proposal.state is ProposalState.REQUESTED:
            posted = replace(proposal, posted_at=self._clock.now())
            await self._store.write(lambda tx: tx.move_proposal(posted.id, ProposalState.REQUESTED, posted))
            visit.book.proposal = posted

    async def _refused(self, sweeper: Sweeper, visit: Visit, no: tuple[Refusal, ...]) -> Later | None:
        """Withdraw, unless all that is missing is what sweeps bring: after a restart confirmations count anew."""
        if any(not refusal.guard.passing for refusal in no):
            await self._withdraw(sweeper, visit, no)
            return None
        return Later(self._soon(sweeper), "; ".join(refusal.reason for refusal in no))

    def _not_now(self, visit: Visit) -> Later | None:
        """The claim was lost: to a veto, or to something that must be waited for."""
        is_open = visit.book.proposal is not None
        return Later(self._clock.now() + AGAIN, "it was changed meanwhile: looking again") if is_open else None

    async def _last_hour(self, proposal: Proposal) -> int:
        since = self._clock.now() - _HOUR
        count = await self._store.read(lambda reads: reads.cancels_since(since))
        counted = proposal.requested_at is not None and proposal.requested_at >= since
        return count - int(counted)

    async def _withdraw(self, sweeper: Sweeper, visit: Visit, no: Sequence[Refusal]) -> None:
        after = Visit(visit.book, self._clock.now(), link=sweeper.config.link)
        self._desk.withdraw(after, no)
        await sweeper.commit(after)

    async def _intend(self, sweeper: Sweeper, visit: Visit, alert: Alert) -> Proposal | None:
        """Store the intent; None when a veto, a freeze or a new window came first.

        Claim and veto are one conditional update: one wins. What the window says is read in the same transaction.
        """
        book, now = visit.book, self._clock.now()
        mine = book.proposal
        if mine is None:
            return None

        def claim(tx: Writes) -> tuple[Proposal | None, bool]:
            stored = tx.proposal(mine.id)
            if stored is None or not self._may_be_asked(tx, stored, sweeper):
                return stored, False
            wanted = replace(stored, state=ProposalState.REQUESTED, requested_at=now, tries=stored.tries + 1)
            return wanted, tx.move_proposal(stored.id, stored.state, wanted)

        stored, won = await self._store.write(claim)
        if not won or stored is None:
            self._lost(book, stored)
            return None
        book.proposal = stored
        ours = Visit(book, now, link=sweeper.config.link)
        ours.take_event_of_ours(Event(type=OUR_CANCEL, at=now, message=f"cancelled by rule {alert.rule}"))
        await sweeper.commit(ours)
        return stored

    @staticmethod
    def _lost(book: JobBook, stored: Proposal | None) -> None:
        """Somebody else was first: the book is as the store has it."""
        if stored is None or not stored.state.open:
            book.proposal = None
            if stored is not None:
                book.close_proposal(stored)
        else:
            book.proposal = stored

    async def _post(
        self, sweeper: Sweeper, visit: Visit, alert: Alert, provider: Provider, intended: Proposal
    ) -> Later | _Posted | None:
        job_id = visit.book.key.job_id
        log.info("cancel.posting", job_id=job_id, rule=alert.rule, step=visit.book.state.pace.train_step)
        try:
            await provider.cancel(job_id)
        except ProviderError as error:
            if error.reason is not FailureReason.PAYLOAD or not error.maybe_done:
                return await self._failed(sweeper, visit, error, intended)
            detail = UNREADABLE  # a 2xx all the same: another POST could be answered with a second one
        else:
            detail = ""
        self._telemetry.cancel("requested")
        posted = replace(intended, posted_at=self._clock.now(), detail=detail)
        visit.book.proposal = posted
        told = Transition(alert=alert, reason=TransitionReason.CANCEL_REQUESTED, at=self._clock.now())
        return _Posted(posted, told, visit.book.facts(sweeper.config.link))

    async def _remember(self, taken: _Posted) -> None:
        """Write that the POST was taken, however long the store takes to come back: it must not be sent again."""
        while True:
            try:
                await self._store.write(lambda tx: _record_posted(tx, taken))
            except StoreError as error:
                log.error("cancel.outcome_not_stored", reason=str(error))
                await self._clock.sleep(AGAIN.total_seconds())
            else:
                return

    async def _failed(self, sweeper: Sweeper, visit: Visit, error: ProviderError, intended: Proposal) -> Later | None:
        """The POST was not answered with a yes. What the job's status says is the truth; it is read again later."""
        log.warning("cancel.post_failed", reason=error.reason.value, maybe_done=error.maybe_done)
        self._telemetry.cancel("post_failed")
        if error.reason in (FailureReason.AUTH, FailureReason.FORBIDDEN):
            await self._give_up(sweeper, visit, f"the API refused it: {error.reason.value}")
            return None
        if error.maybe_done:
            return Later(self._clock.now() + self._settle, f"cancel perhaps not taken: {error.reason.value}")
        return await self._back(visit, intended, f"cancel not taken: {error.reason.value}", error.retry_after or 0)

    async def _back(self, visit: Visit, intended: Proposal, why: str, wait: float = 0) -> Later:
        """The API surely did not take it: there is no cancel under way, and a veto may still come first."""
        again = replace(intended, state=ProposalState.PROPOSED, requested_at=None)
        await self._store.write(lambda tx: tx.move_proposal(again.id, ProposalState.REQUESTED, again))
        visit.book.proposal = again
        return Later(self._clock.now() + max(AGAIN, timedelta(seconds=wait)), why)

    async def _give_up(self, sweeper: Sweeper, visit: Visit, why: str) -> None:
        after = Visit(visit.book, self._clock.now(), link=sweeper.config.link)
        note = f"The cancel failed, {why}. The job still runs: cancel it by hand."
        self._desk.end(after, ProposalState.FAILED, TransitionReason.CANCEL_FAILED, note)
        await sweeper.commit(after)


def _record_posted(tx: Writes, taken: _Posted) -> None:
    tx.move_proposal(taken.proposal.id, ProposalState.REQUESTED, taken.proposal)
    tx.add_transition(taken.told, codec.encode(taken.facts))
