"""What every store promises of a transaction, and of the proposals that hang on it."""

import asyncio
import threading
from dataclasses import replace

import pytest

from tests.stored import JOB, NOW, OTHER_JOB, a_job, a_proposal, a_transition, an_alert, an_effect, at
from watcher.domain.observations import TrainRow
from watcher.service.errors import StoreError
from watcher.service.ports import Reads, Store, Writes
from watcher.service.records import AlertQuery, Proposal, ProposalState

WAIT_SECONDS = 20


# --- whole or not at all ---


def everything(tx: Writes) -> None:
    tx.save_job(a_job())
    tx.append(JOB, 1, [TrainRow(1, 1, 1.0)])
    tx.save_alert(an_alert())
    tx.add_transition(a_transition())
    tx.enqueue([an_effect("k")], NOW)
    tx.add_proposal(a_proposal())
    tx.set_meta("m", "1")


def what_is_there(tx: Reads) -> int:
    lists = (tx.jobs(), tx.observations(JOB), tx.alerts(AlertQuery()), tx.unconsumed(), tx.outbox(), tx.proposals())
    return sum(len(found) for found in lists) + (tx.meta("m") is not None)


async def test_work_that_raises_leaves_nothing(store: Store) -> None:
    class OwnError(Exception):
        pass

    def work(tx: Writes) -> None:
        everything(tx)
        raise OwnError

    with pytest.raises(OwnError):
        await store.write(work)

    assert await store.read(what_is_there) == 0

    await store.write(everything)

    assert await store.read(what_is_there) == 7


async def test_work_that_the_store_refuses_leaves_nothing(store: Store) -> None:
    def work(tx: Writes) -> None:
        everything(tx)
        tx.add_proposal(a_proposal("second"))

    with pytest.raises(StoreError):
        await store.write(work)

    assert await store.read(what_is_there) == 0


async def test_an_error_of_the_store_shows_no_stored_text(store: Store) -> None:
    await store.write(lambda tx: tx.add_proposal(a_proposal()))

    with pytest.raises(StoreError) as caught:
        await store.write(lambda tx: tx.add_proposal(a_proposal(reason="PLANTED", rule="PLANTED")))

    assert "PLANTED" not in f"{caught.value} {caught.value.__cause__}"


async def test_a_read_can_not_write(store: Store) -> None:
    assert not hasattr(await store.read(lambda tx: tx), "save_job")


async def test_a_read_sees_one_moment(store: Store) -> None:
    began, written = threading.Event(), threading.Event()

    def work(tx: Reads) -> tuple[int, int]:
        before = what_is_there(tx)
        began.set()
        assert written.wait(WAIT_SECONDS)
        return before, what_is_there(tx)

    reading = asyncio.create_task(store.read(work))
    assert await asyncio.to_thread(began.wait, WAIT_SECONDS)
    await store.write(everything)
    written.set()

    assert await reading == (0, 0)
    assert await store.read(what_is_there) == 7


async def test_a_read_sees_nothing_of_an_unfinished_write(store: Store) -> None:
    began, looked = threading.Event(), threading.Event()

    def work(tx: Writes) -> None:
        everything(tx)
        began.set()
        assert looked.wait(WAIT_SECONDS)

    writing = asyncio.create_task(store.write(work))
    assert await asyncio.to_thread(began.wait, WAIT_SECONDS)

    assert await store.read(what_is_there) == 0

    looked.set()
    await writing


# --- cancelled callers ---


@pytest.mark.parametrize("fails", [False, True], ids=["and commits", "and fails"])
async def test_a_cancelled_caller_waits_until_its_write_is_over(store: Store, *, fails: bool) -> None:
    began, released = threading.Event(), threading.Event()

    def work(tx: Writes) -> None:
        everything(tx)
        began.set()
        assert released.wait(WAIT_SECONDS)
        if fails:
            raise ValueError

    writing = asyncio.create_task(store.write(work))
    assert await asyncio.to_thread(began.wait, WAIT_SECONDS)
    writing.cancel()
    done, _ = await asyncio.wait([writing], timeout=0.01)
    assert not done
    writing.cancel()
    released.set()

    with pytest.raises(asyncio.CancelledError):
        await writing

    assert await store.read(what_is_there) == (0 if fails else 7)


async def test_a_cancelled_write_that_has_not_begun_is_never_run(store: Store) -> None:
    began, released = threading.Event(), threading.Event()

    def slow(_: Writes) -> None:
        began.set()
        assert released.wait(WAIT_SECONDS)

    first = asyncio.create_task(store.write(slow))
    assert await asyncio.to_thread(began.wait, WAIT_SECONDS)
    second = asyncio.create_task(store.write(everything))
    await asyncio.wait([second], timeout=0.01)
    second.cancel()

    with pytest.raises(asyncio.CancelledError):
        await second

    released.set()
    await first
    assert await store.read(what_is_there) == 0


