"""Auto-cancel: the sweep proposes and follows, the dispatcher performs. Intent is stored before the POST.

At most one 2xx cancel answer a job, and no POST without a stored intent on data judged right before it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.cancel_policy import CancelMode, CancelPolicy, Evidence, Guard, Refusal, refusals
from watcher.domain.observations import Status
from watcher.domain.verdicts import Finding
from watcher.service.ports import Store
from watcher.service.records import MANUAL, Effect, JobKey, NewEffect, Proposal, ProposalState
from watcher.service.subjects import Faults
from watcher.service.visit import Visit

log = structlog.get_logger(__name__)

GIVE_UP = timedelta(minutes=30)
"""A job still running so long after its cancel was taken was not cancelled."""
UNREADABLE = "The answer to the cancel could not be read."
DOUBTFUL = timedelta(minutes=2)
"""Where the answer was not readable, people are told so soon that the job still runs."""
RECENT, RECENT_PACES = timedelta(minutes=2), 5
"""Right before a POST the newest row may be so old: two minutes and five of the job's own paces."""
_HOUR = timedelta(hours=1)
_WORTH_TELLING = frozenset({Guard.NEVER, Guard.RATE, Guard.KILL_SWITCH, Guard.PROGRESS})


@dataclass(frozen=True, slots=True)
class _Case:
    """One firing alert that may cancel, and what the guards say."""

    alert: Alert
    finding: Finding | None
    refusals: tuple[Refusal, ...]


class CancelDesk:
    """Decides what to propose and follows what was requested; `CancelPerformer` does the POST."""

    def __init__(self, *, store: Store, faults: Faults, kill_switch: Callable[[], bool]) -> None:
        self._store, self._faults, self._kill_switch = store, faults, kill_switch
        self._last_hour = 0

    async def refresh(self, now: datetime, account: str) -> None:
        """Count the cancels of the last hour, of all accounts; call at the start of a sweep."""
        self._last_hour = await self._store.read(lambda reads: reads.cancels_since(now - _HOUR))
        if self._last_hour == 0:
            self._faults.over("cancel_rate", account)

    def consider(self, visit: Visit) -> None:
        """At the end of a visit: propose, say what would be done, or note why not."""
        book, policy = visit.book, visit.book.selection.policy
        before, book.refusals = book.refusals, {}
        if policy.mode is CancelMode.OFF:
            return
        for alert in book.fold.firing():
            if alert.may_cancel:
                self._consider(visit, policy, self._case(visit, alert))
        for key, refusal in book.refusals.items():
            known = before.get(key)
            if known is None or known.guard is not refusal.guard:  # said when it changes, not in every sweep
                guard, reason = refusal.guard.value, refusal.reason
                log.info("cancel.refused", job_id=book.key.job_id, rule=key[0], guard=guard, reason=reason)

    def guards_again(self, visit: Visit, alert: Alert, *, cancels_last_hour: int) -> tuple[Refusal, ...]:
        """What the guards say right before the POST.

        This look follows the confirming sweep by seconds and may bring no new row: its data counts as fresh while the
        newest row is no older than the job's own pace explains.
        """
        pace = visit.book.state.pace
        patience = RECENT + RECENT_PACES * (pace.usual_gap or timedelta())
        recent = pace.new_row_at is not None and visit.now - pace.new_row_at <= patience
        fresh = visit.fresh or (visit.metrics_read and recent)
        no = refusals(visit.book.selection.policy, self._evidence(visit, alert, cancels_last_hour, fresh=fresh))
        self._page(visit, no)
        return no

    def follow(self, visit: Visit) -> None:
        """What became of the open proposal: told once, when the job's status is final."""
        proposal = visit.book.proposal
        if proposal is None or not proposal.state.open:
            return
        ended = self._outcome(proposal, visit)
        if ended is not None:
            self.end(visit, *ended)

    def end(self, visit: Visit, state: ProposalState, reason: TransitionReason, detail: str) -> None:
        """Move the open proposal to its end and tell it."""
        proposal = visit.book.proposal
        if proposal is None:
            return
        ended = replace(proposal, state=state, ended_at=visit.now, detail=detail)
        visit.moves.append((proposal.state, ended))
        alert = visit.book.fold.alerts.get((proposal.rule, proposal.kind))
        if alert is not None:
            visit.note(Transition(alert=alert, reason=reason, at=visit.now, note=detail))
        log.info("cancel.ended", job_id=visit.book.key.job_id, outcome=state.value, detail=detail)

    # --- inside ---

    def _evidence(self, visit: Visit, alert: Alert, cancels_last_hour: int, *, fresh: bool) -> Evidence:
        book, key = visit.book, (alert.rule, alert.kind)
        return Evidence(
            finding=book.fold.finding(key),
            unknown=book.fold.unknown(alert.rule),
            confirmations=book.fold.confirmations.get(key, 0),
            fresh=fresh and not visit.blind,
            snapshot=book.snapshot,
            step=book.state.pace.train_step,
            vetoed=book.record.keep,
            cancels_last_hour=cancels_last_hour,
            kill_switch=self._kill_switch(),
        )

    def _case(self, visit: Visit, alert: Alert) -> _Case:
        seen = self._evidence(visit, alert, self._last_hour, fresh=visit.fresh)
        no = refusals(visit.book.selection.policy, seen)
        return _Case(alert, visit.book.fold.finding((alert.rule, alert.kind)), no)

    def _consider(self, visit: Visit, policy: CancelPolicy, case: _Case) -> None:
        book, alert = visit.book, case.alert
        if case.refusals:
            self._refuse(visit, policy, case)
        elif alert.id not in book.state.decided and book.proposal is None and visit.proposal is None:
            book.state.decided.append(alert.id)
            if policy.mode is CancelMode.OBSERVE:
                self._observe(visit, case)
            else:
                self._propose(visit, case)

    def _refuse(self, visit: Visit, policy: CancelPolicy, case: _Case) -> None:
        book, alert = visit.book, case.alert
        worst = next((r for r in case.refusals if not r.guard.passing), case.refusals[0])
        book.refusals[alert.rule, alert.kind] = worst
        only_this = all(r.guard in _WORTH_TELLING or r.guard.passing for r in case.refusals)
        confirmed = all(not r.guard.passing for r in case.refusals)
        if not (only_this and confirmed) or alert.id in book.state.decided or _may_pass(worst, visit, policy):
            return
        book.state.decided.append(alert.id)
        visit.note(_told(alert, TransitionReason.CANCEL_REFUSED, visit, f"Not cancelled: {worst.reason}."))
        self._page(visit, (worst,))

    def _page(self, visit: Visit, no: tuple[Refusal, ...]) -> None:
        """More cancels than anybody expected look like a fault of ours."""
        for refusal in no:
            if refusal.guard is Guard.RATE:
                self._faults.report("cancel_rate", visit.book.key.account, f"auto-cancel stopped: {refusal.reason}")

    def _observe(self, visit: Visit, case: _Case) -> None:
        note = "Auto-cancel only observes here: with enforce, the job would be cancelled now."
        visit.proposal = _proposal(visit, case, CancelMode.OBSERVE, ProposalState.WITHDRAWN, note)
        visit.note(_told(case.alert, TransitionReason.WOULD_CANCEL, visit, note))

    def _propose(self, visit: Visit, case: _Case) -> None:
        proposal = _proposal(visit, case, CancelMode.ENFORCE, ProposalState.PROPOSED, "")
        visit.proposal = proposal
        visit.effects.append(cancel_effect(proposal, visit.now))
        log.info("cancel.proposed", job_id=visit.book.key.job_id, rule=case.alert.rule, step=proposal.step)

    def _outcome(self, proposal: Proposal, visit: Visit) -> tuple[ProposalState, TransitionReason, str] | None:
        status, job = visit.book.snapshot.status, visit.book.snapshot
        requested = proposal.state is ProposalState.REQUESTED
        if visit.book.record.gone and requested:
            note = "The job was deleted before its cancel was seen to take effect."
            return ProposalState.OVERTAKEN, TransitionReason.CANCEL_OVERTAKEN, note
        if visit.book.record.gone or (status.terminal and not requested):
            return ProposalState.WITHDRAWN, TransitionReason.CANCEL_WITHDRAWN, f"The job ended first: {job.raw_status}."
        if status is Status.CANCELLED:
            return ProposalState.CONFIRMED, TransitionReason.CANCELLED, _cancelled(visit)
        if status.terminal:
            note = f"The job ended by itself before the cancel took effect: {job.raw_status}."
            return ProposalState.OVERTAKEN, TransitionReason.CANCEL_OVERTAKEN, note
        # Our own intent whose POST was not taken is tried again, or given up, where it is sent; a person's is not.
        since = proposal.posted_at or (proposal.requested_at if proposal.mode == MANUAL else None)
        patience = DOUBTFUL if proposal.detail == UNREADABLE else GIVE_UP
        if requested and since is not None and status is Status.RUNNING and visit.now - since > patience:
            note = "The cancel was requested, but the job still runs. Cancel it by hand."
            return ProposalState.FAILED, TransitionReason.CANCEL_FAILED, note
        return None


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


