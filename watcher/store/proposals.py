"""Proposals and what people did about them. Claim and veto meet in one conditional update: exactly one wins."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, func, insert, select, update
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from watcher.service.records import MANUAL, Audit, JobKey, Proposal, ProposalState
from watcher.store import rows, schema
from watcher.store.connected import Connected
from watcher.store.values import micros, micros_or_none

_proposals, _audit, _outbox = schema.proposals.c, schema.audit.c, schema.outbox.c
_PROPOSAL = select(schema.proposals).where(_proposals.id == bindparam("id"))
_PROPOSALS = select(schema.proposals).order_by(_proposals.proposed_at.desc(), _proposals.seq.desc())
_OF_JOB = _PROPOSALS.where(_proposals.account == bindparam("account"), _proposals.job_id == bindparam("job_id"))
_CANCELS = select(func.count()).where(_proposals.requested_at >= bindparam("since"), _proposals.mode != MANUAL)
_ADD = insert(schema.proposals)
_MOVE = update(schema.proposals).where(_proposals.id == bindparam("its_id"), _proposals.state == bindparam("expected"))
_OPEN = update(schema.proposals).where(
    _proposals.id == bindparam("its_id"), _proposals.state == ProposalState.PROPOSED.value
)
_IN_ROUND = _OPEN.where(func.coalesce(_proposals.round, 1) == bindparam("its_round"))
_WINDOW = frozenset({"veto_window", "round", "announced_at", "deadline_at", "frozen_at", "approved_at"})
"""Columns with writers of their own, which do not know each other: a move from one state to another leaves them."""
_AUDITS = select(schema.audit).order_by(_audit.id.desc())
_ADD_AUDIT = insert(schema.audit)
_HASTEN = (
    update(schema.outbox)
    .where(_outbox.lane == bindparam("its_lane"), schema.OPEN_EFFECT, _outbox.next_at > bindparam("now"))
    .values(next_at=bindparam("now"))
)
_Columns = ReadOnlyColumnCollection[str, Any]


class ProposalReads(Connected):
    """The part of `Reads` that is about cancels."""

    def proposal(self, proposal_id: str) -> Proposal | None:
        row = self._run(_PROPOSAL, {"id": proposal_id}).first()
        return None if row is None else rows.proposal_from_row(row)

    def proposals(
        self,
        *,
        key: JobKey | None = None,
        account: str | None = None,
        job_id: str | None = None,
        states: Iterable[ProposalState] | None = None,
        limit: int | None = None,
    ) -> list[Proposal]:
        statement = _narrowed(_PROPOSALS if key is None else _OF_JOB, _proposals, account, job_id, limit)
        if states is not None:
            statement = statement.where(_proposals.state.in_([state.value for state in states]))
        of = {} if key is None else {"account": key.account, "job_id": key.job_id}
        return [rows.proposal_from_row(row) for row in self._run(statement, of)]

    def cancels_since(self, since: datetime) -> int:
        count: int = self._run(_CANCELS, {"since": micros(since)}).scalar_one()
        return count

    def audits(self, *, account: str | None = None, job_id: str | None = None, limit: int | None = None) -> list[Audit]:
        return [rows.audit_from_row(row) for row in self._run(_narrowed(_AUDITS, _audit, account, job_id, limit))]


def _narrowed(
    listing: Select[Any], of: _Columns, account: str | None, job_id: str | None, limit: int | None
) -> Select[Any]:
    """A listing without what is not asked for."""
    if account is not None:
        listing = listing.where(of.account == account)
    if job_id is not None:
        listing = listing.where(of.job_id == job_id)
    return listing if limit is None else listing.limit(limit)


class ProposalWrites(ProposalReads):
    """The part of `Writes` that is about cancels."""

    def add_proposal(self, proposal: Proposal) -> None:
        """Raises StoreError when the job has an open one already."""
        self._run(_ADD, rows.proposal_to_row(proposal))

    def move_proposal(self, proposal_id: str, expected: ProposalState, new: Proposal) -> bool:
        changed = {n: value for n, value in rows.proposal_to_row(new).items() if n != "id" and n not in _WINDOW}
        return self._run(_MOVE.values(changed), {"its_id": proposal_id, "expected": expected.value}).rowcount == 1

    def announce(self, proposal_id: str, round_: int, at: datetime, deadline: datetime) -> bool:
        statement = _IN_ROUND.where(_proposals.announced_at.is_(None))
        values = {"announced_at": micros(at), "deadline_at": micros(deadline)}
        return self._run(statement.values(values), {"its_id": proposal_id, "its_round": round_}).rowcount == 1

    def renew(self, proposal_id: str, round_: int, window: timedelta, *, frozen_at: datetime | None, why: str) -> bool:
        values = {
            "round": round_ + 1,
            "veto_window": window // timedelta(microseconds=1),
            "announced_at": None,
            "deadline_at": None,
            "frozen_at": micros_or_none(frozen_at),
            "detail": why,
        }
        statement = _IN_ROUND.where(_proposals.approved_at.is_(None)).values(values)
        return self._run(statement, {"its_id": proposal_id, "its_round": round_}).rowcount == 1

    def freeze(self, proposal_id: str, round_: int, at: datetime | None, why: str) -> bool:
        values = {"frozen_at": micros_or_none(at), "detail": why}
        return self._run(_IN_ROUND.values(values), {"its_id": proposal_id, "its_round": round_}).rowcount == 1

    def approve(self, proposal_id: str, at: datetime) -> bool:
        statement = _OPEN.where(_proposals.approved_at.is_(None)).values(approved_at=micros(at))
        return self._run(statement, {"its_id": proposal_id}).rowcount == 1

    def hasten(self, lane: str, now: datetime) -> int:
        return self._run(_HASTEN, {"its_lane": lane, "now": micros(now)}).rowcount

    def add_audit(self, entry: Audit) -> None:
        self._run(_ADD_AUDIT, rows.audit_to_row(entry))
