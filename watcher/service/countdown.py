"""Proposed cancels with the time that is left to say no."""

from datetime import datetime
from typing import Any

from watcher.service.records import Proposal, ProposalState
from watcher.service.status import proposal_view

Json = dict[str, Any]


def timed_view(proposal: Proposal, now: datetime) -> Json:
    """A proposal as everywhere, with `seconds_left` to its deadline and the `frozen_reason`.

    `seconds_left` is None where no deadline runs: it is not announced yet, frozen, approved, or no longer proposed. At
    0.0 the deadline is over and the cancel is due. A frozen one says why, and gets a full window afterwards.
    """
    frozen = proposal.state is ProposalState.PROPOSED and proposal.frozen_at is not None
    return proposal_view(proposal) | {
        "seconds_left": _left(proposal, now),
        "frozen_reason": proposal.detail if frozen else None,
    }


def _left(proposal: Proposal, now: datetime) -> float | None:
    runs = proposal.state is ProposalState.PROPOSED and proposal.frozen_at is None and proposal.approved_at is None
    if not runs or proposal.deadline_at is None:
        return None
    return max(0.0, round((proposal.deadline_at - now).total_seconds(), 3))
