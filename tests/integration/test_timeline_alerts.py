"""What is told, when, of a job that goes well or badly."""

import math
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.fakes import unseen
from tests.timeline import CANCELLED, ENFORCE, NEVER, Scene, between, firing, resolved, scene
from tests.toys import High
from watcher.domain.observations import Status
from watcher.domain.rules.completion import Completion
from watcher.domain.rules.deleted import Deleted
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.refund import Refund
from watcher.domain.rules.stall import Stall
from watcher.service.errors import FailureReason


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, rules=(Divergence(), NanLoss())) as made:
        yield made


@pytest.fixture
async def toy(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, rules=(High(), Completion(), Deleted(), Refund(), Stall())) as made:
        yield made


# --- the main job ---


async def test_divergence_fires_and_is_delivered(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.expect(between("10m", "16m"), firing("divergence", kind="diverged"))
    await play.run("20m")

    (message,) = play.of(firing("divergence", kind="diverged"))
    assert message.subject == "ft-1"
    assert "above its start" in message.what


async def test_a_spike_does_not_fire(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.at("10m30s", loss=2)
    play.expect(NEVER, firing("divergence"))
    await play.run("25m")

    assert play.messages == []


async def test_nan_fires_and_is_cancelled_once_with_the_outcome_told(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Divergence(), NanLoss()), policy=ENFORCE) as play:
        play.job()
        play.at("10m", loss=math.nan)
        play.expect(between("10m", "11m"), firing("nan_loss"))
        play.expect(between("11m", "13m"), CANCELLED)
        await play.run("20m")

        assert [post.status for post in play.provider.posts] == [200]
        (outcome,) = play.of(CANCELLED)
        assert "Cancelled at step 6" in outcome.action


async def test_an_alert_fires_once_and_resolves_once(toy: Scene) -> None:
    toy.job()
    toy.at("5m", loss=9)
    toy.at("8m", loss=2)
    toy.at("10m", loss=9)
    toy.expect(between("5m", "5m30s"), firing("high"))
    toy.expect(between("8m", "8m30s"), resolved("high"))
    toy.expect(between("10m", "10m30s"), firing("high"))
    await toy.run("15m")

    assert [alert.episode for alert in await toy.alerts()] == [2, 1]


async def test_a_rule_that_cannot_tell_resolves_nothing(toy: Scene) -> None:
    toy.job()
    toy.at("5m", loss=9)
    toy.at("6m", loss=-1)
    toy.at("9m", loss=2)
    toy.expect(between("5m", "5m30s"), firing("high"))
    toy.expect(between("9m", "9m30s"), resolved("high"))
    await toy.run("12m")


async def test_removing_a_rule_ends_its_alerts(toy: Scene) -> None:
    async def without() -> None:
        toy.rules = ()
        await toy.restart()

    toy.job()
    toy.at("5m", loss=9)
    toy.do("7m", without)
    toy.expect(between("5m", "5m30s"), firing("high"))
    await toy.run("10m")

    assert [alert.state.value for alert in await toy.alerts()] == ["resolved"]


async def test_alerts_of_a_job_that_is_not_selected_any_more_end(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:

        async def look_away() -> None:
            play.watches = lambda _job_id: False
            await play.restart()

        play.job()
        play.at("5m", loss=9)
        play.do("5m5s", look_away)
        play.expect(NEVER, CANCELLED)
        await play.run("8m")

        assert [alert.state.value for alert in await play.alerts()] == ["resolved"]
        assert play.provider.posts == []
        assert {proposal.state.open for proposal in await play.proposals()} <= {False}


# --- first contact ---


async def test_the_past_of_a_running_job_is_silent_but_for_what_still_holds(toy: Scene) -> None:
    spiked = toy.job("ft-1", step=50)
    spiked.rows[20] = toy.row(21, -300, 9.0)
    toy.job("ft-2", step=50, loss=9)
    toy.expect(between("0s", "0s"), firing("high", "ft-2"))
    toy.expect(NEVER, firing("high", "ft-1"))
    await toy.run("3m")

    assert len(toy.messages) == 1


async def test_a_job_that_ended_long_ago_is_recorded_in_silence(life: Scene) -> None:
    job = life.job(step=20)
    life.at("0s", status=Status.COMPLETED, output_name="org/model")
    life.do("1s", lambda: setattr(job, "updated_at", job.created_at))
    life.clock.step_wall(7200)
    job.updated_at = job.created_at
    life.expect(NEVER, firing("completion"))
    life._script = [entry for entry in life._script if entry[0] > 0]
    job.status = Status.COMPLETED
    await life.run("2m")

    assert life.messages == []
    assert life.sweeper.book("ft-1") is None


async def test_a_job_that_ended_a_moment_ago_is_told(life: Scene) -> None:
    job = life.job(step=20, output_name="org/model")
    job.status, job.updated_at = Status.COMPLETED, life.clock.now()
    life.expect(between("0s", "2m"), firing("completion"))
    await life.run("3m")


# --- the end of a job ---


async def test_late_events_of_a_completed_job_are_followed(life: Scene) -> None:
    life.job()
    life.at("5m", status=Status.COMPLETED, output_name="org/model", early_stopped=True)
    life.at("5m", event="early_stopped")
    life.at("5m10s", event="job_complete")
    life.at("7m", event="refund")
    life.expect(between("5m", "7m"), firing("completion"))
    life.expect(between("7m", "8m"), firing("refund"))
    await life.run("9m")


async def test_the_end_is_told_even_if_the_last_rows_cannot_be_read(life: Scene) -> None:
    life.job()
    life.at("5m", status=Status.COMPLETED, output_name="org/model")
    life.at("5m", event="job_complete")
    life.do("5m", lambda: life.provider.fail("metrics", unseen(FailureReason.SERVER, 500)))
    life.expect(between("5m", "7m"), firing("completion"))
    await life.run("9m")


async def test_a_job_with_404_is_deleted_and_told_once(life: Scene) -> None:
    life.job()
    life.at("5m", deleted=True)
    life.expect(between("5m", "5m30s"), firing("deleted"))
    await life.run("25m")

    assert life.sweeper.book("ft-1") is None
    assert {alert.rule for alert in await life.alerts()} == {"deleted"}


async def test_a_job_that_the_list_leaves_out_is_watched_on(life: Scene) -> None:
    life.job()
    life.at("5m", listed=False)
    life.at("7m", loss=9)
    life.expect(NEVER, firing("deleted"))
    life.expect(between("7m", "7m30s"), firing("high"))
    await life.run("9m")


async def test_a_job_that_the_list_leaves_out_is_not_gone_for_a_404_of_its_metrics(life: Scene) -> None:
    life.job()
    life.at("5m", listed=False)
    life.do("5m", lambda: life.provider.fail("metrics", unseen(FailureReason.NOT_FOUND, 404)))
    life.expect(NEVER, firing("deleted"))
    await life.run("9m")

    assert life.messages == []


async def test_a_job_that_comes_back_is_watched_again(life: Scene) -> None:
    life.job()
    life.at("5m", deleted=True)
    life.at("6m", deleted=False)
    life.at("25m", loss=9)
    life.expect(between("5m", "5m30s"), firing("deleted"))
    life.expect(between("25m", "25m30s"), firing("high"))
    await life.run("26m")

    book = life.sweeper.book("ft-1")
    assert book is not None
    assert not book.record.gone
