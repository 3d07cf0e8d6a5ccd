"""Rows that come late, twice, in other portions, or from another attempt; and restarts of the daemon in between."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from tests.timeline import ENFORCE, NEVER, Scene, between, firing, resolved, scene
from tests.toys import High
from watcher.domain.observations import EvalRow, Row, Status, TrainRow
from watcher.service.records import Listing
from watcher.service.report import SweepReport


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as made:
        yield made


def went_back(play: Scene, step: int, loss: float) -> None:
    """The job starts again after a step; the rows of the attempt that is over are not served any more."""
    job = play.provider.jobs["ft-1"]
    job.rows[:] = [row for row in job.rows if row.step <= step]
    play._change("ft-1", "", {"step": step, "loss": loss})


async def test_an_alert_stays_until_the_new_attempt_has_passed_its_step(play: Scene) -> None:
    play.job()
    play.at("5m", loss=9)
    play.do("7m", lambda: went_back(play, 20, 2.0))
    play.expect(between("5m", "5m30s"), firing("high"))
    # It fired at step 31; from step 21 at seven minutes on, step 32 is logged at nine.
    play.expect(between("8m30s", "9m30s"), resolved("high"))
    await play.run("12m")


async def test_it_stays_over_a_restart_of_the_daemon_too(play: Scene) -> None:
    play.job()
    play.at("5m", loss=9)
    play.do("7m", lambda: went_back(play, 20, 2.0))
    play.do("7m40s", play.restart)
    play.do("8m10s", play.restart)
    play.expect(between("5m", "5m30s"), firing("high"))
    play.expect(between("8m30s", "9m30s"), resolved("high"))
    await play.run("12m")


async def test_a_new_attempt_that_goes_the_same_way_is_no_new_alert(play: Scene) -> None:
    play.job()
    play.at("5m", loss=9)
    play.do("7m", lambda: went_back(play, 20, 2.0))
    play.at("8m40s", loss=9)
    play.expect(between("5m", "5m30s"), firing("high"))
    play.expect(NEVER, resolved("high"))
    await play.run("12m")


async def test_what_the_attempt_before_confirmed_cancels_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(may_cancel=True),), policy=ENFORCE) as play:
        (tmp_path / "no-cancel").touch()
        play.job()
        play.at("5m", loss=9)
        play.do("7m", lambda: went_back(play, 20, 9.0))
        await play.run("7m")

        book = play.sweeper.book("ft-1")
        assert book is not None
        assert book.fold.confirmations == {("high", "over"): 1}


async def test_rows_of_an_attempt_that_is_over_do_not_enter_the_present_one(play: Scene) -> None:
    job = play.job()
    held = list[Row]()

    def hold_up() -> None:
        held.append(job.rows.pop(24))

    def release() -> None:
        job.rows.append(replace(held[0], loss=99.0))

    play.do("4m20s", hold_up)
    play.do("6m", lambda: went_back(play, 20, 2.0))
    play.do("8m", release)
    play.expect(NEVER, firing("high"))
    await play.run("10m")

    stored = await play.store.read(lambda reads: reads.row_keys(reads.jobs()[0].key))
    assert (held[0].step, held[0].at_ns) not in stored


async def test_a_late_row_only_delays(play: Scene) -> None:
    job = play.job()
    held = list[Row]()
    play.do("4m20s", lambda: held.append(job.rows.pop()))
    play.at("5m", loss=9)
    play.do("6m", lambda: job.rows.append(held[0]))
    play.at("8m", loss=2)
    play.expect(between("5m", "5m30s"), firing("high"))
    play.expect(between("8m", "8m30s"), resolved("high"))
    await play.run("10m")

    stored = await play.store.read(lambda reads: reads.row_keys(reads.jobs()[0].key))
    assert (held[0].step, held[0].at_ns) in stored


async def test_a_late_row_confirms_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        job = play.job()
        held = list[Row]()
        play.do("4m20s", lambda: held.append(job.rows.pop()))
        play.at("5m", loss=9)
        play.at("5m10s", quiet=True)
        play.do("6m", lambda: job.rows.append(held[0]))
        await play.run("8m")

        assert play.provider.posts == []
        assert [reason for reason in play.refusals() if "fresh" in reason]


async def test_the_same_rows_again_change_nothing(play: Scene) -> None:
    job = play.job()
    play.at("5m", loss=9)
    for minute in range(2, 12):
        play.do(f"{minute}m", lambda: job.rows.extend(job.rows[-20:]))
    play.at("8m", loss=2)
    play.expect(between("5m", "5m30s"), firing("high"))
    play.expect(between("8m", "8m30s"), resolved("high"))
    await play.run("12m")

    stored = await play.store.read(lambda reads: reads.row_keys(reads.jobs()[0].key))
    assert len(stored) == len(set(stored)) == 72


@pytest.mark.parametrize("every", [30, 60, 150, 300], ids=lambda every: f"a look every {every} s")
async def test_how_many_rows_come_at_once_changes_no_alert(tmp_path: Path, every: int) -> None:
    async with scene(tmp_path) as play:
        real = play.sweeper.run

        async def seldom() -> SweepReport:
            return await real() if play.now % every == 0 else SweepReport(account="main", at=play.clock.now())

        play.sweeper.run = seldom  # type: ignore[method-assign]
        play.job()
        for start in (4, 9, 14):
            play.at(f"{start}m", loss=9)
            play.at(f"{start + 2}m", loss=2)
        await play.run("20m")

        found = [(alert.episode, alert.step, alert.state.value) for alert in await play.alerts()]
        assert found == [(3, 84, "resolved"), (2, 54, "resolved"), (1, 24, "resolved")]


async def test_a_row_without_a_clock_reading_is_taken_as_it_comes(play: Scene) -> None:
    job = play.job()

    def without_times() -> None:
        job.rows[:] = [replace(row, at_ns=0) for row in job.rows]

    play.do("10s", without_times)
    for number in range(2, 60):
        play.do(f"{number * 10}s", without_times)
    play.at("5m", loss=9)
    play.expect(between("5m", "5m30s"), firing("high"))
    await play.run("8m")


async def test_a_list_that_is_older_than_the_last_look_is_not_believed(play: Scene) -> None:
    job = play.job()
    real = play.provider.list_jobs

    async def slow_list() -> Listing:
        answer = await real()
        if play.now == 300:
            # Somebody looks, as before an effect, while the list is on its way: the job has just been cancelled.
            job.status = Status.CANCELLED
            play.clock.advance(0.001)
            book = play.sweeper.book("ft-1")
            assert book is not None
            async with book.lock:
                await play.sweeper.look_again("ft-1")
            play.clock.advance(-0.001)
        return answer

    play.provider.list_jobs = slow_list  # type: ignore[method-assign]
    await play.run("5m")

    book = play.sweeper.book("ft-1")
    assert book is not None
    assert book.snapshot.status is Status.CANCELLED


@pytest.mark.parametrize("late", [None, 0, 30], ids=["no eval", "in time", "30 rows late"])
@pytest.mark.parametrize("begin", [20, 89, 90, 91])
async def test_a_window_that_goes_back_to_the_last_evaluation_brings_no_row_twice(
    play: Scene, begin: int, late: int | None
) -> None:
    """The window of rows grows as soon as an evaluation is due, and its keys were forgotten by then."""
    job = play.job(step=begin, total_steps=1000, n_evals=5)

    def evaluate(step: int) -> None:
        job.rows.append(EvalRow(step, job.rows[-1].at_ns + 1, 1.0))

    for step in (200, 400) if late is not None else ():
        minutes = (step - begin + (late or 0)) / 6
        play.do(f"{int(minutes)}m{int(minutes % 1 * 60)}s", partial(evaluate, step))
    play.do("51m", play.restart)
    await play.run("80m")

    book = play.sweeper.book("ft-1")
    assert book is not None
    assert book.state.pace.train_step == begin + 480
    stored = await play.store.read(lambda reads: reads.row_keys(book.key))
    assert len(stored) == len(set(stored)) == len(job.rows)
    seen = await play.store.read(lambda reads: reads.observations(book.key))
    steps = [row.step for _, row in seen if isinstance(row, TrainRow)]
    assert steps == sorted(steps)
