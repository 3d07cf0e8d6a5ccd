"""Who is told of what and when, over the whole spine in fake time: routes, groups, storms, silences, acks, restarts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.fakes import START, FakeTarget
from tests.timeline import JOB, NEVER, Scene, between, firing, resolved, scene, told
from tests.toys import High
from watcher.domain.alerts import TransitionReason
from watcher.domain.groups import Timing
from watcher.domain.matching import parse_matcher
from watcher.domain.muting import Inhibition, MuteTime
from watcher.domain.routing import Route, Routing
from watcher.service.explain import explain_view
from watcher.service.people import acknowledge, add_silence, expire_silence
from watcher.service.ports import Writes

REMINDER = told(TransitionReason.REMINDER)
BY_RULE = ("account", "job", "rule", "kind")


def a_routing(*routes: Route, inhibitions: tuple[Inhibition, ...] = (), storm: int = 10, **timing: Any) -> Routing:
    """Routes that differ in what they say; all of them have the timing given."""
    how = Timing(**{"repeat_interval": None, **timing})
    given = routes or (Route(receivers=("team",), group_by=BY_RULE),)
    return Routing(routes=tuple(replace(r, timing=how) for r in given), inhibitions=inhibitions, storm=storm)


def heard(target: FakeTarget) -> list[tuple[float, str, str]]:
    return [((at - START).total_seconds(), message.reason.value, message.subject) for at, message in target.messages]


def another(live: Scene, name: str) -> FakeTarget:
    target = FakeTarget(f"t-{name}", name, live.clock)
    live.receivers.all.append(target)
    return target


def write(live: Scene, work: Callable[[Writes], Any]) -> Callable[[], Any]:
    """A thing that a person does, as the control socket does it."""
    return lambda: live.store.write(work)


def silencing(live: Scene, *matchers: str, minutes: float) -> Callable[[], Any]:
    def work(tx: Writes) -> Any:
        span = timedelta(minutes=minutes)
        return add_silence(tx, matchers, span, author="an operator", comment="why", now=live.clock.now())

    return write(live, work)


async def acked(live: Scene, minutes: float | None = None, author: str = "an operator") -> None:
    found, now = (await live.alerts())[0], live.clock.now()
    until = None if minutes is None else now + timedelta(minutes=minutes)
    await live.store.write(lambda tx: acknowledge(tx, found.id, author=author, comment="on it", now=now, until=until))


async def test_routes_send_by_label_and_the_last_one_takes_the_rest(tmp_path: Path) -> None:
    routing = a_routing(
        Route(receivers=("prod",), matchers=(parse_matcher("suffix=prod-*"),)),
        Route(receivers=("audit",), matchers=(parse_matcher("severity=critical"),), go_on=True),
        Route(receivers=("team",)),
    )
    async with scene(tmp_path, routing=routing) as live:
        prod, audit = another(live, "prod"), another(live, "audit")
        live.job("prod-7")
        live.job("test-7")
        live.at("1m", "prod-7", loss=9)
        live.at("1m", "test-7", loss=9)
        await live.run("4m")

    assert [subject for _, _, subject in heard(prod)] == ["prod-7"]
    assert [subject for _, _, subject in heard(audit)] == ["test-7"]
    assert [subject for _, _, subject in heard(live.team)] == ["test-7"]


async def test_news_of_one_job_come_in_one_message(tmp_path: Path) -> None:
    rules = (High(), High(name="higher", limit=6.0, kind="far over"))
    routing = a_routing(Route(receivers=("team",)), group_wait=timedelta(seconds=60))
    async with scene(tmp_path, rules=rules, routing=routing) as live:
        live.job()
        live.at("1m", loss=5.5)
        live.at("90s", loss=9)
        await live.run("6m")

    assert len(live.team.messages) == 1
    assert live.messages[0].job_id == JOB
    assert len(live.messages[0].items) == 2


async def test_fifty_jobs_that_fail_at_once_are_one_message_and_so_is_their_end(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing()) as live:
        for number in range(50):
            live.job(f"ft-{number}")
            live.at("2m", f"ft-{number}", loss=9)
            live.at("6m", f"ft-{number}", loss=2)
        await live.run("10m")

    assert [(message.reason.value, len(message.items)) for message in live.messages] == [
        ("first", 50),
        ("all_clear", 50),
    ]


async def test_a_storm_takes_along_what_still_waits_for_others(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing(group_wait=timedelta(seconds=60), storm=5)) as live:
        for number in range(12):
            live.job(f"ft-{number}")
            live.at("1m" if number < 8 else "90s", f"ft-{number}", loss=9)
        await live.run("6m")

    assert [len(message.items) for message in live.messages] == [12]


async def test_failures_that_come_one_by_one_while_the_first_waits_are_a_storm_too(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing(group_wait=timedelta(seconds=60), storm=5)) as live:
        for number in range(12):
            live.job(f"ft-{number}")
            live.at("1m" if number < 4 else "90s", f"ft-{number}", loss=9)
        live.job("later")
        live.at("3m", "later", loss=9)
        await live.run("6m")

    assert [len(message.items) for message in live.messages] == [12, 0]


async def test_a_silence_holds_back_and_what_still_fires_is_told_when_it_ends(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing(group_interval=timedelta(hours=1))) as live:
        live.job()
        live.job("ft-2")
        live.do("1m", silencing(live, f"job={JOB}|ft-2", minutes=10))
        live.at("2m", loss=9)
        live.at("2m", "ft-2", loss=9)
        live.at("6m", "ft-2", loss=2)
        live.expect(between("11m", "11m10s"), firing("high", JOB))
        await live.run("90m")

    assert {subject for _, _, subject in heard(live.team)} == {JOB}


async def test_ending_a_silence_early_tells_at_once(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing(group_interval=timedelta(hours=1))) as live:
        live.job()
        live.do("1m", silencing(live, "rule=high", minutes=600))
        live.at("2m", loss=9)

        async def expire() -> None:
            found = await live.store.read(lambda reads: reads.silences(live.clock.now()))
            await live.store.write(lambda tx: expire_silence(tx, found[0].id, live.clock.now()))

        live.do("20m", expire)
        live.expect(between("20m", "20m"), firing("high"))
        await live.run("25m")


async def test_an_inhibited_alert_is_told_when_its_source_ends_and_names_may_be_compared(tmp_path: Path) -> None:
    rules = (High(), High(name="higher", limit=6.0, kind="far over"))
    inhibition = Inhibition(
        source=(parse_matcher("rule=higher"),), target=(parse_matcher("rule=high"),), equal=("suffix",)
    )
    async with scene(tmp_path, rules=rules, routing=a_routing(inhibitions=(inhibition,))) as live:
        live.job()
        live.at("2m", loss=9)
        live.at("10m", loss=5.5)
        live.expect(between("2m", "3m"), firing("higher"))
        live.expect(between("10m", "11m"), resolved("higher"))
        live.expect(between("10m", "12m"), firing("high"))
        await live.run("15m")


async def test_reminders_go_on_over_restarts_until_somebody_acknowledges(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing(repeat_interval=timedelta(minutes=30))) as live:
        live.job(total_steps=5000)
        live.at("1m", loss=9)
        live.do("20m", live.restart)
        live.do("45m", live.restart)
        live.do("70m", lambda: acked(live))
        live.at("120m", loss=2)
        live.expect(between("1m", "2m"), firing("high"))
        live.expect(between("31m", "32m"), REMINDER)
        live.expect(between("61m", "62m"), REMINDER)
        live.expect(between("120m", "122m"), resolved("high"))
        await live.run("130m")


async def test_reminders_come_again_when_the_time_of_an_acknowledgement_is_over(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing(repeat_interval=timedelta(minutes=30))) as live:
        live.job(total_steps=5000)
        live.at("1m", loss=9)
        live.do("10m", lambda: acked(live, minutes=60))
        live.do("20m", lambda: acked(live, author="somebody else"))  # the first stays, as long as it holds
        live.expect(between("1m", "2m"), firing("high"))
        live.expect(between("70m", "72m"), REMINDER)
        live.do("90m", lambda: acked(live, author="somebody else"))
        await live.run("200m")
        acks = await live.store.read(lambda reads: list(reads.acks().values()))

    assert [(ack.author, ack.until) for ack in acks] == [("somebody else", None)]


async def test_what_is_held_is_still_held_after_a_restart(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing()) as live:
        live.job()
        live.do("1m", silencing(live, "rule=high", minutes=20))
        live.at("2m", loss=9)
        live.do("10m", live.restart)
        live.expect(between("21m", "22m"), firing("high"))
        await live.run("30m")


@pytest.mark.parametrize("acknowledges", [False, True])
async def test_what_nobody_acknowledges_in_time_goes_to_somebody_else(tmp_path: Path, *, acknowledges: bool) -> None:
    routing = a_routing(Route(receivers=("team",), escalate_to="boss"), escalate_after=timedelta(minutes=15))
    async with scene(tmp_path, routing=routing) as live:
        boss = another(live, "boss")
        live.job(total_steps=5000)
        live.at("1m", loss=9)
        live.do("10m", live.restart)
        if acknowledges:
            live.do("12m", lambda: acked(live))
        live.at("30m", loss=2)
        await live.run("35m")

    reasons = [reason for _, reason, _ in heard(boss)]
    assert reasons == ([] if acknowledges else ["escalated", "resolved"])
    assert [reason for _, reason, _ in heard(live.team)] == ["first", "resolved"]


async def test_a_mute_time_holds_back_until_the_morning(tmp_path: Path) -> None:
    # The scene begins at midnight UTC, which is one o'clock in Berlin.
    night = MuteTime(
        name="night", days=frozenset(range(7)), start=time(22), end=time(2), zone=ZoneInfo("Europe/Berlin")
    )
    async with scene(tmp_path, routing=a_routing(Route(receivers=("team",), mute_times=(night,)))) as live:
        live.job(total_steps=5000)
        live.at("5m", loss=9)
        live.expect(between("60m", "61m"), firing("high"))
        await live.run("70m")


async def test_an_end_that_is_routed_elsewhere_ends_the_reminders_all_the_same(tmp_path: Path) -> None:
    async with scene(tmp_path, routing=a_routing(repeat_interval=timedelta(minutes=30))) as live:
        live.job(total_steps=5000)
        live.at("1m", loss=9)

        def reload() -> None:
            live.routing = live.router.routing = a_routing(
                Route(receivers=("team",), group_by=("suffix",)), repeat_interval=timedelta(minutes=30)
            )

        live.do("10m", reload)
        live.at("20m", loss=2)
        live.expect(between("1m", "2m"), firing("high"))
        live.expect(between("20m", "22m"), resolved("high"))
        live.expect(NEVER, REMINDER)
        await live.run("100m")
        groups = await live.store.read(lambda reads: reads.groups())

    assert groups == []


async def test_explain_tells_the_story_of_an_alert(tmp_path: Path) -> None:
    routing = a_routing(Route(receivers=("team",), escalate_to="boss"), repeat_interval=timedelta(hours=1))
    async with scene(tmp_path, routing=routing) as live:
        second = FakeTarget("t-team-2", "team", live.clock)
        live.receivers.all.append(second)
        live.job(total_steps=5000)
        live.do("1m", silencing(live, "rule=high", minutes=10))
        live.at("2m", loss=9)
        await live.run("20m")
        found = (await live.alerts())[0]
        story = await live.store.read(lambda reads: explain_view(reads, found.id))
        await acked(live)
        after = await live.store.read(lambda reads: explain_view(reads, found.id))

    assert [entry["reason"] for entry in story["transitions"]] == ["first"]
    assert [entry["what"] for entry in story["decisions"]] == ["held: silence", "told: first"]
    assert "an operator" in story["decisions"][0]["why"]
    assert story["decisions"][0]["deliveries"] == []
    assert [delivery["target"] for delivery in story["decisions"][1]["deliveries"]] == ["t-team", "t-team-2"]
    assert all(delivery["delivered_at"] for delivery in story["decisions"][1]["deliveries"])
    assert [(entry["receiver"], entry["what"]) for entry in story["next"]] == [("team", "reminder")]
    assert story["next"][0]["at"] == (START + timedelta(minutes=71)).isoformat()
    assert after["acknowledged"]["acknowledged_by"] == "an operator"
    assert after["decisions"][-1]["what"] == "acknowledged"
    assert after["next"][0]["what"] == "nothing more until it ends"
    assert after["next"][0]["at"] is None
