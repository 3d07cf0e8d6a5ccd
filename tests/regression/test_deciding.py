"""Failure modes of other watchers that touch seeing, deciding, acting and telling, one test each."""

import asyncio
import math
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import FakeJob, FakeTarget, settle, unseen
from tests.timeline import CANCELLED, ENFORCE, FAILED, NEVER, Scene, between, firing, resolved, scene, told
from tests.toys import High
from watcher.domain.alerts import TransitionReason
from watcher.domain.observations import Event, Status
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.failure import Failure
from watcher.domain.rules.nan_loss import NanLoss
from watcher.service.errors import DeliveryError, FailureReason
from watcher.service.records import OutboxState


async def test_01_nothing_is_marked_as_sent_before_it_was_sent(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        play.team.held = asyncio.Event()
        play.job()
        play.at("5m", loss=9)
        await play.run("6m")
        states = [row.state for row in await play.outbox()]
        await play.restart()
        play.team.held.set()
        play.team.held = None
        await settle()
        await play.deliver()
        await play.dispatcher.settle()

        assert states == [OutboxState.CLAIMED]
        assert [row.state for row in await play.outbox()] == [OutboxState.DONE]
        assert {message.key for message in play.messages} == {row.key for row in await play.outbox()}


async def test_02_a_message_is_not_dropped_after_quick_tries(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        play.team.down = DeliveryError(FailureReason.SERVER, "503")
        play.job(total_steps=10_000)
        play.at("5m", loss=9)
        play.do("6h", lambda: setattr(play.team, "down", None))
        play.expect(between("6h", "6h11m"), firing("high"))
        await play.run("6h15m")

        assert play.team.tries > 30


async def test_04_a_stop_that_does_nothing_is_noticed_and_told(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        play.cancels_settle = False

        def goes_on(job: FakeJob) -> None:
            play.do("11m", lambda: setattr(job, "status", Status.RUNNING))

        play.provider.before_cancel = goes_on
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        play.expect(NEVER, CANCELLED)
        play.expect(between("40m", "42m"), FAILED)
        await play.run("45m")

        assert "by hand" in play.of(FAILED)[0].action


async def test_05_a_stop_is_for_exactly_one_job_whatever_other_ids_begin_with(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        for job_id in ("ft-1", "ft-10", "ft-1-copy"):
            play.job(job_id)
        play.at("10m", job="ft-1", loss=9)
        await play.run("14m")

        assert [post.job_id for post in play.provider.posts] == ["ft-1"]
        assert play.provider.jobs["ft-10"].status is Status.RUNNING


async def test_05_a_veto_is_for_exactly_one_job_whatever_other_ids_begin_with(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        play.job("ft-1")
        play.job("ft-10")
        play.do("9m", lambda: play.veto("ft-1"))
        play.at("10m", job="ft-10", loss=9)
        await play.run("14m")

        assert [post.job_id for post in play.provider.posts] == ["ft-10"]


async def test_06_nan_blinds_no_rule(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(NanLoss(), Divergence())) as play:
        play.job()
        play.at("4m", loss=math.nan)
        play.at("4m10s", loss=2)
        play.at("10m", loss=9)
        play.expect(NEVER, firing("nan_loss"))
        play.expect(between("10m", "16m"), firing("divergence", kind="diverged"))
        await play.run("20m")


async def test_06_the_nan_of_one_job_cancels_no_other(tmp_path: Path) -> None:
    """Elsewhere one NaN made an average over runs NaN, and every run was stopped, or none any more."""
    async with scene(tmp_path, rules=(NanLoss(), Divergence()), policy=ENFORCE) as play:
        for job_id in ("ft-1", "ft-2", "ft-3"):
            play.job(job_id, total_steps=1000)
        play.at("10m", job="ft-2", loss=math.nan)
        play.expect(between("10m", "14m"), told(TransitionReason.CANCELLED, "ft-2"))
        await play.run("30m")

        assert [post.job_id for post in play.provider.posts] == ["ft-2"]


async def test_07_nan_that_the_trainer_logs_as_zero_is_seen(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(NanLoss(),)) as play:
        play.job()
        play.at("10m", loss=0.0, grad_norm=None)
        play.expect(between("10m", "11m"), firing("nan_loss"))
        await play.run("12m")


async def test_08_a_stop_destroys_no_checkpoint_and_names_the_one_to_go_on_from(tmp_path: Path) -> None:
    """Elsewhere a graceful stop ran the end hooks of the run, which deleted its backup."""
    async with scene(tmp_path, policy=ENFORCE) as play:
        play.job(total_steps=1000)
        play.do("5m", lambda: _save(play, 25))
        play.at("10m", loss=9)
        play.expect(between("10m", "13m"), CANCELLED)
        await play.run("15m")

        assert {call for call, _ in play.provider.calls} <= {"list", "job", "metrics", "checkpoints", "cancel"}
        message = play.of(CANCELLED)[0]
        assert "step 25" in f"{message.action} {message.facts}"


def _save(play: Scene, step: int) -> None:
    job = play.provider.jobs["ft-1"]
    job.events.append(Event(type="checkpoint_save", at=play.clock.now(), message="saved", step=step))


async def test_09_our_own_outage_is_not_told_as_the_failure_of_a_job(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(), Failure())) as play:
        play.job()
        play.do("5m", lambda: play.provider.fail("list", unseen(FailureReason.NETWORK)))
        play.do("15m", play.provider.mend)
        play.expect(between("5m", "7m"), firing("provider_unreachable", "main"))
        play.expect(between("15m", "15m30s"), resolved("provider_unreachable"))
        await play.run("17m")

        assert [message.subject for message in play.messages] == ["main", "main"]


async def test_09_an_outage_does_not_swallow_what_happened_in_it(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(), Failure())) as play:
        play.job()
        play.do("5m", lambda: play.provider.fail("list", unseen(FailureReason.NETWORK)))
        play.at("7m", event="job_error", status=Status.ERROR)
        play.do("15m", play.provider.mend)
        play.expect(between("15m", "17m"), firing("failure"))
        await play.run("18m")


async def test_10_a_backlog_is_caught_up_with(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        jobs = 60
        for number in range(jobs):
            play.job(f"ft-{number}")
            play.at("5m", job=f"ft-{number}", loss=9)
        play.do("4m50s", lambda: setattr(play.store, "broken", True))
        play.do("9m50s", lambda: setattr(play.store, "broken", False))
        await play.run("10m30s")

        fired = {alert.id for alert in await play.alerts(None) if alert.rule == "high"}
        told = [item.alert_id for message in play.messages for item in message.items]
        assert len(fired) == jobs
        assert fired <= {*told, *(message.alert_id for message in play.messages)}


@pytest.mark.parametrize("when", ["5m5s", "5m35s", "8m5s"])
async def test_11_a_restart_neither_repeats_nor_forgets(tmp_path: Path, when: str) -> None:
    async with scene(tmp_path) as play:
        play.job()
        play.at("5m", loss=9)
        play.at("8m", loss=2)
        play.do(when, play.restart)
        play.expect(between("5m", "5m30s"), firing("high"))
        play.expect(between("8m", "8m30s"), resolved("high"))
        await play.run("11m")


async def test_11_what_happened_while_the_daemon_was_down_is_told_when_it_is_back(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        await _down(play, timedelta(minutes=20))

        assert [(m.rule, m.reason.value) for m in play.messages] == [("high", "first")]


async def _down(play: Scene, span: timedelta) -> None:
    play.job(total_steps=1000)
    await play.run("2m")
    play._courses["ft-1"].loss = 9
    play.clock.advance(span.total_seconds())
    await play.restart()
    play.clock.advance(-play.now % 30)
    await play.run("24m")


async def test_14_a_dead_receiver_is_told_through_the_others(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        dead = FakeTarget("t-dead", "team", play.clock)
        dead.down = DeliveryError(FailureReason.AUTH, "401", permanent=True)
        play.receivers.all.append(dead)
        play.job()
        play.at("5m", loss=9)
        play.expect(between("5m", "6m"), firing("watcher_fault", "watcher"))
        await play.run("8m")

        (message,) = play.of(firing("watcher_fault"))
        assert "team" in message.what
