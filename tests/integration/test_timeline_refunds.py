"""Refunds on a timeline: they come, come with another amount, come without one, or never; and what people are told."""

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeClock
from tests.timeline import CANCELLED, ENFORCE, JOB, NEVER, Scene, between, firing, scene
from tests.toys import High
from watcher.domain.alerts import TransitionReason
from watcher.domain.observations import Event, Status
from watcher.domain.rules.refund import Refund
from watcher.service.money import money_view, month_view
from watcher.service.records import JobKey
from watcher.web.telemetry import PrometheusTelemetry, StoreGauges, Vitals

PLANNED = 200
PRICED: dict[str, Any] = {"total_price_nano": 20_000_000_000, "total_steps": PLANNED}
SEEN, OVERDUE, MISMATCH = (firing("refund", kind=kind) for kind in ("seen", "overdue", "mismatch"))
RULES = (High(), Refund(overdue_after=timedelta(minutes=10)))
"""A day is long in a test that lives through it in steps of ten seconds."""


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    clock = FakeClock()
    async with scene(tmp_path, policy=ENFORCE, rules=RULES, clock=clock, telemetry=PrometheusTelemetry()) as made:
        yield made


def credit(play: Scene, words: str, *, share: str = "1") -> None:
    """The service logs a refund; `{}` in its words stands for that share of what the steps that were not run cost."""
    job = play.provider.jobs[JOB]
    unused = Decimal(20) * (PLANNED - job.rows[-1].step) / PLANNED * Decimal(share)
    job.events.append(Event(type="refund", at=play.clock.now(), message=words.format(f"${unused:.2f}")))


def succeed(play: Scene) -> None:
    """The job that the service began anew."""
    play.job("ft-2", **PRICED)


async def money(play: Scene) -> Any:
    def look(reads: Any) -> Any:
        record = reads.job(JobKey("main", JOB))
        return money_view(reads, record, play.clock.now())

    return await play.store.read(look)


async def test_a_cancel_says_what_it_saved_and_its_refund_comes(play: Scene) -> None:
    play.job(**PRICED)
    play.at("10m", loss=9)
    play.do("13m", lambda: credit(play, "Refund of {} for unused steps"))
    play.expect(between("10m30s", "12m"), CANCELLED)
    play.expect(between("13m", "14m"), SEEN)
    play.expect(NEVER, MISMATCH)
    play.expect(NEVER, OVERDUE)
    await play.run("30m")

    (told,) = play.of(CANCELLED)
    found = await money(play)
    steps = found["steps_saved"]
    worth = f"${Decimal(found['saved']['dollars']):.2f}"
    assert f"{steps} of 200 steps were not run, about {worth}, if every step costs the same." in told.action
    assert dict(told.facts)["billed"].endswith("; had it failed by itself, nothing would be billed")
    assert found["saved_by"] == "watcher"
    assert (found["refund"]["cause"], found["refund"]["state"]) == ("cancel", "as expected")


async def test_what_a_cancel_saved_is_counted_once(play: Scene) -> None:
    play.job(**PRICED)
    play.at("10m", loss=9)
    await play.run("20m")

    found = await money(play)
    assert isinstance(play.telemetry, PrometheusTelemetry)
    lines = play.telemetry.exposition(Vitals(), StoreGauges()).decode().splitlines()
    assert f'watcher_saved_steps_total{{account="main"}} {found["steps_saved"]:.1f}' in lines
    assert f'watcher_saved_dollars_total{{account="main"}} {float(found["saved"]["dollars"])}' in lines


async def test_the_price_of_a_cancel_is_known_at_every_turn_of_it(play: Scene) -> None:
    play.job(**PRICED)
    play.at("10m", loss=9)
    await play.run("20m")

    (alert,) = [alert for alert in await play.alerts() if alert.rule == "high"]
    turns = await play.store.read(lambda reads: reads.transitions(alert.id))
    assert TransitionReason.CANCEL_REQUESTED in [turn.transition.reason for turn in turns]
    assert {turn.facts["price_nano"] for turn in turns} == {20_000_000_000}


async def test_a_refund_of_another_amount_is_told(play: Scene) -> None:
    play.job(**PRICED)
    play.at("10m", loss=9)
    play.do("13m", lambda: credit(play, "Refund of {}", share="0.5"))
    play.expect(between("13m", "14m"), SEEN)
    play.expect(between("13m", "14m"), MISMATCH)
    await play.run("30m")

    assert (await money(play))["refund"]["state"] == "not as expected"


async def test_a_refund_without_an_amount_is_not_compared(play: Scene) -> None:
    play.job(**PRICED)
    play.at("10m", loss=9)
    play.do("13m", lambda: credit(play, "Refund for unused steps"))
    play.expect(between("13m", "14m"), SEEN)
    play.expect(NEVER, MISMATCH)
    await play.run("30m")

    (told,) = play.of(SEEN)
    found = (await money(play))["refund"]
    assert "(amount unknown)" in told.what
    assert (found["state"], found["seen_dollars"]) == ("seen, not compared", None)


async def test_a_cancels_refund_that_never_comes_is_listed_and_wakes_nobody(play: Scene) -> None:
    play.job(**PRICED)
    play.at("10m", loss=9)
    for never in (SEEN, OVERDUE, MISMATCH):
        play.expect(NEVER, never)
    await play.run("45m")

    found = (await money(play))["refund"]
    assert (found["state"], found["entry_documented"]) == ("not seen", False)


async def test_an_early_stops_refund_that_never_comes_is_overdue(play: Scene) -> None:
    play.job(**PRICED)
    play.at("5m", event="early_stopped", status=Status.COMPLETED, early_stopped=True)
    play.expect(between("15m", "16m"), OVERDUE)
    await play.run("20m")

    assert (await money(play))["refund"]["cause"] == "early stop"


async def test_a_restarted_jobs_refund_is_in_the_log_of_the_old_one(play: Scene) -> None:
    play.job(**PRICED)
    play.at("5m", event="job_restarted", status=Status.ERROR)
    play.do("6m", lambda: succeed(play))
    play.do("7m", lambda: credit(play, "Refunded $20.00"))
    play.expect(between("7m", "8m"), firing("refund", JOB, "seen"))
    play.expect(NEVER, MISMATCH)
    await play.run("9m")

    month = await play.store.read(lambda reads: month_view(reads, play.clock.now()))
    claims = {job["id"]: (job["refund"]["cause"], job["refund"]["state"]) for job in month["jobs"]}
    assert claims == {JOB: ("restart", "as expected"), "ft-2": (None, "nothing due")}
    assert month["totals"]["refunds_seen"]["dollars"] == "20.00"


async def test_a_price_that_the_api_lowers_after_the_end_deceives_nobody(play: Scene) -> None:
    play.job(**PRICED)
    play.at("10m", loss=9)
    play.at("13m", total_price_nano=6_000_000_000)
    await play.run("30m")

    found = await money(play)
    assert found["price"]["dollars"] == "20.00"
    assert found["refund"]["price_lowered"] == "14.00"
