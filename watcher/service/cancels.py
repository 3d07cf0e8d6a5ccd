"""Auto-cancel: the sweep proposes and follows, the dispatcher performs. Intent is stored before the POST.

At most one 2xx cancel answer a job, and no POST without a stored intent on data judged right before it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import structlog

from watcher.domain import continuing, moneywords
from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.cancel_policy import (
    NEVER_CANCELS,
    CancelMode,
    CancelPolicy,
    Evidence,
    Guard,
    Refusal,
    refusals,
)
from watcher.domain.observations import Status
from watcher.domain.verdicts import Finding
from watcher.service.book import chosen, meter_of
from watcher.service.ports import Reads, Store
from watcher.service.records import MANUAL, Proposal, ProposalState
from watcher.service.subjects import Faults
from watcher.service.tending import announce, freeze, is_recent, take_up, why_lost
from watcher.service.visit import Visit
from watcher.service.windows import Windows, cancel_effect, is_on_its_way

log = structlog.get_logger(__name__)

GIVE_UP = timedelta(minutes=30)
"""A job still running so long after its cancel was taken was not cancelled."""
UNREADABLE = "The answer to the cancel could not be read."
DOUBTFUL = timedelta(minutes=2)
"""Where the answer was not readable, people are told so soon that the job still runs."""
UNTOLD = "Not cancelled: its announcement reached nobody (the console does not count)."
_HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class _Case:
    """One firing alert that may cancel, and what the guards say."""

    alert: Alert
    finding: Finding | None
    refusals: tuple[Refusal, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """What the store knew at the start of a sweep, of all accounts."""

    last_hour: int = 0
    """Cancels whose intent was stored in the last hour."""
    open: dict[str, Proposal] = field(default_factory=dict)
    untold: frozenset[str] = frozenset()
    """Open proposals whose announcement reaches nobody any more."""

    @property
    def announced(self) -> int:
        """Cancels that people are asked about at the moment."""
        return sum(p.state is ProposalState.PROPOSED and p.mode == CancelMode.PROPOSE for p in self.open.values())


class CancelDesk:
    """Decides what to propose, tends what is open and follows what was requested; `CancelPerformer` does the POST."""

    def __init__(self, *, store: Store, windows: Windows, faults: Faults, kill_switch: Callable[[], bool]) -> None:
        self._store, self._windows, self._faults, self._kill_switch = store, windows, faults, kill_switch
        self._known = _Known()

    async def refresh(self, now: datetime, account: str) -> None:
        """Read what other jobs and people did meanwhile; call at the start of a sweep.

        Raises:
            StoreError: nothing was read.
        """
        await self._windows.settle()
        self._known = await self._store.read(lambda reads: _read_known(reads, now))
        if self._is_calm:
            self._faults.over("cancel_rate", account)

    def consider(self, visit: Visit) -> None:
        """At the end of a visit: tend what is open, propose, say what would be done, or note why not."""
        book, policy = visit.book, visit.book.selection.policy
        before, book.refusals = book.refusals, {}
        if book.proposal is not None:
            self._tend(visit)
        if policy.mode is not CancelMode.OFF:
            for alert in book.fold.firing():
                self._consider(visit, policy, self._case(visit, alert))
        for key, refusal in book.refusals.items():
            known = before.get(key)
            if known is None or known.guard is not refusal.guard:  # said when it changes, not in every sweep
                guard, reason = refusal.guard.value, refusal.reason
                log.info("cancel.refused", job_id=book.key.job_id, rule=key[0], guard=guard, reason=reason)
        if book.refusals or book.state.guards:
            visit.note_guards()

    def guards_again(self, visit: Visit, alert: Alert, *, cancels_last_hour: int) -> tuple[Refusal, ...]:
        """What the guards say right before the POST.

        This look follows the confirming sweep by seconds and may bring no new row: its data counts as fresh while the
        newest row is no older than the job's own pace explains.
        """
        no = self._guards_of_open(visit, alert, cancels_last_hour)
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

    def withdraw(self, visit: Visit, no: Sequence[Refusal]) -> None:
        """Guards refuse for good: the open proposal is over. Should they agree again later, another one may follow."""
        book, proposal = visit.book, visit.book.proposal
        why = "; ".join(refusal.reason for refusal in no if not refusal.guard.passing)
        if proposal is None:
            return
        if any(refusal.guard is Guard.RATE for refusal in no):
            book.state.note_told(proposal.alert_id, Guard.RATE)
        asked = "Not asked for again, though whether a request was taken never showed" if proposal.tries else ""
        note = f"{asked or 'Not cancelled after all'}: {why}."
        self.end(visit, ProposalState.WITHDRAWN, TransitionReason.CANCEL_WITHDRAWN, note)

    # --- what is open ---

    def _tend(self, visit: Visit) -> None:
        """Withdraw, freeze or take up the open proposal. One that was requested is followed, not tended."""
        proposal = self._open_of(visit)
        if proposal is None:
            return
        alert = visit.book.fold.alerts.get((proposal.rule, proposal.kind))
        if alert is None or alert.id != proposal.alert_id:
            self.withdraw(visit, [Refusal(Guard.FINDING, "another episode has begun since")])
            return
        if visit.blind:  # two sweeps must see it again before anything is asked of the API
            visit.book.fold.confirmations.pop((proposal.rule, proposal.kind), None)
        no = self._guards_of_open(visit, alert, self._known.last_hour)
        lasting = [refusal for refusal in no if not refusal.guard.passing]
        if no:
            visit.book.refusals[proposal.rule, proposal.kind] = (*lasting, *no)[0]
        if lasting:
            self._page(visit, no)
            self.withdraw(visit, no)
        else:
            self._wait(visit, proposal, alert, agreed=not no)

    def _wait(self, visit: Visit, proposal: Proposal, alert: Alert, *, agreed: bool) -> None:
        """Nothing speaks against the cancel but what is not known yet, if that."""
        if why := why_lost(visit, proposal.rule):
            freeze(visit, proposal, alert, why)
        elif proposal.frozen_at is None:
            if proposal.id in self._known.untold:
                self.end(visit, ProposalState.WITHDRAWN, TransitionReason.CANCEL_WITHDRAWN, UNTOLD)
        elif agreed:
            take_up(visit, proposal, alert, visit.book.selection.policy.veto_window)

    def _open_of(self, visit: Visit) -> Proposal | None:
        """The proposal of the job that is not requested yet, with its window as the store has it.

        What was read at the start of the sweep may be older than what the book knows of its life, never of its window:
        but for approvals, only this desk and `Windows` change it, and they wait for each other's commits.
        """
        book = visit.book
        mine, stored = book.proposal, self._known.open.get(book.proposal.id) if book.proposal else None
        if mine is None or mine.state is not ProposalState.PROPOSED or any(p.id == mine.id for _, p in visit.moves):
            return None
        if stored is not None and stored.round >= mine.round:
            book.proposal = mine = mine.with_window_of(stored)
        return mine

    def _guards_of_open(self, visit: Visit, alert: Alert, cancels_last_hour: int) -> tuple[Refusal, ...]:
        proposal, fresh = visit.book.proposal, visit.fresh or (visit.metrics_read and is_recent(visit))
        seen = self._evidence(visit, alert, cancels_last_hour, fresh=fresh)
        mode = CancelMode(proposal.mode) if proposal else None
        return refusals(visit.book.selection.policy, replace(seen, proposed=mode))

    # --- what is new ---

    def _evidence(self, visit: Visit, alert: Alert, cancels_last_hour: int, *, fresh: bool) -> Evidence:
        book, key = visit.book, (alert.rule, alert.kind)
        return Evidence(
            finding=book.fold.finding(key),
            unknown=book.fold.unknown(alert.rule),
            confirmations=book.fold.confirmations.get(key, 0),
            fresh=fresh and not visit.blind and not visit.in_part,
            snapshot=book.snapshot,
            step=book.state.pace.train_step,
            vetoed=book.record.keep,
            cancels_last_hour=cancels_last_hour,
            kill_switch=self._kill_switch(),
            asked=book.was_asked,
        )

    @property
    def _is_calm(self) -> bool:
        """Whether an hour has passed without a cancel, and none is on its way."""
        return self._known.last_hour == 0 and self._known.announced == 0

    def _case(self, visit: Visit, alert: Alert) -> _Case:
        book, policy = visit.book, visit.book.selection.policy
        seen = replace(
            self._evidence(visit, alert, self._known.last_hour, fresh=visit.fresh),
            cancels_proposed=self._known.announced if policy.mode is CancelMode.PROPOSE else 0,
            rate_stopped=book.state.was_told(alert.id, Guard.RATE) and not self._is_calm,
        )
        return _Case(alert, book.fold.finding((alert.rule, alert.kind)), refusals(policy, seen))

    def _consider(self, visit: Visit, policy: CancelPolicy, case: _Case) -> None:
        book, alert = visit.book, case.alert
        if book.proposal is not None or visit.proposal is not None:
            return  # one at a time: what is open is tended
        if not alert.may_cancel:
            book.refusals[alert.rule, alert.kind] = Refusal(Guard.CAPABILITY, NEVER_CANCELS)
        elif case.refusals:
            self._refuse(visit, policy, case)
        elif not book.is_settled(alert.id, policy.mode, untold=UNTOLD):
            if policy.mode is CancelMode.OBSERVE:
                self._observe(visit, case)
            else:
                self._propose(visit, case, policy)

    def _refuse(self, visit: Visit, policy: CancelPolicy, case: _Case) -> None:
        book, alert = visit.book, case.alert
        worst = next((r for r in case.refusals if not r.guard.passing), case.refusals[0])
        book.refusals[alert.rule, alert.kind] = worst
        decided = all(refusal.guard.worth_telling for refusal in case.refusals)
        if not decided or book.state.was_told(alert.id, worst.guard) or _may_pass(worst, visit, policy):
            return
        book.state.note_told(alert.id, worst.guard)
        visit.note(_told(alert, TransitionReason.CANCEL_REFUSED, visit, f"Not cancelled: {worst.reason}."))
        self._page(visit, (worst,))

    def _page(self, visit: Visit, no: Sequence[Refusal]) -> None:
        """More cancels than anybody expected look like a fault of ours."""
        for refusal in no:
            if refusal.guard is Guard.RATE:
                self._faults.report("cancel_rate", visit.book.key.account, f"auto-cancel stopped: {refusal.reason}")

    def _observe(self, visit: Visit, case: _Case) -> None:
        note = "Auto-cancel only observes here: with enforce, the job would be cancelled now."
        visit.proposal = _proposal(visit, case, CancelMode.OBSERVE, ProposalState.WITHDRAWN, note)
        visit.note(_told(case.alert, TransitionReason.WOULD_CANCEL, visit, note))

    def _propose(self, visit: Visit, case: _Case, policy: CancelPolicy) -> None:
        """With `enforce` the cancel follows at once, else when its announcement was delivered and nobody vetoed it."""
        proposal = _proposal(visit, case, policy.mode, ProposalState.PROPOSED, "")
        visit.book.state.forget_told(case.alert.id, Guard.RATE)
        if policy.mode is CancelMode.PROPOSE:
            proposal = replace(proposal, window=policy.veto_window)
            self._known.open[proposal.id] = proposal
            announce(visit, proposal, case.alert)
        else:
            visit.effects.append(cancel_effect(proposal, visit.now))
            log.info("cancel.proposed", job_id=visit.book.key.job_id, rule=case.alert.rule, step=proposal.step)
        visit.proposal = proposal

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


def _read_known(reads: Reads, now: datetime) -> _Known:
    found = {p.id: p for p in reads.proposals(states=[state for state in ProposalState if state.open])}
    waiting = [p for p in found.values() if p.mode == CancelMode.PROPOSE and p.state is ProposalState.PROPOSED]
    unheard = [p for p in waiting if p.announced_at is None and p.approved_at is None]
    untold = frozenset(p.id for p in unheard if not is_on_its_way(reads, p))
    return _Known(reads.cancels_since(now - _HOUR), found, untold)


def _may_pass(refusal: Refusal, visit: Visit, policy: CancelPolicy) -> bool:
    """Progress below the lower bound is reached by itself, so it is not told."""
    step, total = visit.book.state.pace.train_step, visit.book.snapshot.total_steps
    return refusal.guard is Guard.PROGRESS and bool(total) and (step or 0) / (total or 1) < policy.min_progress


def _proposal(visit: Visit, case: _Case, mode: CancelMode, state: ProposalState, detail: str) -> Proposal:
    reason = case.finding.reason if case.finding else case.alert.reason
    return Proposal(
        id=visit.book.next_proposal_id(case.alert.id),
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
    step, saved = book.state.pace.train_step, moneywords.cancelled(meter_of(book.record, book.state))
    kept = continuing.kept(chosen(book.record, book.state), book.state.checkpoint_step, book.state.shelf.unplaced)
    where = "before its first step" if step is None else f"at step {step}"
    # Whether a cancelled job keeps what it had saved is not documented.
    look = f" What is still there: watcher checkpoints {book.key.job_id}" if step is not None else ""
    return f"Cancelled {where}.{f' {saved}' if saved else ''} {kept} The alerts on its rows end with it.{look}"