def _may_pass(refusal: Refusal, visit: Visit, policy: CancelPolicy) -> bool:
    """Progress below the lower bound is reached by itself, so it is not told."""
    step, total = visit.book.state.pace.train_step, visit.book.snapshot.total_steps
    return refusal.guard is Guard.PROGRESS and bool(total) and (step or 0) / (total or 1) < policy.min_progress


def _proposal(visit: Visit, case: _Case, mode: CancelMode, state: ProposalState, detail: str) -> Proposal:
    reason = case.finding.reason if case.finding else case.alert.reason
    return Proposal(
        id=f"p-{case.alert.id}",
        key=visit.book.key,
        alert_id=case.alert.id,
        rule=case.alert.rule,
        kind=case.alert.kind,
        mode=mode.value,
        state=state,
        proposed_at=visit.now,
        ended_at=None if state.open else visit.now,
        step=visit.book.state.pace.train_step,
        reason=reason,
        detail=detail,
    )


def _told(alert: Alert, reason: TransitionReason, visit: Visit, note: str) -> Transition:
    return Transition(alert=alert, reason=reason, at=visit.now, note=note)


def _cancelled(visit: Visit) -> str:
    book = visit.book
    step, total = book.state.pace.train_step, book.snapshot.total_steps
    saved = f" {total - step} of {total} steps were not run." if total and step is not None and total > step else ""
    kept = book.state.checkpoint_step
    checkpoint = f" Newest saved checkpoint: step {kept}." if kept else " No checkpoint had been saved yet."
    where = "before its first step" if step is None else f"at step {step}"
    return f"Cancelled {where}.{saved}{checkpoint}"
