"""The POST of a cancel: look again under the job's lock, judge again, store the intent, then ask the API once."""

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.cancel_policy import Refusal
from watcher.domain.observations import Event, Status
from watcher.service.cancels import UNREADABLE, CancelDesk
from watcher.service.errors import FailureReason, ProviderError, StoreError
from watcher.service.ports import Clock, Provider, Store, Telemetry, Writes
from watcher.service.records import OutboxRow, Proposal, ProposalState
from watcher.service.sweep import Sweeper, SweeperOf
from watcher.service.visit import Visit

log = structlog.get_logger(__name__)

SETTLE = timedelta(seconds=60)
"""After a POST of which nobody knows whether it was taken, the job is given so long before another is thought of."""
TRIES = 3
"""POSTs that may fail before the cancel is given up and people are told."""
AGAIN = timedelta(seconds=5)
"""The wait before another look when nothing was asked of the API, or it surely did not take it."""
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


class CancelPerformer:
    """Performs the cancel effects of the outbox. Safe to call again after a crash at any point."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        desk: CancelDesk,
        sweepers: SweeperOf,
        telemetry: Telemetry,
        settle: timedelta = SETTLE,
    ) -> None:
        self._store, self._clock, self._desk, self._settle = store, clock, desk, settle
        self._sweepers, self._telemetry = sweepers, telemetry
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
        if proposal is None or not proposal.state.open:
            return None
        lock = sweeper.locked(proposal.key.job_id) if sweeper else None
        if sweeper is None or lock is None:
            return Later(self._clock.now() + AGAIN, "the job is not loaded")
        if proposal.posted_at is not None:
            return None
        if proposal.requested_at is not None and self._clock.now() - proposal.requested_at < self._settle:
            settled = proposal.requested_at + self._settle
            return Later(settled, "a cancel may be under way: looking again when it has had time to show")
        async with lock:
            result = await self._under_lock(proposal, sweeper, provider)
        if isinstance(result, _Posted):
            await self._remember(result)
            return None
        return result

    async def _proposal(self, row: OutboxRow) -> Proposal | None:
        return await self._store.read(lambda reads: reads.proposal(str(row.payload["proposal"])))

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
            await self._withdraw(sweeper, visit, "another episode has begun since")
            return None
        if book.snapshot.status is Status.CANCEL_REQUESTED:
            await self._taken(visit)
            return None
        if book.proposal.tries >= TRIES:
            await self._give_up(sweeper, visit, f"{TRIES} requests were not taken")
            return None
        async with self._deciding:
            no = self._desk.guards_again(visit, alert, cancels_last_hour=await self._last_hour(proposal))
            intended = not no and await self._intend(sweeper, visit, alert)
        if no:
            return await self._refused(sweeper, visit, no)
        return await self._post(sweeper, visit, alert, provider) if intended else None

    async def _taken(self, visit: Visit) -> None:
        """The job says that the cancel was taken, though its answer never came: another is not sent."""
        proposal = visit.book.proposal
        if proposal is not None and proposal.state is ProposalState.REQUESTED:
            posted = replace(proposal, posted_at=self._clock.now())
            await self._store.write(lambda tx: tx.move_proposal(posted.id, ProposalState.REQUESTED, posted))
            visit.book.proposal = posted

    async def _refused(self, sweeper: Sweeper, visit: Visit, no: tuple[Refusal, ...]) -> Later | None:
        """Withdraw, unless all that is missing is what sweeps bring: after a restart confirmations count anew."""
        lasting = [refusal.reason for refusal in no if not refusal.guard.passing]
        if lasting:
            await self._withdraw(sweeper, visit, "; ".join(lasting))
            return None
        why = "; ".join(refusal.reason for refusal in no)
        return Later(self._clock.now() + min(max(sweeper.config.interval, AGAIN), self._settle), why)

    async def _last_hour(self, proposal: Proposal) -> int:
        since = self._clock.now() - _HOUR
        count = await self._store.read(lambda reads: reads.cancels_since(since))
        counted = proposal.requested_at is not None and proposal.requested_at >= since
        return count - int(counted)

    async def _withdraw(self, sweeper: Sweeper, visit: Visit, why: str) -> None:
        after = Visit(visit.book, self._clock.now(), link=sweeper.config.link)
        reason, state = TransitionReason.CANCEL_WITHDRAWN, ProposalState.WITHDRAWN
        self._desk.end(after, state, reason, f"Not cancelled after all: {why}.")
        await sweeper.commit(after)
        self._telemetry.cancel("withdrawn")

    async def _intend(self, sweeper: Sweeper, visit: Visit, alert: Alert) -> bool:
        """Store the intent; False when a veto came first. Claim and veto are one conditional update: one wins."""
        book, now = visit.book, self._clock.now()
        proposal = book.proposal
        if proposal is None:
            return False
        wanted = replace(proposal, state=ProposalState.REQUESTED, requested_at=now, tries=proposal.tries + 1)
        won = await self._store.write(lambda tx: tx.move_proposal(proposal.id, proposal.state, wanted))
        if not won:
            now_open = await self._store.read(lambda reads: reads.proposal(proposal.id))
            book.proposal = now_open if now_open is not None and now_open.state.open else None
            return False
        book.proposal = wanted
        ours = Visit(book, now, link=sweeper.config.link)
        ours.take_event_of_ours(Event(type="watcher_cancelled", at=now, message=f"cancelled by rule {alert.rule}"))
        await sweeper.commit(ours)
        return True

    async def _post(self, sweeper: Sweeper, visit: Visit, alert: Alert, provider: Provider) -> Later | _Posted | None:
        job_id = visit.book.key.job_id
        log.info("cancel.posting", job_id=job_id, rule=alert.rule, step=visit.book.state.pace.train_step)
        try:
            await provider.cancel(job_id)
        except ProviderError as error:
            if error.reason is not FailureReason.PAYLOAD or not error.maybe_done:
                return await self._failed(sweeper, visit, error)
            detail = UNREADABLE  # a 2xx all the same: another POST could be answered with a second one
        else:
            detail = ""
        self._telemetry.cancel("requested")
        proposal, now = visit.book.proposal, self._clock.now()
        if proposal is None:
            return None
        visit.book.proposal = replace(proposal, posted_at=now, detail=detail)
        told = Transition(alert=alert, reason=TransitionReason.CANCEL_REQUESTED, at=now)
        return _Posted(visit.book.proposal, told)

    async def _remember(self, taken: _Posted) -> None:
        """Write that the POST was taken, however long the store takes to come back: it must not be sent again."""
        while True:
            try:
                await self._store.write(lambda tx: _record_posted(tx, taken.proposal, taken.told))
            except StoreError as error:
                log.error("cancel.outcome_not_stored", reason=str(error))
                await self._clock.sleep(AGAIN.total_seconds())
            else:
                return

    async def _failed(self, sweeper: Sweeper, visit: Visit, error: ProviderError) -> Later | None:
        """The POST was not answered with a yes. What the job's status says is the truth; it is read again later."""
        log.warning("cancel.post_failed", reason=error.reason.value, maybe_done=error.maybe_done)
        self._telemetry.cancel("post_failed")
        if error.reason in (FailureReason.AUTH, FailureReason.FORBIDDEN):
            await self._give_up(sweeper, visit, f"the API refused it: {error.reason.value}")
            return None
        if error.maybe_done:
            return Later(self._clock.now() + self._settle, f"cancel perhaps not taken: {error.reason.value}")
        await self._back_to_proposed(visit)
        wait = max(AGAIN, timedelta(seconds=error.retry_after or 0))
        return Later(self._clock.now() + wait, f"cancel not taken: {error.reason.value}")

    async def _back_to_proposed(self, visit: Visit) -> None:
        """The API surely did not take it: there is no cancel under way, and a veto may still come first."""
        requested = visit.book.proposal
        if requested is None:
            return
        again = replace(requested, state=ProposalState.PROPOSED, requested_at=None)
        await self._store.write(lambda tx: tx.move_proposal(again.id, ProposalState.REQUESTED, again))
        visit.book.proposal = again

    async def _give_up(self, sweeper: Sweeper, visit: Visit, why: str) -> None:
        after = Visit(visit.book, self._clock.now(), link=sweeper.config.link)
        note = f"The cancel failed, {why}. The job still runs: cancel it by hand."
        self._desk.end(after, ProposalState.FAILED, TransitionReason.CANCEL_FAILED, note)
        await sweeper.commit(after)
        self._telemetry.cancel("failed")


def _record_posted(tx: Writes, posted: Proposal, told: Transition) -> None:
    tx.move_proposal(posted.id, ProposalState.REQUESTED, posted)
    tx.add_transition(told)