# --- closing ---


async def test_closing_waits_for_the_work_and_refuses_what_comes_later(store: Store) -> None:
    began, released = threading.Event(), threading.Event()

    def slow(tx: Writes) -> str:
        began.set()
        assert released.wait(WAIT_SECONDS)
        tx.set_meta("m", "1")
        return "committed"

    writing = asyncio.create_task(store.write(slow))
    assert await asyncio.to_thread(began.wait, WAIT_SECONDS)
    closing = asyncio.create_task(store.aclose())
    done, _ = await asyncio.wait([closing], timeout=0.01)
    assert not done
    released.set()
    await closing

    assert await writing == "committed"
    with pytest.raises(StoreError, match="closed"):
        await store.write(everything)
    with pytest.raises(StoreError, match="closed"):
        await store.read(what_is_there)


# --- proposals ---

FULL = a_proposal(
    step=420,
    reason="r",
    deadline_at=at(1),
    requested_at=at(2),
    posted_at=at(3),
    ended_at=at(4),
    detail="d",
    state=ProposalState.CONFIRMED,
)


async def add(store: Store, *proposals: Proposal) -> None:
    def work(tx: Writes) -> None:
        for proposal in proposals:
            tx.add_proposal(proposal)

    await store.write(work)


async def test_a_proposal_comes_back_as_it_was_added(store: Store) -> None:
    await add(store, FULL)

    assert await store.read(lambda tx: tx.proposal("p1")) == FULL


async def test_a_job_has_one_open_proposal_at_most(store: Store) -> None:
    asked = a_proposal(state=ProposalState.REQUESTED)
    await add(store, asked, a_proposal("p2", OTHER_JOB))

    with pytest.raises(StoreError):
        await add(store, a_proposal("p3"))

    over = replace(asked, state=ProposalState.FAILED)
    assert await store.write(lambda tx: tx.move_proposal("p1", ProposalState.REQUESTED, over))
    await add(store, a_proposal("p3"))

    with pytest.raises(StoreError):
        await store.write(lambda tx: tx.move_proposal("p1", ProposalState.FAILED, asked))

    assert await store.read(lambda tx: tx.proposal("p1")) == over


async def test_claim_and_veto_are_decided_by_who_comes_first(store: Store) -> None:
    await add(store, a_proposal())
    moves = [a_proposal(state=ProposalState.REQUESTED, requested_at=NOW), a_proposal(state=ProposalState.VETOED)]

    def move(new: Proposal) -> "asyncio.Task[bool]":
        return asyncio.create_task(store.write(lambda tx: tx.move_proposal("p1", ProposalState.PROPOSED, new)))

    won = await asyncio.gather(*(move(new) for new in moves))

    assert sorted(won) == [False, True]
    assert await store.read(lambda tx: tx.proposal("p1")) == moves[won.index(True)]


async def test_a_proposal_that_is_not_there_does_not_move(store: Store) -> None:
    assert not await store.write(lambda tx: tx.move_proposal("p1", ProposalState.PROPOSED, a_proposal()))


async def test_proposals_are_listed_newest_first(store: Store) -> None:
    vetoed = a_proposal("p1", state=ProposalState.VETOED)
    later = a_proposal("p2", proposed_at=at(1))
    elsewhere = a_proposal("p3", OTHER_JOB, proposed_at=at(2))

    await add(store, later, vetoed, elsewhere)

    assert await store.read(lambda tx: tx.proposals()) == [elsewhere, later, vetoed]
    assert await store.read(lambda tx: tx.proposals(key=JOB)) == [later, vetoed]
    assert await store.read(lambda tx: tx.proposals(limit=2)) == [elsewhere, later]
    assert await store.read(lambda tx: tx.proposals(job_id=JOB.job_id, limit=1)) == [later]
    assert await store.read(lambda tx: tx.proposals(account=elsewhere.key.account)) == [elsewhere, later, vetoed]
    opened = (s for s in ProposalState if s.open)
    assert await store.read(lambda tx: tx.proposals(states=opened)) == [elsewhere, later]
    assert await store.read(lambda tx: tx.proposals(key=JOB, states=[ProposalState.VETOED])) == [vetoed]


async def test_cancels_are_counted_by_their_intent(store: Store) -> None:
    proposals = [
        a_proposal("never", state=ProposalState.VETOED),
        a_proposal("before", state=ProposalState.CONFIRMED, requested_at=at(-1)),
        a_proposal("exactly", state=ProposalState.FAILED, requested_at=NOW),
        a_proposal("after", state=ProposalState.REQUESTED, requested_at=at(1)),
    ]
    await add(store, *proposals)

    assert await store.read(lambda tx: tx.cancels_since(NOW)) == 2
