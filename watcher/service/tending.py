"""An open proposal from sweep to sweep: announced, frozen while something is not known, and taken up again.

Nothing in here cancels: it changes when a cancel may be thought of. Whoever calls holds the job's lock.
"""

from dataclasses import replace
from datetime import timedelta

import structlog

from watcher.domain.alerts import Alert, Transition, TransitionReason
from watcher.domain.announcing import announcement, waiting
from watcher.domain.cadence import quiet_after, recent_for
from watcher.domain.cancel_policy import CancelMode
from watcher.domain.phrasing import span
from watcher.service.records import Proposal
from watcher.service.visit import Visit
from watcher.service.windows import STEPPED

log = structlog.get_logger(__name__)


def is_recent(visit: Visit) -> bool:
    """Whether the newest row is no older than the job's own pace explains."""
    age = _age(visit)
    return age is not None and age <= recent_for(visit.book.state.pace.usual_gap)


def why_lost(visit: Visit, rule: str) -> str:
    """What is not known of the job that has to be, in words; empty when it is known well enough.

    A sweep without a new row, or one that the API did not answer, is no reason as long as the newest row is young: what
    is judged right before a request is stricter. After a start a rule has not judged yet: that alone is no reason too.
    """
    if visit.blind == "clock":
        return STEPPED
    doubt = visit.book.fold.doubt(rule)
    if doubt:
        return f"the rule can't tell ({doubt})"
    patience = quiet_after(visit.book.state.pace.usual_gap)
    unseen = visit.now - (visit.book.seen_at or visit.now)
    if visit.blind and unseen > patience:
        return f"the API can't be read ({visit.blind}) for {span(unseen)}"
    age = _age(visit)
    if age is None or age > patience:
        return "no row was ever seen" if age is None else f"there was no new row for {span(age)}"
    return ""


def announce(visit: Visit, proposal: Proposal, alert: Alert, again: str = "") -> None:
    """Tell people what is going to happen; with its delivery the window begins."""
    visit.announced = proposal
    note = announcement(proposal.key.job_id, proposal.window, visit.now, again, visit.book.loses)
    visit.note(Transition(alert=alert, reason=TransitionReason.CANCEL_PROPOSED, at=visit.now, note=note))
    job_id = proposal.key.job_id
    log.info("cancel.proposed", job_id=job_id, rule=proposal.rule, step=proposal.step, round=proposal.round)


def freeze(visit: Visit, proposal: Proposal, alert: Alert, why: str) -> None:
    """The proposal waits, from now on or still; people are told once, whatever it is that it waits for.

    A clock that was set has its own alert, and takes the window away (see `Windows.restart`): two sweeps later the
    cancel is announced again, so it is not told here.
    """
    visit.book.fold.confirmations.pop((proposal.rule, proposal.kind), None)
    since = proposal.frozen_at or visit.now
    if proposal.frozen_at is None:
        visit.change(
            lambda tx: tx.freeze(proposal.id, proposal.round, since, why),
            replace(proposal, frozen_at=since, detail=why),
        )
        log.info("cancel.frozen", job_id=proposal.key.job_id, reason=why)
    told = f"{proposal.id}:{proposal.round}:{since.isoformat()}"
    if why == STEPPED or visit.book.state.frozen_told == told:
        return
    visit.book.state.frozen_told = told
    window = proposal.window if proposal.mode == CancelMode.PROPOSE else None
    note = waiting(why, window)
    visit.note(Transition(alert=alert, reason=TransitionReason.CANCEL_FROZEN, at=visit.now, note=note))


def take_up(visit: Visit, proposal: Proposal, alert: Alert, window: timedelta) -> None:
    """What was not known is known again. People who waited for longer than a window get a full one."""
    waited = visit.now - (proposal.frozen_at or visit.now)
    stale = proposal.announced_at is None or waited > proposal.window
    if proposal.mode != CancelMode.PROPOSE or proposal.approved_at is not None or not stale:
        visit.change(
            lambda tx: tx.freeze(proposal.id, proposal.round, None, ""), replace(proposal, frozen_at=None, detail="")
        )
        log.info("cancel.taken_up", job_id=proposal.key.job_id)
        return
    stopped = replace(proposal, announced_at=None, deadline_at=None, frozen_at=None, detail="")
    again = replace(stopped, round=proposal.round + 1, window=window)
    visit.change(lambda tx: tx.renew(proposal.id, proposal.round, window, frozen_at=None, why=""), again)
    announce(visit, again, alert, proposal.detail or "it had to wait")


def _age(visit: Visit) -> timedelta | None:
    newest = visit.book.state.pace.new_row_at
    return None if newest is None else max(timedelta(), visit.now - newest)
