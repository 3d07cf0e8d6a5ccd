"""A person cancels a job: the promises of the watcher's own cancels, without its guards.

The intent is stored before the one POST. The truth afterwards is the job's status, not what the POST answered.
The proposal that holds the intent has no alert; `CancelDesk` follows it as any other.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

import structlog

from watcher.domain import codec
from watcher.domain.alerts import Transition, TransitionReason
from watcher.domain.event_log import OUR_CANCEL
from watcher.domain.observations import Event, Status
from watcher.service.book import JobBook
from watcher.service.cancels import UNREADABLE
from watcher.service.consent import Person, person_of
from watcher.service.errors import ConfigError, FailureReason, ProviderError, StoreError
from watcher.service.perform import SETTLE
from watcher.service.ports import Clock, Provider, Reads, Store, Writes
from watcher.service.records import MANUAL, Act, JobKey, JobRecord, Proposal, ProposalState
from watcher.service.sweep import Sweeper, SweeperOf
from watcher.service.visit import Visit

log = structlog.get_logger(__name__)

UNDER_WAY = frozenset({Status.CANCEL_REQUESTED, Status.CANCELLED})
_ENDED = frozenset({Status.COMPLETED, Status.ERROR, Status.USER_ERROR})
_OPEN = tuple(state for state in ProposalState if state.open)
_REQUESTED, _UNDER_WAY = "requested", "under way already"
_INSTEAD = "Somebody cancels the job by hand."


class ManualCancel:
    """Cancels one job because a person said so."""

    def __init__(
        self, *, store: Store, clock: Clock, sweepers: SweeperOf, provider_of: Callable[[str], Provider | None]
    ) -> None:
        self._store, self._clock = store, clock
        self._sweepers, self._provider_of = sweepers, provider_of

    async def cancel(self, job_id: str, person: Person) -> dict[str, Any]:
        """Look at the job, store the intent, POST once, and say what is known then: {job, account, done, status, text}.

        Who asked is in the audit with the intent; where nothing was to be requested, with the answer.

        Raises:
            ConfigError: no such job is known, or no account of this configuration watches it.
            StoreError: the intent could not be stored; nothing was requested.
        """
        records = await self._store.read(lambda reads: reads.find_jobs(job_id))
        if not records:
            raise ConfigError(f"job {job_id!r} is not known; expected the full id of a watched job")
        known = await self._store.read(lambda reads: [answer for r in records if (answer := known_answer(reads, r))])
        if known:
            return await self._noted(records[0].key, person, known[0])
        for record in records:
            sweeper, provider = self._sweepers(record.key.account), self._provider_of(record.key.account)
            if sweeper:
                await sweeper.ready(job_id)
            lock = sweeper.locked(job_id) if sweeper else None
            if sweeper and provider and lock:
                async with lock:
                    return await self._under_lock(record, sweeper, provider, person)
        raise ConfigError(f"job {job_id!r} is not watched with this configuration; expected one of its accounts' jobs")

    async def _noted(self, key: JobKey, person: Person, answer: dict[str, Any]) -> dict[str, Any]:
        """An answer without a request of its own, in the audit."""
        entry = person.audit(Act.CANCEL, key, self._clock.now(), outcome=answer["text"])
        await self._store.write(lambda tx: tx.add_audit(entry))
        return answer

    async def _under_lock(
        self, record: JobRecord, sweeper: Sweeper, provider: Provider, person: Person
    ) -> dict[str, Any]:
        try:
            looked = await sweeper.look_again(record.key.job_id)
        except ProviderError as error:
            unseen = "the API does not know it" if error.reason is FailureReason.NOT_FOUND else "it can't be seen now"
            nothing = _answer(record, done=False, text=f"Nothing was requested: {unseen} ({error}).")
            return await self._noted(record.key, person, nothing)
        if looked is None:
            nothing = _answer(record, done=False, text="Nothing was requested: the job is being read anew. Try again.")
            return await self._noted(record.key, person, nothing)
        book = looked[0]
        refused = _refusal(book.record)
        if refused is not None:
            return await self._noted(record.key, person, refused)
        if book.proposal is not None and book.proposal.posted_at is not None:
            return await self._noted(record.key, person, _already(book.record, book.proposal))
        now = self._clock.now()
        proposal, ours_to_post = await self._store.write(lambda tx: _intend(tx, book, now, sweeper.config.link, person))
        if book.proposal is not None and book.proposal.id != proposal.id:
            book.close_proposal(_given_way(book.proposal, now))
        book.proposal = proposal
        if not ours_to_post:
            return _already(book.record, proposal)
        ours = Visit(book, now, link=sweeper.config.link)
        ours.take_event_of_ours(Event(type=OUR_CANCEL, at=now, message="cancelled by hand"))
        await sweeper.commit(ours)
        return await self._post(book, proposal, provider)

    async def _post(self, book: JobBook, proposal: Proposal, provider: Provider) -> dict[str, Any]:
        log.info("cancel.posting", job_id=book.key.job_id, rule=MANUAL, step=proposal.step)
        try:
            seen = await provider.cancel(book.key.job_id)
        except ProviderError as error:
            log.warning("cancel.post_failed", reason=error.reason.value, maybe_done=error.maybe_done)
            if error.reason is FailureReason.PAYLOAD and error.maybe_done:
                # A 2xx all the same: another POST could be answered with a second one.
                await self._posted(book, proposal, UNREADABLE)
                return _answer(book.record, done=True, text=f"Cancel requested. {UNREADABLE} The watcher follows it.")
            return await self._settle(book, proposal, provider, error)
        await self._posted(book, proposal)
        text = "Cancel requested; it takes effect in a while, and the watcher follows it."
        return _answer(replace(book.record, snapshot=seen), done=True, text=text)

    async def _posted(self, book: JobBook, proposal: Proposal, detail: str = "") -> None:
        book.proposal = posted = replace(proposal, posted_at=self._clock.now(), detail=detail)
        try:
            await self._store.write(lambda tx: tx.move_proposal(posted.id, ProposalState.REQUESTED, posted))
        except StoreError as error:  # the cancel is under way all the same: the job's status will tell
            log.error("cancel.post_not_stored", job_id=book.key.job_id, reason=str(error))

    async def _settle(
        self, book: JobBook, proposal: Proposal, provider: Provider, error: ProviderError
    ) -> dict[str, Any]:
        """The POST was not answered with a yes: it may have been taken all the same, so the status is read."""
        try:
            seen = (await provider.get_job(book.key.job_id)).snapshot
        except ProviderError:
            seen = None
        record = book.record if seen is None else replace(book.record, snapshot=seen)
        if seen is not None and seen.status in UNDER_WAY:
            await self._posted(book, proposal)
            return _answer(
                record, done=True, text=f"Cancel requested: the answer was lost ({error}), but it was taken."
            )
        if seen is not None and seen.status.terminal:
            return _answer(record, done=False, text=f"Not cancelled: the job ended first ({seen.status.value}).")
        if seen is None or error.maybe_done:
            text = (
                f"Not known whether the cancel was taken ({error}). Look again in a minute; asking again then repeats "
                "it if the job still runs."
            )
            return _answer(record, done=False, text=text)
        failed = replace(
            proposal, state=ProposalState.FAILED, ended_at=self._clock.now(), detail=f"The API refused it: {error}."
        )
        await self._store.write(lambda tx: tx.move_proposal(failed.id, ProposalState.REQUESTED, failed))
        book.close_proposal(failed)
        return _answer(record, done=False, text=f"Not cancelled: the API refused it ({error}). The job still runs.")


def deletion_noted(tx: Writes, request: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Who is about to delete a job, in the audit before the API is asked: it can't be undone.

    Raises:
        ConfigError: no such job is known.
    """
    job_id, account = str(request["job"]), str(request["account"])
    record = tx.job(JobKey(account, job_id))
    if record is None:
        raise ConfigError(f"job {job_id!r} is not known; expected the full id of a watched job")
    tx.add_audit(person_of(request).audit(Act.DELETE, record.key, now, outcome=_REQUESTED))
    return {"noted": True}


