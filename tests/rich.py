"""A store in which there is something of everything that answers can show."""

import math
from typing import Any

from tests.doors import ALERT
from tests.samples import HOSTILE_TEXT
from tests.stored import JOB, NOW, OTHER_JOB, a_proposal, a_snapshot, an_alert, an_effect, at
from tests.website import a_training_job
from watcher.domain.alerts import WATCHER, AlertState, Subject, Transition, TransitionReason
from watcher.domain.groups import Decision, Group, Member
from watcher.domain.observations import EvalRow, Event, Observation, Status, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.service.consent import Person
from watcher.service.people import acknowledge, add_silence
from watcher.service.ports import Writes
from watcher.service.records import Act, JobKey, ProposalState

HOSTILE = HOSTILE_TEXT.replace("\ud800", "")


def fill(tx: Writes) -> None:
    """Into a store that `tests.doors.seed` has filled before."""
    _jobs(tx)
    _alerts(tx)
    tx.move_proposal("p1", ProposalState.PROPOSED, _ended(ProposalState.WITHDRAWN))
    tx.freeze("p2", 1, at(3), "the API can't be seen")
    for i, state in enumerate(state for state in ProposalState if not state.open):
        tx.add_proposal(a_proposal(f"old{i}", JOB, state=state, ended_at=at(2), step=i, detail=HOSTILE))
    deliveries_of(tx, ALERT.id)
    tx.add_audit(Person("Ada", "command", "why").audit(Act.VETO, JOB, NOW, outcome="vetoed", proposal_id="p1"))


def _ended(state: ProposalState) -> Any:
    return a_proposal("p1", JOB, state=state, ended_at=at(1), alert_id=ALERT.id)


def _jobs(tx: Writes) -> None:
    seen: list[Observation] = [a_snapshot(total_steps=400, n_evals=9)]
    for i in range(40):
        loss = math.nan if i == 20 else 2.0 / (i + 1)
        seen.append(TrainRow(step=10 * i, at_ns=int(NOW.timestamp() * 1e9) + i, loss=loss, grad_norm=1.0, lr=1e-4))
    seen += [EvalRow(step=100 * i, at_ns=int(NOW.timestamp() * 1e9), loss=1.0 + i) for i in range(1, 4)]
    seen.append(Event(type="checkpoint_save", at=at(1), message=HOSTILE, step=200, checkpoint_path="s3://there"))
    seen.append(Event(type="early_stopped", at=at(2), message="stopped", best_step=100, best_metric=math.inf))
    snapshot = a_snapshot(total_steps=400, n_evals=9, suffix=HOSTILE, total_price_nano=12_340_000_000)
    tx.save_job(a_training_job(snapshot=snapshot, last_seq=len(seen)))
    tx.append(JOB, 1, seen)
    ended = a_snapshot("ft-2", status=Status.COMPLETED, raw_status="completed", total_price_nano=5_000_000_000)
    tx.save_job(a_training_job(OTHER_JOB, snapshot=ended, closed=True, ended_at=at(5)))
    tx.append(OTHER_JOB, 1, [ended, Event(type="refund", at=at(6), message="refund of $1.50")])
    odd = a_snapshot("ft-3", status=Status.UNRECOGNISED, raw_status="a new word")
    tx.save_job(a_training_job(JobKey("main", "ft-3"), losses=(), snapshot=odd, gone=True))


def _alerts(tx: Writes) -> None:
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    found = [
        an_alert(step=420, onset=400, reason=HOSTILE),
        an_alert("auth", subject=account),
        an_alert("clock", subject=WATCHER, state=AlertState.RESOLVED, ends_at=at(4)),
        an_alert("completion", notice=True),
    ]
    for alert in found:
        tx.save_alert(alert)
        told = Transition(alert=alert, reason=TransitionReason.FIRST, at=NOW, note="note")
        tx.add_transition(told, {"cancel": "off"})
    acknowledge(tx, ALERT.id, author="Ada", comment="on it", now=NOW, until=at(60))
    add_silence(tx, ["rule=x"], at(60) - NOW, author="Ada", comment=HOSTILE, now=NOW)


def deliveries_of(tx: Writes, alert_id: str) -> None:
    """Of an alert: one message was taken, one waits after a failure, one was given up."""
    tx.enqueue([an_effect("k-1"), an_effect("k-2", lane="other"), an_effect("k-3", lane="gone")], NOW)
    for row in tx.claim(NOW):
        if row.key == "k-1":
            tx.finish(row.id, at(1))
        elif row.key == "k-2":
            tx.retry(row.id, at(10), "json: answered 503")
        else:
            tx.park(row.id, at(2), "json: answered 410")
    told = Decision(alert_id=alert_id, receiver="team", at=NOW, what="told: first")
    tx.add_decisions([(told, key) for key in ("k-1", "k-2", "k-3")])
    member = Member(alert_id=alert_id, labels={}, told_at=NOW, last_at=NOW)
    tx.save_group(Group(key="g", receiver="team", route="", members={alert_id: member}, flush_at=at(240)))
