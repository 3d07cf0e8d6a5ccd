"""Jobs, alerts, transitions, effects and proposals as rows of their tables, and back."""

import functools
from datetime import timedelta
from typing import Any

from watcher.domain import codec
from watcher.domain.alerts import Alert, AlertState, Subject, Transition, TransitionReason
from watcher.domain.observations import Snapshot
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity
from watcher.service.records import (
    Act,
    Audit,
    Effect,
    JobKey,
    JobRecord,
    KnownJob,
    OutboxRow,
    OutboxState,
    Proposal,
    ProposalState,
    StoredTransition,
)
from watcher.store.values import AnyRow, dump, load, micros, micros_or_none, moment, moment_or_none, pack, unpack

_MICROSECOND = timedelta(microseconds=1)


def job_to_row(record: JobRecord) -> dict[str, Any]:
    """The columns of a job; its number is the database's."""
    return {
        "account": record.key.account,
        "job_id": record.key.job_id,
        "selection": record.selection,
        "snapshot": pack(record.snapshot),
        "listed": None if record.listed is None else pack(record.listed),
        "created_at": micros_or_none(record.snapshot.created_at),
        "first_seen_at": micros(record.first_seen_at),
        "first_running_at": micros_or_none(record.first_running_at),
        "ended_at": micros_or_none(record.ended_at),
        "closed": record.closed,
        "silent": record.silent,
        "keep": record.keep,
        "gone": record.gone,
        "health": record.health,
        "last_seq": record.last_seq,
        "saved_seq": record.saved_seq,
        "feed": record.feed,
        "detail_at": micros_or_none(record.detail_at),
        "updated_at": micros_or_none(record.updated_at),
        "successor": record.successor,
    }


def job_from_row(row: AnyRow) -> JobRecord:
    """The job that `job_to_row` made this row of, with what moved it since."""
    return JobRecord(
        key=JobKey(row.account, row.job_id),
        selection=row.selection,
        snapshot=_snapshot(row.snapshot),
        listed=None if row.listed is None else _snapshot(row.listed),
        first_seen_at=moment(row.first_seen_at),
        first_running_at=moment_or_none(row.first_running_at),
        ended_at=moment_or_none(row.ended_at),
        closed=row.closed,
        silent=row.silent,
        keep=row.keep,
        gone=row.gone,
        health=row.health,
        last_seq=row.last_seq if row.moved is None else row.moved_seq,
        saved_seq=row.saved_seq,
        feed=row.feed,
        moved=row.moved,
        detail_at=moment_or_none(row.detail_at),
        updated_at=moment_or_none(row.updated_at if row.moved is None else row.moved_at),
        successor=row.successor,
    )


def known_from_row(row: AnyRow) -> KnownJob:
    """As much of a job as a start asks for, of the columns in the order of `KnownJob`."""
    job_id, created, seen, running, ended, closed, successor = row
    times = (moment_or_none(created), moment(seen), moment_or_none(running))
    return KnownJob(job_id, *times, ended is not None, closed, successor is not None)


@functools.lru_cache(maxsize=4096)
def _snapshot(text: str) -> Snapshot:
    """Of a listing's jobs, few change between two looks at it."""
    return unpack(Snapshot, text)


def alert_to_row(alert: Alert) -> dict[str, Any]:
    """The columns of an alert."""
    return {
        "id": alert.id,
        "subject_kind": alert.subject.kind.value,
        "account": alert.subject.account,
        "job_id": alert.subject.job_id,
        "rule": alert.rule,
        "kind": alert.kind,
        "severity": alert.severity.value,
        "state": alert.state.value,
        "episode": alert.episode,
        "starts_at": micros(alert.starts_at),
        "ends_at": micros_or_none(alert.ends_at),
        "step": alert.step,
        "onset": alert.onset,
        "reason": alert.reason,
        "evidence": dump(codec.encode(alert.evidence)),
        "notice": alert.notice,
        "may_cancel": alert.may_cancel,
    }


def alert_from_row(row: AnyRow) -> Alert:
    """The alert that `alert_to_row` made this row of."""
    return Alert(
        id=row.id,
        subject=Subject(kind=SubjectKind(row.subject_kind), account=row.account, job_id=row.job_id),
        rule=row.rule,
        kind=row.kind,
        severity=Severity(row.severity),
        state=AlertState(row.state),
        episode=row.episode,
        starts_at=moment(row.starts_at),
        ends_at=moment_or_none(row.ends_at),
        step=row.step,
        onset=row.onset,
        reason=row.reason,
        evidence=tuple((label, value) for label, value in load(row.evidence)),
        notice=row.notice,
        may_cancel=row.may_cancel,
    )


