"""Cancels as people see them: what is proposed with the time that is left to say no, and what became of the rest."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from watcher.domain.cancel_policy import CancelMode
from watcher.domain.phrasing import clock, span
from watcher.service.ports import Reads
from watcher.service.records import JobKey, Proposal, ProposalState
from watcher.service.status import proposal_view
from watcher.web.show import job_href

MOST = 200
"""Cancels that are over and still listed."""

Json = dict[str, Any]

_ENDS = {
    ProposalState.VETOED: "vetoed",
    ProposalState.WITHDRAWN: "withdrawn",
    ProposalState.CONFIRMED: "cancelled",
    ProposalState.OVERTAKEN: "overtaken by the job's own end",
    ProposalState.FAILED: "failed",
}


def open_proposals(reads: Reads, now: datetime, labels: Mapping[JobKey, str]) -> list[Json]:
    """Those that may still end in a cancel, the next to do so first."""
    found = [p for p in reads.proposals(states=[s for s in ProposalState if s.open]) if _is_real(p)]
    ordered = sorted(found, key=lambda p: (p.deadline_at is None, p.deadline_at or p.proposed_at))
    return [proposal_row(proposal, now, labels) for proposal in ordered]


def proposal_page(reads: Reads, now: datetime) -> Json:
    """Everything that the page of proposals prints."""
    labels = {record.key: record.snapshot.suffix or record.key.job_id for record in reads.jobs()}
    waiting = open_proposals(reads, now, labels)
    shown = {row["id"] for row in waiting}
    past = [p for p in reads.proposals(limit=MOST + len(shown)) if p.id not in shown]
    audits = reads.audits(limit=MOST)
    return {
        "open": waiting,
        "past": [proposal_row(proposal, now, labels) for proposal in past[:MOST]],
        "audits": [
            {
                "at": entry.at,
                "who": entry.who,
                "what": entry.what.value,
                "via": entry.via,
                "why": entry.why,
                "outcome": entry.outcome.replace("_", " "),
                "about": labels.get(entry.key, entry.key.job_id),
                "href": job_href(entry.key.account, entry.key.job_id),
            }
            for entry in audits
        ],
    }


def proposal_row(proposal: Proposal, now: datetime, labels: Mapping[JobKey, str] | None = None) -> Json:
    """One cancel, with a sentence on how it stands."""
    key = proposal.key
    return proposal_view(proposal) | {
        "about": (labels or {}).get(key, key.job_id),
        "href": job_href(key.account, key.job_id),
        "open": proposal.state.open and _is_real(proposal),
        "vetoable": proposal.state is ProposalState.PROPOSED and _is_real(proposal),
        "word": proposal_word(proposal),
        "stand": _stand(proposal, now),
        "deadline": proposal.deadline_at if _runs(proposal) else None,
        "proposed": proposal.proposed_at,
        "ended": proposal.ended_at,
        "approved": proposal.approved_at is not None,
    }


def _is_real(proposal: Proposal) -> bool:
    """Whether it can end in a cancel: what `observe` would have done can't."""
    return proposal.mode != CancelMode.OBSERVE


def _runs(proposal: Proposal) -> bool:
    return (
        proposal.state is ProposalState.PROPOSED
        and proposal.deadline_at is not None
        and proposal.frozen_at is None
        and proposal.approved_at is None
    )


def proposal_word(proposal: Proposal) -> str:
    """One word or two for its state."""
    if not _is_real(proposal):
        return "would cancel"
    if proposal.state is ProposalState.PROPOSED:
        return "stands still" if proposal.frozen_at is not None else "proposed"
    return _ENDS.get(proposal.state, "cancelling")


def _stand(proposal: Proposal, now: datetime) -> str:
    """What happens next; empty where the word says it all."""
    if not proposal.state.open or not _is_real(proposal):
        return ""
    if proposal.state is ProposalState.REQUESTED:
        return "The cancel is requested; its end is awaited."
    if proposal.frozen_at is not None:
        return f"Stands still since {clock(proposal.frozen_at)}: something that must be known is not."
    if proposal.approved_at is not None:
        return "Approved: it is carried out as soon as the guards agree."
    if proposal.deadline_at is None:
        window = f" of {span(proposal.window)}" if proposal.window else ""
        return f"Not announced yet: the veto window{window} begins when somebody was told."
    return "" if proposal.deadline_at > now else "The window is over: it is carried out as soon as the guards agree."