def _intend(tx: Writes, book: JobBook, now: datetime, link: str, person: Person) -> tuple[Proposal, bool]:
    """Store the intent; False beside one that was there before and needs no POST of ours.

    Who asked is stored with it. A POST whose outcome never became known may be repeated once the job had time to show
    it. A cancel that the watcher only proposes gives way to the person's: one transaction, so that no POST of it can
    follow.
    """
    known = next(iter(tx.proposals(key=book.key, states=_OPEN)), None)
    if known is not None and known.state is ProposalState.REQUESTED:
        since = known.requested_at or known.proposed_at
        ours = known.mode == MANUAL and known.posted_at is None and now - since >= SETTLE
        outcome = _REQUESTED if ours else _UNDER_WAY
        tx.add_audit(person.audit(Act.CANCEL, book.key, now, outcome=outcome, proposal_id=known.id))
        if not ours:
            return known, False
        again = replace(known, requested_at=now, tries=known.tries + 1)
        tx.move_proposal(known.id, ProposalState.REQUESTED, again)
        return again, True
    if known is not None:
        _give_way(tx, known, book, now, link)
    name = f"{book.key.account}/{book.key.job_id}/{len(tx.proposals(key=book.key))}"
    new = Proposal(
        id=f"m-{hashlib.sha256(name.encode()).hexdigest()[:12]}",
        key=book.key,
        alert_id="",
        rule=MANUAL,
        kind="",
        mode=MANUAL,
        state=ProposalState.REQUESTED,
        proposed_at=now,
        requested_at=now,
        tries=1,
        step=book.state.pace.train_step,
        reason=f"{person.named} asked for it{f': {person.reason}' if person.reason else '.'}",
    )
    tx.add_proposal(new)
    tx.add_audit(person.audit(Act.CANCEL, book.key, now, outcome=_REQUESTED, proposal_id=new.id))
    return new, True