def transition_to_row(transition: Transition, facts: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """The columns of a transition, not yet consumed."""
    return {
        "alert_id": transition.alert.id,
        "alert": pack(transition.alert),
        "reason": transition.reason.value,
        "at": micros(transition.at),
        "note": transition.note,
        "facts": dump(facts),
    }


def transition_from_row(row: AnyRow) -> StoredTransition:
    """The transition that `transition_to_row` made this row of."""
    transition = Transition(
        alert=unpack(Alert, row.alert), reason=TransitionReason(row.reason), at=moment(row.at), note=row.note
    )
    return StoredTransition(id=row.id, transition=transition, facts=load(row.facts))


def effect_from_row(row: AnyRow) -> OutboxRow:
    """The outbox row."""
    return OutboxRow(
        id=row.id,
        key=row.key,
        effect=Effect(row.effect),
        lane=row.lane,
        receiver=row.receiver,
        target=row.target,
        payload=load(row.payload),
        state=OutboxState(row.state),
        attempts=row.attempts,
        created_at=moment(row.created_at),
        next_at=moment(row.next_at),
        claimed_at=moment_or_none(row.claimed_at),
        done_at=moment_or_none(row.done_at),
        error=row.error,
    )


def proposal_to_row(proposal: Proposal) -> dict[str, Any]:
    """The columns of a proposal."""
    return {
        "id": proposal.id,
        "account": proposal.key.account,
        "job_id": proposal.key.job_id,
        "alert_id": proposal.alert_id,
        "rule": proposal.rule,
        "kind": proposal.kind,
        "mode": proposal.mode,
        "state": proposal.state.value,
        "proposed_at": micros(proposal.proposed_at),
        "step": proposal.step,
        "reason": proposal.reason,
        "veto_window": proposal.window // _MICROSECOND,
        "round": proposal.round,
        "announced_at": micros_or_none(proposal.announced_at),
        "deadline_at": micros_or_none(proposal.deadline_at),
        "frozen_at": micros_or_none(proposal.frozen_at),
        "approved_at": micros_or_none(proposal.approved_at),
        "requested_at": micros_or_none(proposal.requested_at),
        "posted_at": micros_or_none(proposal.posted_at),
        "tries": proposal.tries,
        "ended_at": micros_or_none(proposal.ended_at),
        "detail": proposal.detail,
    }


def proposal_from_row(row: AnyRow) -> Proposal:
    """The proposal that `proposal_to_row` made this row of."""
    return Proposal(
        id=row.id,
        key=JobKey(row.account, row.job_id),
        alert_id=row.alert_id,
        rule=row.rule,
        kind=row.kind,
        mode=row.mode,
        state=ProposalState(row.state),
        proposed_at=moment(row.proposed_at),
        step=row.step,
        reason=row.reason,
        window=(row.veto_window or 0) * _MICROSECOND,
        round=row.round or 1,
        announced_at=moment_or_none(row.announced_at),
        deadline_at=moment_or_none(row.deadline_at),
        frozen_at=moment_or_none(row.frozen_at),
        approved_at=moment_or_none(row.approved_at),
        requested_at=moment_or_none(row.requested_at),
        posted_at=moment_or_none(row.posted_at),
        tries=row.tries,
        ended_at=moment_or_none(row.ended_at),
        detail=row.detail,
    )


def audit_to_row(entry: Audit) -> dict[str, Any]:
    """The columns of what a person did."""
    return {
        "at": micros(entry.at),
        "who": entry.who,
        "via": entry.via,
        "what": entry.what.value,
        "why": entry.why,
        "account": entry.key.account,
        "job_id": entry.key.job_id,
        "proposal_id": entry.proposal_id,
        "outcome": entry.outcome,
    }


def audit_from_row(row: AnyRow) -> Audit:
    """What a person did, as `audit_to_row` made this row of it."""
    return Audit(
        at=moment(row.at),
        who=row.who,
        via=row.via,
        what=Act(row.what),
        why=row.why,
        key=JobKey(row.account, row.job_id),
        proposal_id=row.proposal_id,
        outcome=row.outcome,
    )
