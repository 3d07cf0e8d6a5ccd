"""What every store keeps of telling people: groups, silences, acknowledgements, and why somebody was told or not."""

from typing import Any

from tests.stored import NOW, an_effect, at
from watcher.domain.alerts import TransitionReason
from watcher.domain.groups import Decision, Group, Member
from watcher.domain.matching import parse_matcher
from watcher.domain.muting import Silence
from watcher.service.ports import Store, Writes
from watcher.service.records import Ack


def a_group(key: str, **changes: Any) -> Group:
    return Group(**{"key": key, "receiver": "team", "route": 0, **changes})


def a_silence(name: str, starts: float, ends: float) -> Silence:
    return Silence(
        id=name,
        matchers=(parse_matcher("suffix!=a|b"),),
        author="an operator",
        comment="why",
        starts_at=at(starts),
        ends_at=at(ends),
    )


def a_decision(alert_id: str, what: str = "told: first", **changes: Any) -> Decision:
    return Decision(**{"alert_id": alert_id, "receiver": "team", "at": NOW, "what": what, **changes})


async def test_a_group_comes_back_as_it_was_saved_last(store: Store) -> None:
    member = Member(alert_id="a", labels={"rule": "x"}, news=[(7, TransitionReason.FIRST)], told_at=NOW, muted="why")
    group = a_group("g", members={"a": member}, flush_at=at(1), told_at=NOW)
    await store.write(lambda tx: tx.save_group(a_group("g")))
    await store.write(lambda tx: tx.save_group(group))

    assert await store.read(lambda tx: tx.group("g")) == group
    assert await store.read(lambda tx: tx.groups()) == [group]
    assert await store.read(lambda tx: tx.group("other")) is None


async def test_groups_are_due_when_their_time_has_come_the_oldest_first(store: Store) -> None:
    def work(tx: Writes) -> None:
        for key, minutes in (("late", 3.0), ("first", 1.0), ("second", 2.0)):
            tx.save_group(a_group(key, flush_at=at(minutes)))
        tx.save_group(a_group("never"))

    waiting = [await store.read(lambda tx: tx.first_flush())]
    await store.write(work)
    due = await store.read(lambda tx: tx.groups_due(at(2)))
    waiting.append(await store.read(lambda tx: tx.first_flush()))
    await store.write(lambda tx: tx.drop_group("first"))
    waiting.append(await store.read(lambda tx: tx.first_flush()))

    assert waiting == [None, at(1), at(2)]
    assert [group.key for group in due] == ["first", "second"]
    assert [group.key for group in await store.read(lambda tx: tx.groups_due(at(2)))] == ["second"]


async def test_a_step_of_the_clock_leaves_no_group_waiting_far_ahead(store: Store) -> None:
    def work(tx: Writes) -> None:
        tx.save_group(a_group("far", flush_at=at(1000)))
        tx.save_group(a_group("near", flush_at=at(1)))
        tx.clamp_due(at(5))

    await store.write(work)

    assert {g.key: g.flush_at for g in await store.read(lambda tx: tx.groups())} == {"far": at(5), "near": at(1)}


async def test_silences_are_those_that_end_after_a_time_the_first_to_end_first(store: Store) -> None:
    long, short, over = a_silence("long", 10, 60), a_silence("short", -5, 5), a_silence("over", -9, 0)

    def work(tx: Writes) -> None:
        for silence in (long, short, over):
            tx.save_silence(silence)

    await store.write(work)

    assert await store.read(lambda tx: tx.silences(NOW)) == [short, long]

    await store.write(lambda tx: tx.save_silence(a_silence("long", 10, -1)))
    assert await store.read(lambda tx: tx.silences(NOW)) == [short]


async def test_the_first_acknowledgement_of_an_alert_stays(store: Store) -> None:
    first = Ack("a", "an operator", "on it", NOW)
    await store.write(lambda tx: tx.save_ack(first))
    await store.write(lambda tx: tx.save_ack(Ack("a", "another", "", at(1))))

    assert await store.read(lambda tx: tx.ack("a")) == first
    assert await store.read(lambda tx: tx.ack("b")) is None
    assert await store.read(lambda tx: tx.acks()) == {"a": first}


async def test_an_acknowledgement_may_hold_until_a_time_and_is_let_go_then(store: Store) -> None:
    held = Ack("a", "an operator", "on it", NOW, at(60))
    await store.write(lambda tx: tx.save_ack(held))
    assert await store.read(lambda tx: tx.ack("a")) == held

    await store.write(lambda tx: tx.drop_ack("a"))
    assert await store.read(lambda tx: tx.acks()) == {}


async def test_decisions_of_an_alert_come_in_order_with_their_keys(store: Store) -> None:
    held, told = a_decision("a", "held: silence", why="why"), a_decision("a", at=at(1))
    await store.write(lambda tx: tx.add_decisions([(held, ""), (a_decision("b"), "k-1"), (told, "k-1")]))
    await store.write(lambda tx: tx.add_decisions([]))

    assert await store.read(lambda tx: tx.decisions("a")) == [(held, ""), (told, "k-1")]
    assert await store.read(lambda tx: tx.told_by("k-1")) == ["a", "b"]
    assert await store.read(lambda tx: tx.told_by("k-2")) == []


async def test_the_rows_of_a_key_are_its_own_and_those_that_took_its_place(store: Store) -> None:
    await store.write(lambda tx: tx.enqueue([an_effect("k_1"), an_effect("k_12"), an_effect("kx1:t")], NOW))
    (own,) = await store.read(lambda tx: tx.effects("k_1"))
    await store.write(lambda tx: tx.readdress(own.id, ["t1", "t2"]))

    assert [row.key for row in await store.read(lambda tx: tx.effects("k_1"))] == ["k_1", "k_1:t1", "k_1:t2"]
    assert await store.read(lambda tx: tx.effects("k")) == []
