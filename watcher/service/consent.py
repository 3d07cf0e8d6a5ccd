"""What people say about a cancel of the watcher's: no (veto), never mind (lift), or now (approve). Each is audited.

The claim of a cancel and every word of a person are conditional updates of one row in state `proposed`: whichever is
first wins, and the answer says which. An answer is {"job", "account", "proposal", "done", "outcome", "text",
"never_cancel"}: `outcome` is one of the words of `Outcome`, `text` a sentence for people, `done` whether it is as the
person wants it now.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from watcher.domain.alerts import Transition, TransitionReason
from watcher.domain.phrasing import clock as hour
from watcher.service.errors import ConfigError
from watcher.service.ports import Clock, NoTelemetry, Reads, Store, Telemetry, Writes
from watcher.service.records import Act, Audit, JobKey, JobRecord, Proposal, ProposalState
from watcher.service.sweep import Sweeper
from watcher.service.windows import cancel_effect, cancel_lane

_NAME, _REASON = 100, 500
"""Characters of a name and of a reason that are kept."""
_OPEN = tuple(state for state in ProposalState if state.open)


class Outcome(StrEnum):
    """What came of a person's word."""

    VETOED = "vetoed"
    """The open cancel is off, and the job is protected from now on."""
    PROTECTED = "protected"
    """No cancel was open; the job is protected from now on, or was before."""
    LIFTED = "lifted"
    APPROVED = "approved"
    TOO_LATE = "too_late"
    """The cancel was requested already. A veto protects the job even so, should that cancel fail."""
    OVER = "over"
    """The proposal that was meant is over: nothing was changed."""
    NOTHING_OPEN = "nothing_open"
    """There is no cancel to approve: nothing was changed."""


@dataclass(frozen=True, slots=True)
class Person:
    """Who says it (a name as given, never a secret), by which way (`command`, `link`, `page`, `api`), and why."""

    who: str
    via: str
    why: str = ""

    @property
    def named(self) -> str:
        return " ".join(self.who.split())[:_NAME] or "somebody"

    @property
    def reason(self) -> str:
        return " ".join(self.why.split())[:_REASON]

    @property
    def sentence(self) -> str:
        """Name and reason, as a note holds them."""
        return f"{self.named} ({self.reason})" if self.reason else self.named

    def audit(self, act: Act, key: JobKey, at: datetime, *, outcome: str, proposal_id: str = "") -> Audit:
        """The entry for what this person did."""
        return Audit(
            at=at,
            who=self.named,
            via=self.via,
            what=act,
            why=self.reason,
            key=key,
            proposal_id=proposal_id,
            outcome=str(outcome),
        )


def person_of(request: Mapping[str, Any]) -> Person:
    """Who asks, as a command says it: `by`, `reason`, and `via` where it is not a command."""
    return Person(str(request.get("by", "")), str(request.get("via", "command")), str(request.get("reason", "")))


