"""What is counted and logged once it is durable, beside what sweeps and deliveries count themselves."""

import structlog

from watcher.domain import billing
from watcher.service.book import meter_of
from watcher.service.ports import Telemetry
from watcher.service.records import MANUAL, ProposalState
from watcher.service.visit import Visit

log = structlog.get_logger(__name__)


def count(telemetry: Telemetry, visit: Visit) -> None:
    """What one committed visit to a job brought."""
    for proposal in [*([visit.proposal] if visit.proposal else []), *(moved for _, moved in visit.moves)]:
        telemetry.cancel(proposal.state.value)
    _count_saved(telemetry, visit)
    for transition in visit.transitions:
        alert, why = transition.alert, transition.reason.value
        telemetry.alert(alert.rule, why)
        job_id = visit.book.key.job_id
        log.info("alert.changed", job_id=job_id, rule=alert.rule, kind=alert.kind, why=why, step=alert.step)


def _count_saved(telemetry: Telemetry, visit: Visit) -> None:
    """Steps and dollars that a cancel of the watcher's own left unspent, once its job is seen cancelled."""
    ended = (proposal for _, proposal in visit.moves if proposal.state is ProposalState.CONFIRMED)
    if all(proposal.mode == MANUAL for proposal in ended):
        return
    bill = billing.bill(meter_of(visit.book.record, visit.book.state))
    telemetry.saved(visit.book.key.account, bill.steps_saved or 0, float(bill.saved.dollars or 0))
