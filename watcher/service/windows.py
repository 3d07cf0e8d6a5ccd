"""Veto windows: when they begin, how much of them is left, and how they stop and are given again.

A window begins when its announcement was delivered to a target that counts, and runs only while this process runs: it
is measured on the wall clock, which people are told, and on the clock that never goes back; both must have passed. A
window of another process, or from before a step of the clock, counts for nothing: a full one is given and announced
again.
"""

from datetime import datetime, timedelta

import structlog

from watcher.domain.alerts import TransitionReason
from watcher.domain.cancel_policy import CancelMode
from watcher.domain.messages import Message
from watcher.service.ports import Clock, Reads, Store, Writes
from watcher.service.records import (
    Effect,
    JobKey,
    NewEffect,
    OutboxState,
    Proposal,
    ProposalState,
    StoredTransition,
)

log = structlog.get_logger(__name__)

RESTARTED = "the watcher was restarted"
STEPPED = "the clock was changed"
_BACKLOG = 500
_TOLD = f"told: {TransitionReason.CANCEL_PROPOSED}"


class Windows:
    """The windows that this process has begun."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._begun: dict[tuple[str, int], float] = {}
        self._owed = ""
        """Why all windows are to be given again, where that is not stored yet."""

    async def restart(self, why: str) -> None:
        """No window that was begun counts any more: a new process, or a clock that was set.

        Raises:
            StoreError: it is not stored yet, and will be by `settle`; even so nothing that was begun counts.
        """
        self._begun.clear()
        self._owed = why
        await self.settle()

    async def settle(self) -> None:
        """Store what a restart could not. Raises StoreError when that can't be done yet."""
        why, now = self._owed, self._clock.now()
        if why:
            await self._store.write(lambda tx: _stop_all(tx, now, why))
            self._owed = "" if self._owed == why else self._owed

    def begin_in(self, tx: Writes, message: Message) -> bool:
        """An announcement was delivered to somebody: its window begins now, and with it there is a cancel to come.

        False when it was no announcement, or not of the present round, or its window has begun. After the commit:
        `begun`.
        """
        proposal, now = tx.proposal(message.proposal_id) if message.proposal_id else None, self._clock.now()
        if proposal is None:
            return False
        deadline = now + proposal.window
        if not tx.announce(proposal.id, message.proposal_round, now, deadline):
            return False
        tx.enqueue([cancel_effect(proposal, deadline)], now)
        return True

    def begun(self, message: Message) -> None:
        """What `begin_in` wrote is durable."""
        self._begun.setdefault((message.proposal_id, message.proposal_round), self._clock.monotonic())
        log.info("cancel.announced", job_id=message.job_id, proposal=message.proposal_id, round=message.proposal_round)

    def ready_at(self, proposal: Proposal, now: datetime) -> datetime | None:
        """The first moment at which nothing of the window is left; not after `now`, the present, when it is over.

        None while it has not begun in this process. Where there is no window, or it was given up, that is now.
        """
        if proposal.mode != CancelMode.PROPOSE or proposal.approved_at is not None:
            return now
        began = self._begun.get((proposal.id, proposal.round))
        if began is None or proposal.deadline_at is None:
            return None
        left = began + proposal.window.total_seconds() - self._clock.monotonic()
        return max(proposal.deadline_at, now + timedelta(seconds=left))


def _stop_all(tx: Writes, now: datetime, why: str) -> None:
    for proposal in tx.proposals(states=[ProposalState.PROPOSED]):
        if proposal.mode == CancelMode.PROPOSE:
            frozen_at = proposal.frozen_at or now
            tx.renew(proposal.id, proposal.round, proposal.window, frozen_at=frozen_at, why=why)


def is_on_its_way(reads: Reads, proposal: Proposal) -> bool:
    """Whether the announcement of the present round may still reach somebody: not routed, held back, or to be sent."""
    waiting = reads.unconsumed(_BACKLOG)
    if len(waiting) == _BACKLOG or any(_announces(stored, proposal) for stored in waiting):
        return True
    for group in reads.groups():
        member = group.members.get(proposal.alert_id)
        if member is not None and any(reason is TransitionReason.CANCEL_PROPOSED for _, reason in member.news):
            return True
    keys = {key for decision, key in reads.decisions(proposal.alert_id) if key and decision.what == _TOLD}
    rows = [row for key in keys for row in reads.effects(key)]
    return any(row.state in (OutboxState.DUE, OutboxState.CLAIMED) for row in rows)


def _announces(stored: StoredTransition, proposal: Proposal) -> bool:
    told = stored.transition
    return told.alert.id == proposal.alert_id and told.reason is TransitionReason.CANCEL_PROPOSED


def cancel_lane(key: JobKey) -> str:
    """The lane of all cancels of one job: never two at once."""
    return f"cancel:{key.account}:{key.job_id}"


def cancel_effect(proposal: Proposal, at: datetime) -> NewEffect:
    """The cancel itself, to be looked into at a time: one for each round of its window."""
    name = proposal.id if proposal.round == 1 else f"{proposal.id}:{proposal.round}"
    return NewEffect(
        key=f"cancel:{name}",
        effect=Effect.CANCEL,
        lane=cancel_lane(proposal.key),
        payload={"proposal": proposal.id, "round": proposal.round},
        next_at=at,
    )
