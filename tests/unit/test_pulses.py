"""What the daemon knows of the sweeps of each account, beside the probes."""

from datetime import timedelta

import pytest

from tests.fakes import START, FakeClock
from tests.website import DeafStore
from watcher.daemon.health import Health
from watcher.service.records import Pulse
from watcher.service.report import SweepReport

INTERVAL = timedelta(seconds=30)


def after(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def test_pulses_age_from_the_start_until_a_sweep_ends() -> None:
    clock = FakeClock()
    health = Health(clock, DeafStore())
    for account in ("main", "dark", "gone"):
        health.watch(account, INTERVAL)
    clock.advance(10)
    health.swept("main", None)
    clock.advance(10)
    health.swept("main", "timeout")
    health.forget("gone")
    health.watch("dark", 2 * INTERVAL)

    assert health.pulses == {
        "main": Pulse(interval=INTERVAL, swept_at=START + after(20), useful_at=START + after(10), reason="timeout"),
        "dark": Pulse(interval=2 * INTERVAL, swept_at=START, useful_at=START, reason="no sweep yet"),
    }


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_stepped_clock_makes_no_account_seen_or_unseen(hours: int) -> None:
    clock = FakeClock()
    health = Health(clock, DeafStore())
    health.watch("main", INTERVAL)
    health.swept("main", None)
    clock.step_wall(hours * 3600)
    after_step = await health.ready()
    clock.advance(3 * INTERVAL.total_seconds() + 1)
    health.swept("main", "timeout")
    unseen = await health.ready()

    assert [reason for reason in after_step if "account" in reason] == []
    assert "account main: no useful sweep within 90 s (timeout)" in unseen


async def test_an_account_was_seen_when_a_sweep_with_a_failure_began_not_when_it_ended() -> None:
    """In the midst of it the API may have fallen silent, and the end was long in coming."""
    report = SweepReport(account="main", at=START, took=95, jobs=9)
    report.failed["not_found"] += 1
    assert report.unsure == 0
    report.failed["timeout"] += 1
    clock = FakeClock()
    health = Health(clock, DeafStore())
    health.watch("main", INTERVAL)
    clock.advance(100)
    health.swept("main", None, unsure=report.unsure)

    assert health.pulses["main"].useful_at == START + after(5)
    assert "account main: no useful sweep within 90 s (sweeps are late)" in await health.ready()