class Consent:
    """Takes the words of people, into the store and into the books of a running daemon.

    `sweepers` gives those of the daemon, or none where no daemon runs; `wake` is called when something is due.
    """

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        sweepers: Callable[[], Iterable[Sweeper]] = tuple,
        wake: Callable[[], None] = lambda: None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._store, self._clock, self._sweepers, self._wake = store, clock, sweepers, wake
        self._telemetry = telemetry or NoTelemetry()

    async def veto(self, job_id: str, person: Person, *, proposal_id: str = "") -> dict[str, Any]:
        """No: the open cancel of the job is off, and the watcher never cancels the job, until the veto is lifted.

        With `proposal_id` only that proposal is meant: when it is over (outcome `over`), nothing is changed.

        Raises:
            ConfigError: no such job or proposal is known.
            StoreError: nothing was changed.
        """
        now = self._clock.now()
        return await self._say(lambda tx: veto_in(tx, job_id, now, person, proposal_id=proposal_id), job_id)

    async def lift(self, job_id: str, person: Person) -> dict[str, Any]:
        """The watcher may cancel the job again. A vetoed proposal stays so; another may follow, with its own window.

        Raises:
            ConfigError: no such job is known.
            StoreError: nothing was changed.
        """
        now = self._clock.now()
        return await self._say(lambda tx: lift_in(tx, job_id, now, person), job_id)

    async def approve(self, job_id: str, person: Person, *, proposal_id: str = "") -> dict[str, Any]:
        """Now: the rest of the window is given up, and the announcement is not waited for. Every other guard holds.

        So `approved` does not mean cancelled: what became of it is told as of any cancel. Needs an open proposal;
        `watcher cancel` (`ManualCancel`) is the way without one. `proposal_id` as for `veto`.

        Raises:
            ConfigError: no such job or proposal is known.
            StoreError: nothing was changed.
        """
        now = self._clock.now()
        return await self._say(lambda tx: approve_in(tx, job_id, now, person, proposal_id=proposal_id), job_id)

    async def _say(self, work: Callable[[Writes], dict[str, Any]], job_id: str) -> dict[str, Any]:
        def said(tx: Writes) -> tuple[dict[str, Any], list[JobRecord], dict[str, Proposal]]:
            answer = work(tx)
            related = [record for r in tx.find_jobs(job_id) for record in _chain(tx, r)]
            return answer, related, {p.id: p for r in related for p in tx.proposals(key=r.key)}

        answer, records, proposals = await self._store.write(said)
        for sweeper in self._sweepers():
            for record in (record for record in records if record.key.account == sweeper.config.name):
                sweeper.restarts.heed(record)
                book = sweeper.book(record.key.job_id)
                if book is not None:
                    book.heed(record, proposals)
        if answer["outcome"] == Outcome.VETOED:
            self._telemetry.cancel(Outcome.VETOED.value)
        self._wake()
        return answer


def veto_in(tx: Writes, job_id: str, now: datetime, person: Person, *, proposal_id: str = "") -> dict[str, Any]:
    """`Consent.veto` inside one transaction."""
    records, meant = _meant(tx, job_id, proposal_id)
    return _the_one([_Word(tx, record, now, person).veto(meant) for record in records])


def lift_in(tx: Writes, job_id: str, now: datetime, person: Person) -> dict[str, Any]:
    """`Consent.lift` inside one transaction."""
    records, _ = _meant(tx, job_id, "")
    return _the_one([_Word(tx, record, now, person).lift() for record in records])


def approve_in(tx: Writes, job_id: str, now: datetime, person: Person, *, proposal_id: str = "") -> dict[str, Any]:
    """`Consent.approve` inside one transaction."""
    records, meant = _meant(tx, job_id, proposal_id)
    return _the_one([_Word(tx, record, now, person).approve(meant) for record in records])


