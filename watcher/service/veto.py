"""A person says no: the job is never cancelled by the watcher, and a proposal that is open is vetoed."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from watcher.domain.alerts import Transition, TransitionReason
from watcher.service.errors import ConfigError
from watcher.service.ports import Clock, Store, Writes
from watcher.service.records import JobRecord, ProposalState
from watcher.service.sweep import Sweeper


async def veto_job(
    store: Store, sweepers: Sequence[Sweeper], clock: Clock, job_id: str, *, keep: bool
) -> dict[str, Any]:
    """Veto cancels of a job (or lift the veto), in the store and in the books of a running daemon.

    The veto and the claim of a cancel are conditional updates of one row: one of them wins, whichever is first.

    Raises:
        ConfigError: no such job is known.
        StoreError: nothing was changed.
    """
    now = clock.now()
    result = await store.write(lambda tx: veto_in(tx, job_id, now, keep=keep))
    for sweeper in sweepers:
        book = sweeper.book(job_id)
        if book is not None:
            book.record.keep = keep
            proposal = book.proposal
            if keep and proposal is not None and proposal.state is ProposalState.PROPOSED:
                book.proposal = None
    return result


def veto_in(tx: Writes, job_id: str, now: datetime, *, keep: bool) -> dict[str, Any]:
    """The veto inside one transaction; also used where no daemon runs."""
    records = tx.find_jobs(job_id)
    if not records:
        raise ConfigError(f"job {job_id!r} is not known; expected the full id of a watched job (see `watcher jobs`)")
    outcome = "no cancel was open"
    for record in records:
        tx.set_keep(record.key, keep=keep)
        if keep:
            outcome = _end_open(tx, record, now) or outcome
    return {"job": job_id, "never_cancel": keep, "cancel": outcome if keep else "allowed again"}


def _end_open(tx: Writes, record: JobRecord, now: datetime) -> str:
    for proposal in tx.proposals(key=record.key, states=[s for s in ProposalState if s.open]):
        vetoed = replace(proposal, state=ProposalState.VETOED, ended_at=now, detail="vetoed")
        if not tx.move_proposal(proposal.id, ProposalState.PROPOSED, vetoed):
            return "too late: the cancel was already requested"
        alert = tx.alert(proposal.alert_id)
        if alert is not None:
            note = "Somebody vetoed the cancel: the watcher will not cancel this job."
            tx.add_transition(Transition(alert=alert, reason=TransitionReason.CANCEL_VETOED, at=now, note=note))
        return "vetoed"
    return ""
