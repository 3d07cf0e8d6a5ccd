"""What the daemon knows of the sweeps of each account, beside the probes."""

from datetime import timedelta

from tests.fakes import START, FakeClock
from tests.website import DeafStore
from watcher.daemon.health import Health
from watcher.service.records import Pulse

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


def test_a_write_that_failed_is_told_until_one_goes_well() -> None:
    health = Health(FakeClock(), DeafStore())
    seen = [health.writes]
    for error in ("disk full", None):
        health.stored(error)
        seen.append(health.writes)

    assert seen == [True, False, True]