@dataclass(frozen=True, slots=True)
class _Word:
    """A person says something about the cancel of one job, now, inside one transaction."""

    tx: Writes
    record: JobRecord
    now: datetime
    person: Person

    def veto(self, meant: Proposal | None) -> dict[str, Any]:
        if meant is not None and not meant.state.open:
            return self._over(Act.VETO, meant)
        self.tx.set_keep(self.record.key, keep=True)
        known = self._open()
        if known is None:
            text = "No cancel was open. The watcher will never cancel this job."
            return self._answer(Act.VETO, Outcome.PROTECTED, text, keep=True)
        note = f"Vetoed by {self.person.sentence}. The watcher will not cancel this job."
        vetoed = replace(known, state=ProposalState.VETOED, ended_at=self.now, detail=note)
        if not self.tx.move_proposal(known.id, ProposalState.PROPOSED, vetoed):
            text = "Too late: the cancel was already requested."
            return self._answer(Act.VETO, Outcome.TOO_LATE, text, known, keep=True)
        self._tell(known, TransitionReason.CANCEL_VETOED, note)
        text = "The cancel is off. The watcher will never cancel this job."
        return self._answer(Act.VETO, Outcome.VETOED, text, known, keep=True)

    def lift(self) -> dict[str, Any]:
        """A job that goes on for a vetoed one took its veto over: both are lifted."""
        for related in _chain(self.tx, self.record):
            self.tx.set_keep(related.key, keep=False)
        return self._answer(Act.LIFT, Outcome.LIFTED, "The watcher may cancel this job again.", keep=False)

    def approve(self, meant: Proposal | None) -> dict[str, Any]:
        if meant is not None and not meant.state.open:
            return self._over(Act.APPROVE, meant)
        known = self._open()
        if known is None:
            text = f"No cancel is proposed. To cancel the job by hand: watcher cancel {self.record.key.job_id}"
            return self._answer(Act.APPROVE, Outcome.NOTHING_OPEN, text)
        if known.state is not ProposalState.PROPOSED:
            return self._answer(Act.APPROVE, Outcome.TOO_LATE, "The cancel was already requested.", known)
        if self.tx.approve(known.id, self.now):
            note = f"Approved by {self.person.sentence}: cancelled as soon as every other guard agrees."
            self._tell(known, TransitionReason.CANCEL_APPROVED, note)
        self.tx.enqueue([cancel_effect(known, self.now)], self.now)
        self.tx.hasten(cancel_lane(known.key), self.now)
        text = "It is cancelled as soon as every other guard agrees."
        return self._answer(Act.APPROVE, Outcome.APPROVED, text, known)

    def _over(self, act: Act, meant: Proposal) -> dict[str, Any]:
        ended = f" since {hour(meant.ended_at)}" if meant.ended_at else ""
        text = f"That cancel is over{ended}: {meant.state}. {meant.detail}".rstrip()
        return self._answer(act, Outcome.OVER, text, meant)

    def _open(self) -> Proposal | None:
        return next(iter(self.tx.proposals(key=self.record.key, states=_OPEN)), None)

    def _tell(self, proposal: Proposal, reason: TransitionReason, note: str) -> None:
        """With the job as it was when its alert changed last: nobody looks at it here."""
        alert = self.tx.alert(proposal.alert_id)
        if alert is not None:
            history = self.tx.transitions(alert.id)
            facts = history[-1].facts if history else None
            self.tx.add_transition(Transition(alert=alert, reason=reason, at=self.now, note=note), facts)

    def _answer(
        self, act: Act, outcome: Outcome, text: str, proposal: Proposal | None = None, *, keep: bool | None = None
    ) -> dict[str, Any]:
        key, proposal_id = self.record.key, proposal.id if proposal else ""
        self.tx.add_audit(self.person.audit(act, key, self.now, outcome=outcome, proposal_id=proposal_id))
        return {
            "job": key.job_id,
            "account": key.account,
            "proposal": proposal_id,
            "done": outcome in (Outcome.VETOED, Outcome.PROTECTED, Outcome.LIFTED, Outcome.APPROVED),
            "outcome": outcome.value,
            "text": text,
            "never_cancel": self.record.keep if keep is None else keep,
        }


def _meant(reads: Reads, job_id: str, proposal_id: str) -> tuple[list[JobRecord], Proposal | None]:
    """The job in each account that has it, or only in that of the proposal, if one is named."""
    records = reads.find_jobs(job_id)
    if not records:
        raise ConfigError(f"job {job_id!r} is not known; expected a full id, which `watcher jobs SUFFIX` shows")
    if not proposal_id:
        return records, None
    proposal = reads.proposal(proposal_id)
    found = [record for record in records if proposal is not None and record.key == proposal.key]
    if not found:
        raise ConfigError(f"job {job_id!r} has no cancel {proposal_id!r}")
    return found, proposal


def _chain(reads: Reads, record: JobRecord) -> list[JobRecord]:
    """The job and those that it goes on for."""
    found, before = [record], {r.successor: r for r in reads.jobs(record.key.account) if r.successor}
    while (origin := before.pop(found[-1].key.job_id, None)) is not None:
        found.append(origin)
    return found


def _the_one(answers: list[dict[str, Any]]) -> dict[str, Any]:
    """Where several accounts have the job: the answer of the one whose cancel was open."""
    return next((answer for answer in answers if answer["proposal"]), answers[0])
