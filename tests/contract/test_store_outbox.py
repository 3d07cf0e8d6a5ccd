"""The outbox of every store: each key once, each lane in order, each row claimed by one."""

from dataclasses import replace
from datetime import datetime

import pytest

from tests.stored import NOW, an_effect, at
from watcher.service.ports import Store, Writes
from watcher.service.records import Effect, NewEffect, OutboxCounts, OutboxRow, OutboxState


async def enqueue(store: Store, *effects: NewEffect, now: datetime = NOW) -> int:
    return await store.write(lambda tx: tx.enqueue(effects, now))


async def claim(store: Store, now: datetime = NOW, *, busy: tuple[str, ...] = (), limit: int = 50) -> list[str]:
    rows = await store.write(lambda tx: tx.claim(now, busy_lanes=busy, limit=limit))
    return [row.key for row in rows]


async def deliver(store: Store) -> None:
    def work(tx: Writes) -> None:
        for claimed in tx.claim(NOW):
            tx.finish(claimed.id, NOW)

    await store.write(work)


async def row(store: Store, key: str) -> OutboxRow:
    rows = await store.read(lambda tx: tx.outbox())
    return next(r for r in rows if r.key == key)


async def number(store: Store, key: str) -> int:
    return (await row(store, key)).id


# --- enqueue ---


async def test_an_effect_becomes_a_due_row(store: Store) -> None:
    payload = {"title": "ü", "facts": [["a", "b"]]}
    effect = an_effect("k", "cancel:main", effect=Effect.CANCEL, receiver="", payload=payload, next_at=at(1))

    assert await enqueue(store, effect) == 1

    assert await row(store, "k") == OutboxRow(
        id=await number(store, "k"),
        key="k",
        effect=Effect.CANCEL,
        lane="cancel:main",
        receiver="",
        target="cancel:main",
        payload=payload,
        state=OutboxState.DUE,
        attempts=0,
        created_at=NOW,
        next_at=at(1),
    )


async def test_a_key_is_taken_once_and_for_good(store: Store) -> None:
    assert await enqueue(store, an_effect("a"), an_effect("b"), an_effect("a")) == 2
    await deliver(store)

    assert await enqueue(store, an_effect("a", "elsewhere"), an_effect("c")) == 1
    assert await enqueue(store) == 0

    assert [r.key for r in await store.read(lambda tx: tx.outbox())] == ["a", "b", "c"]
    assert (await row(store, "a")).state is OutboxState.DONE


# --- claim ---


async def test_a_lane_gives_its_rows_one_by_one_and_in_order(store: Store) -> None:
    await enqueue(store, an_effect("a1", "a"), an_effect("b1", "b"), an_effect("a2", "a"))

    assert await claim(store) == ["a1", "b1"]
    assert await claim(store) == []

    first = await number(store, "a1")
    await store.write(lambda tx: tx.finish(first, NOW))

    assert await claim(store) == ["a2"]


async def test_a_claimed_row_says_since_when(store: Store) -> None:
    await enqueue(store, an_effect("a"))

    claimed = await store.write(lambda tx: tx.claim(at(1)))

    assert [(r.state, r.claimed_at) for r in claimed] == [(OutboxState.CLAIMED, at(1))]
    assert claimed == await store.read(lambda tx: tx.outbox())


async def test_a_lane_whose_oldest_row_waits_gives_nothing(store: Store) -> None:
    await enqueue(store, an_effect("a1", "a", next_at=at(5)), an_effect("a2", "a"), an_effect("b", "b", next_at=at(5)))

    assert await claim(store, at(4.99)) == []
    assert await claim(store, at(5)) == ["a1", "b"]


async def test_one_lane_gives_its_next_row_alone_and_only_when_that_is_due(store: Store) -> None:
    await enqueue(store, an_effect("a1", "a"), an_effect("b1", "b"), an_effect("a2", "a", next_at=at(5)))

    async def following(now: datetime) -> str | None:
        claimed = await store.write(lambda tx: tx.claim_next("a", now))
        return claimed.key if claimed else None

    first = await number(store, "a1")
    assert [await following(NOW), await following(NOW)] == ["a1", None]
    assert (await row(store, "a1")).state is OutboxState.CLAIMED
    await store.write(lambda tx: tx.finish(first, NOW))

    assert [await following(NOW), await following(at(5)), await following(at(5))] == [None, "a2", None]
    assert await claim(store) == ["b1"]