def _given_way(known: Proposal, now: datetime) -> Proposal:
    return replace(known, state=ProposalState.WITHDRAWN, ended_at=now, detail=_INSTEAD)


def _give_way(tx: Writes, known: Proposal, book: JobBook, now: datetime, link: str) -> None:
    tx.move_proposal(known.id, ProposalState.PROPOSED, _given_way(known, now))
    alert = tx.alert(known.alert_id)
    if alert is not None:
        told = Transition(alert=alert, reason=TransitionReason.CANCEL_WITHDRAWN, at=now, note=_INSTEAD)
        tx.add_transition(told, codec.encode(book.facts(link)))


def known_answer(reads: Reads, record: JobRecord) -> dict[str, Any] | None:
    """The answer where the store alone can tell that nothing is to be done."""
    posted = [p for p in reads.proposals(key=record.key, states=[ProposalState.REQUESTED]) if p.posted_at]
    return _refusal(record) or (_already(record, posted[0]) if posted else None)


def _already(record: JobRecord, proposal: Proposal) -> dict[str, Any]:
    at = proposal.posted_at or proposal.requested_at or proposal.proposed_at
    text = f"Already requested at {at:%Y-%m-%d %H:%M:%S} UTC."
    if proposal.posted_at is None and proposal.mode == MANUAL:
        again = f"Ask again {SETTLE.seconds} seconds after that."
        return _answer(record, done=False, text=f"{text} Whether it was taken does not show yet. {again}")
    return _answer(record, done=True, text=text)


def _refusal(record: JobRecord) -> dict[str, Any] | None:
    """The answer for a job that can't be cancelled: a success only where it is on its way to that already."""
    if record.gone:
        return _answer(record, done=False, text="Can't be cancelled: the API does not know it any more.")
    status = record.snapshot.status
    if status in UNDER_WAY:
        return _answer(record, done=True, text=f"Nothing to do: it is {status.value} already.")
    if status not in _ENDED:
        return None
    return _answer(record, done=False, text=f"Can't be cancelled: it is {status.value}.")


def _answer(record: JobRecord, *, done: bool, text: str) -> dict[str, Any]:
    return {
        "job": record.key.job_id,
        "account": record.key.account,
        "done": done,
        "status": record.snapshot.raw_status,
        "text": text,
    }
