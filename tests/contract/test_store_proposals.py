"""What every store promises of a veto window and of the audit: each a conditional update, and nothing lost."""

from datetime import timedelta
from typing import Any

import pytest

from tests.stored import JOB, NOW, OTHER_JOB, a_proposal, an_effect, at
from watcher.service.ports import Store, Writes
from watcher.service.records import Act, Audit, Proposal, ProposalState

WINDOW = timedelta(minutes=15)
WINDOWED: dict[str, Any] = {
    "window": WINDOW,
    "round": 2,
    "announced_at": NOW,
    "deadline_at": at(15),
    "frozen_at": at(3),
    "approved_at": at(4),
}


async def add(store: Store, proposal: Proposal) -> None:
    await store.write(lambda tx: tx.add_proposal(proposal))


async def only(store: Store) -> Proposal:
    (found,) = await store.read(lambda tx: tx.proposals())
    return found


async def test_a_window_comes_back_as_it_was_stored(store: Store) -> None:
    await add(store, a_proposal(**WINDOWED))

    assert await only(store) == a_proposal(**WINDOWED)


async def test_a_move_to_another_state_leaves_the_window_as_it_is_stored(store: Store) -> None:
    """Whoever moves it may have read it before it was announced: that must not be undone."""
    await add(store, a_proposal(**WINDOWED))
    claimed = a_proposal(state=ProposalState.REQUESTED, requested_at=at(20), tries=1)

    assert await store.write(lambda tx: tx.move_proposal("p1", ProposalState.PROPOSED, claimed))
    assert await only(store) == a_proposal(state=ProposalState.REQUESTED, requested_at=at(20), tries=1, **WINDOWED)


async def test_a_round_is_announced_once_and_only_the_present_one(store: Store) -> None:
    await add(store, a_proposal(round=2, window=WINDOW))

    def work(tx: Writes) -> list[bool]:
        return [tx.announce("p1", round_, at(minute), at(minute + 15)) for round_, minute in ((1, 0), (2, 1), (2, 2))]

    assert await store.write(work) == [False, True, False]
    found = await only(store)
    assert (found.announced_at, found.deadline_at) == (at(1), at(16))


async def test_another_round_begins_once_and_is_not_announced(store: Store) -> None:
    await add(store, a_proposal(**WINDOWED | {"approved_at": None}))
    longer = timedelta(hours=1)

    def work(tx: Writes) -> list[bool]:
        return [tx.renew("p1", round_, longer, frozen_at=None, why="again") for round_ in (1, 2, 2)]

    assert await store.write(work) == [False, True, False]
    assert await only(store) == a_proposal(window=longer, round=3, detail="again")


async def test_nobody_takes_an_approval_back_by_another_round(store: Store) -> None:
    await add(store, a_proposal(**WINDOWED))

    assert not await store.write(lambda tx: tx.renew("p1", 2, WINDOW, frozen_at=None, why="again"))
    assert await only(store) == a_proposal(**WINDOWED)


async def test_it_freezes_and_goes_on(store: Store) -> None:
    await add(store, a_proposal(window=WINDOW))

    assert await store.write(lambda tx: tx.freeze("p1", 1, at(5), "no rows"))
    assert await only(store) == a_proposal(window=WINDOW, frozen_at=at(5), detail="no rows")
    assert await store.write(lambda tx: tx.freeze("p1", 1, None, ""))
    assert await only(store) == a_proposal(window=WINDOW)


async def test_it_is_approved_once(store: Store) -> None:
    await add(store, a_proposal())

    assert await store.write(lambda tx: [tx.approve("p1", at(1)), tx.approve("p1", at(2))]) == [True, False]
    assert (await only(store)).approved_at == at(1)


@pytest.mark.parametrize("state", [state for state in ProposalState if state is not ProposalState.PROPOSED])
async def test_nothing_of_the_window_changes_in_another_state(store: Store, state: ProposalState) -> None:
    await add(store, a_proposal(state=state))

    def work(tx: Writes) -> list[bool]:
        return [
            tx.announce("p1", 1, NOW, at(15)),
            tx.renew("p1", 1, WINDOW, frozen_at=NOW, why=""),
            tx.freeze("p1", 1, NOW, "why"),
            tx.approve("p1", NOW),
        ]

    assert await store.write(work) == [False] * 4
    assert await only(store) == a_proposal(state=state)


async def test_what_waits_in_a_lane_is_hastened_and_nothing_else(store: Store) -> None:
    def work(tx: Writes) -> int:
        effects = [an_effect("a", "one", next_at=at(9)), an_effect("b", "one"), an_effect("c", "two", next_at=at(9))]
        tx.enqueue(effects, NOW)
        return tx.hasten("one", at(2))

    assert await store.write(work) == 1
    due = {row.key: row.next_at for row in await store.read(lambda tx: tx.outbox())}
    assert due == {"a": at(2), "b": NOW, "c": at(9)}


async def test_the_audit_is_read_newest_first(store: Store) -> None:
    def entry(who: str, what: Act, outcome: str, **more: Any) -> Audit:
        return Audit(at=NOW, who=who, via="command", what=what, key=JOB, outcome=outcome, **more)

    entries = [
        entry("ada", Act.VETO, "vetoed", why="it recovers", proposal_id="p1"),
        entry("bob", Act.LIFT, "lifted"),
        Audit(at=at(1), who="eve", via="link", what=Act.CANCEL, key=OTHER_JOB, outcome="requested"),
    ]

    for one in entries:
        await store.write(lambda tx, one=one: tx.add_audit(one))  # type: ignore[misc]

    newest = entries[::-1]
    assert await store.read(lambda tx: tx.audits()) == newest
    assert await store.read(lambda tx: tx.audits(limit=2)) == newest[:2]
    assert await store.read(lambda tx: tx.audits(job_id=JOB.job_id)) == newest[1:]
    assert await store.read(lambda tx: tx.audits(account=JOB.account, limit=1)) == newest[:1]
    assert await store.read(lambda tx: tx.audits(account="another")) == []