async def test_what_stands_behind_a_row_is_told_in_order(store: Store) -> None:
    await enqueue(store, *(an_effect(key, key[0]) for key in ("a1", "a2", "b1", "a3", "a4", "a5")))
    first, third = await row(store, "a1"), await number(store, "a3")
    await store.write(lambda tx: tx.park(third, NOW, "410"))

    assert [r.key for r in await store.read(lambda reads: reads.behind(first, 2))] == ["a2", "a4"]
    assert await store.read(lambda reads: reads.behind(replace(first, id=1000), 2)) == []


async def test_busy_lanes_are_passed_over(store: Store) -> None:
    await enqueue(store, an_effect("a", "a"), an_effect("b", "b"), an_effect("c", "c"))

    assert await claim(store, busy=("a", "c", "unheard of")) == ["b"]


async def test_the_limit_takes_the_longest_due_first(store: Store) -> None:
    await enqueue(store, *(an_effect(f"k{n}", f"lane{n}", next_at=at(-n)) for n in range(4)))

    assert await claim(store, limit=2) == ["k2", "k3"]
    assert await claim(store, limit=2) == ["k0", "k1"]


async def test_a_finished_or_dead_row_does_not_hold_up_its_lane(store: Store) -> None:
    await enqueue(store, an_effect("a1"), an_effect("a2"), an_effect("a3"))
    await deliver(store)
    assert await claim(store) == ["a2"]
    second = await number(store, "a2")
    await store.write(lambda tx: tx.park(second, NOW, "410"))

    assert await claim(store) == ["a3"]


async def test_after_a_crash_claims_are_released(store: Store) -> None:
    await enqueue(store, an_effect("a", "a"), an_effect("b", "b"), an_effect("c", "c", next_at=at(9)))
    assert await claim(store) == ["a", "b"]

    assert await store.write(lambda tx: tx.release_claims()) == 2

    assert (await row(store, "a")).claimed_at is None
    assert await claim(store) == ["a", "b"]
    assert await store.write(lambda tx: tx.release_claims()) == 2


# --- outcomes ---


async def test_the_latest_of_every_target_is_told_for_each_state(store: Store) -> None:
    await enqueue(store, an_effect("a1", "a"), an_effect("a2", "a"), an_effect("b1", "b"))
    await enqueue(store, an_effect("c1", "cancel:main", effect=Effect.CANCEL))
    for number_ in [await number(store, key) for key in ("a1", "a2")]:
        await store.write(lambda tx, done=number_: tx.finish(done, NOW))  # type: ignore[misc]
    await enqueue(store, an_effect("a3", "a"))

    latest = await store.read(lambda tx: tx.latest_effects())

    assert [(row.key, row.state) for row in latest] == [
        ("a2", OutboxState.DONE),
        ("b1", OutboxState.DUE),
        ("a3", OutboxState.DUE),
    ]


async def test_a_failed_row_is_due_later_with_one_attempt_more(store: Store) -> None:
    await enqueue(store, an_effect("a1"), an_effect("a2"))
    await claim(store)
    first = await number(store, "a1")

    await store.write(lambda tx: tx.retry(first, at(3), "timeout"))

    failed = await row(store, "a1")
    assert (failed.state, failed.attempts, failed.next_at, failed.error, failed.claimed_at) == (
        OutboxState.DUE,
        1,
        at(3),
        "timeout",
        None,
    )
    assert await claim(store, at(2)) == []
    assert await claim(store, at(3)) == ["a1"]


async def test_a_dead_letter_is_due_again_only_by_hand(store: Store) -> None:
    await enqueue(store, an_effect("a"))
    await claim(store)
    only = await number(store, "a")
    await store.write(lambda tx: tx.park(only, at(1), "gone"))

    dead = await row(store, "a")
    assert (dead.state, dead.error, dead.done_at) == (OutboxState.DEAD, "gone", at(1))
    assert await claim(store, at(60)) == []

    assert await store.write(lambda tx: tx.requeue(only, at(60)))
    assert not await store.write(lambda tx: tx.requeue(only, at(61)))

    assert await claim(store, at(60)) == ["a"]


async def test_what_was_delivered_stays_done(store: Store) -> None:
    await enqueue(store, an_effect("a"))
    await claim(store)
    only = await number(store, "a")

    def late_opinions(tx: Writes) -> None:
        tx.finish(only, at(1))
        tx.finish(only, at(2))
        tx.retry(only, at(3), "late")
        tx.park(only, at(4), "late")

    await store.write(late_opinions)

    done = await row(store, "a")
    assert (done.state, done.done_at, done.attempts, done.error) == (OutboxState.DONE, at(1), 0, "")
    assert not await store.write(lambda tx: tx.requeue(only, NOW))


async def test_a_row_without_its_target_goes_to_others(store: Store) -> None:
    await enqueue(store, an_effect("a", "old", payload={"n": 1}), an_effect("other", "old"))
    await claim(store)
    first = await number(store, "a")

    assert await store.write(lambda tx: tx.readdress(first, ["t1", "t2"])) == 2
    assert await store.write(lambda tx: tx.readdress(first, ["t1", "t2"])) == 0

    assert (await row(store, "a")).state is OutboxState.DONE
    assert await enqueue(store, an_effect("a", "old")) == 0
    moved = await row(store, "a:t1")
    assert (moved.lane, moved.target, moved.receiver, moved.payload) == ("t1", "t1", "team", {"n": 1})
    assert (moved.state, moved.claimed_at, moved.created_at) == (OutboxState.DUE, None, NOW)
    assert await claim(store) == ["other", "a:t1", "a:t2"]


async def test_a_row_is_not_readdressed_to_nobody(store: Store) -> None:
    await enqueue(store, an_effect("a"))
    only = await number(store, "a")

    assert await store.write(lambda tx: tx.readdress(only, [])) == 0

    assert await claim(store) == ["a"]


# --- listing ---


async def test_the_outbox_is_counted(store: Store) -> None:
    assert await store.read(lambda tx: tx.outbox_counts(NOW)) == OutboxCounts()

    waiting = [an_effect("w", "w", next_at=at(1))]
    due = [an_effect(f"d{n}", f"d{n}", effect=Effect.CANCEL, next_at=at(-n)) for n in range(3)]
    await enqueue(store, *waiting, *(an_effect(k, k) for k in ("claimed", "done", "dead")))
    await claim(store)
    done, dead = await number(store, "done"), await number(store, "dead")
    await store.write(lambda tx: tx.finish(done, NOW))
    await store.write(lambda tx: tx.park(dead, NOW, "x"))
    await enqueue(store, *due)

    counts = await store.read(lambda tx: tx.outbox_counts(NOW))

    assert counts == OutboxCounts(due=3, waiting=1, claimed=1, done=1, dead=1, oldest_due_at=at(-2))


async def test_a_notification_that_fails_again_and_again_gets_older_and_a_cancel_that_waits_does_not(
    store: Store,
) -> None:
    await enqueue(store, an_effect("told", "a"), an_effect("cancel", "b", effect=Effect.CANCEL, next_at=at(60)))
    told = await number(store, "told")
    seen = []
    for minutes in (1, 10, 60):
        await store.write(lambda tx: tx.claim(at(0)))
        seen.append((await store.read(lambda tx: tx.outbox_counts(NOW))).oldest_due_at)
        await store.write(lambda tx, later=minutes: tx.retry(told, at(later), "refused"))  # type: ignore[misc]
        seen.append((await store.read(lambda tx: tx.outbox_counts(NOW))).oldest_due_at)
    await store.write(lambda tx: tx.finish(told, NOW))
    seen.append((await store.read(lambda tx: tx.outbox_counts(NOW))).oldest_due_at)

    assert seen == [NOW] * 6 + [None]


@pytest.mark.parametrize(
    ("states", "keys"),
    [
        pytest.param(None, ["b", "c"], id="the newest, in order"),
        pytest.param([OutboxState.CLAIMED], ["a"], id="of one state"),
        pytest.param([OutboxState.CLAIMED, OutboxState.DUE], ["b", "c"], id="of two states"),
        pytest.param([], [], id="of no state"),
    ],
)
async def test_the_outbox_is_listed(store: Store, states: list[OutboxState] | None, keys: list[str]) -> None:
    await enqueue(store, an_effect("a"), an_effect("b"), an_effect("c"))
    await claim(store)

    assert [r.key for r in await store.read(lambda tx: tx.outbox(states=states, limit=2))] == keys
