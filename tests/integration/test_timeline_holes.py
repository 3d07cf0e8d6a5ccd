"""Rows that can't be made out, on a timeline: they end no alert and withdraw no cancel, and nothing waits for ever."""

from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.timeline import (
    CANCELLED,
    ENFORCE,
    FROZEN,
    JOB,
    NEVER,
    PROPOSE,
    PROPOSED,
    WITHDRAWN,
    Scene,
    between,
    firing,
    resolved,
    scene,
    seconds,
)
from tests.toys import Mean
from watcher.domain.observations import Row, Status, TrainRow
from watcher.domain.rules.drift import DriftRule
from watcher.domain.rules.stall import Stall
from watcher.service.records import JobKey
from watcher.web.telemetry import PrometheusTelemetry, Vitals


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    """A job whose loss is high from the tenth minute on, but for what a test spoils."""
    async with scene(tmp_path) as made:
        made.job(total_steps=1000)
        made.at("10m", loss=9)
        yield made


def high(row: Row) -> bool:
    return isinstance(row, TrainRow) and (row.loss or 0.0) > 5


def spoilt(play: Scene, start: str, end: str, which: Callable[[Row], bool]) -> None:
    """Between these times of the scene such rows can't be made out in any answer."""
    play.provider.spoils = lambda row: seconds(start) <= play.now < seconds(end) and which(row)


def up_and_down(play: Scene, start: str, end: str) -> None:
    """Every second loss is low: the mean is too high, but not that of the rows which are left when those are spoilt."""
    for at in range(int(seconds(start)), int(seconds(end)), 20):
        play.at(f"{at}s", loss=2)
        play.at(f"{at + 10}s", loss=18)


async def test_an_alert_does_not_end_on_a_part_of_the_rows(tmp_path: Path) -> None:
    """The low rows can be made out and the high ones can't: it looks as if all were well."""
    async with scene(tmp_path, rules=(Mean(),)) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        up_and_down(play, "12m", "25m")
        spoilt(play, "12m", "17m", high)
        play.at("25m", loss=2)
        play.expect(between("10m", "10m30s"), firing("high"))
        play.expect(between("25m", "26m"), resolved("high"))
        await play.run("27m")


async def test_it_ends_with_the_first_whole_answer_where_it_is_over(play: Scene) -> None:
    play.at("12m", loss=2)
    spoilt(play, "11m", "15m", lambda row: row.step % 3 == 0)
    play.expect(between("10m", "10m30s"), firing("high"))
    play.expect(between("15m", "15m30s"), resolved("high"))
    await play.run("17m")


async def test_it_ends_too_where_the_job_ended_while_the_rows_were_spoilt(play: Scene) -> None:
    play.at("12m", loss=2)
    play.at("14m", status=Status.COMPLETED, quiet=True)
    spoilt(play, "11m", "15m", lambda row: row.step % 3 == 0)
    play.expect(between("10m", "10m30s"), firing("high"))
    play.expect(between("15m", "15m30s"), resolved("high"))
    await play.run("17m")


async def test_a_restart_amid_it_ends_nothing_either(play: Scene) -> None:
    play.at("12m", loss=2)
    spoilt(play, "11m", "15m", lambda row: row.step % 3 == 0)
    play.do("13m10s", play.restart)
    play.expect(between("10m", "10m30s"), firing("high"))
    play.expect(between("15m", "15m30s"), resolved("high"))
    await play.run("17m")


async def test_rows_that_never_come_whole_keep_no_alert_for_ever(play: Scene) -> None:
    """Fifty steps later they are out of what is asked for: that is 500 s here."""
    play.at("12m", loss=2)
    spoilt(play, "11m", "9h", lambda row: row.step in (68, 70))
    play.expect(between("10m", "10m30s"), firing("high"))
    play.expect(between("20m", "20m30s"), resolved("high"))
    await play.run("25m")


async def test_nor_where_the_whole_history_is_asked_each_time(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        play.job(total_steps=1000, n_evals=5, eval_steps=1)
        play.at("10m", loss=9)
        play.at("12m", loss=2)
        spoilt(play, "0s", "9h", lambda row: row.step in (68, 70))
        play.expect(between("10m", "10m30s"), firing("high"))
        play.expect(between("20m", "20m30s"), resolved("high"))
        await play.run("25m")


async def test_history_that_was_spoilt_at_first_contact_is_asked_for_again(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        play.job(step=300, total_steps=1000)
        spoilt(play, "0s", "30s", lambda row: row.step % 2 == 0)
        await play.run("2m")

        rows = await play.store.read(lambda reads: reads.row_keys(JobKey("main", JOB), from_step=0))
        assert sorted(step for step, _ in rows) == list(range(1, len(rows) + 1))
        assert len(rows) > 300


async def test_an_alarm_on_a_part_of_the_rows_says_so(play: Scene) -> None:
    spoilt(play, "9m", "11m", lambda row: row.step % 2 == 0)
    play.expect(between("10m", "11m"), firing("high"))
    await play.run("12m")

    assert ("judged on a part", "some rows could not be made out") in play.messages[0].facts


async def test_a_cancel_that_is_announced_waits_for_whole_answers(tmp_path: Path) -> None:
    """What is seen looks well, but not all is seen: it is not withdrawn, and people are told once that it waits."""
    async with scene(tmp_path, rules=(Mean(),), policy=PROPOSE) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        up_and_down(play, "12m", "25m")
        spoilt(play, "12m", "18m30s", high)
        play.expect(between("11m", "11m"), PROPOSED)
        play.expect(between("12m", "13m"), FROZEN)
        play.expect(between("18m30s", "19m30s"), PROPOSED)
        play.expect(between("23m30s", "25m30s"), CANCELLED)
        play.expect(NEVER, WITHDRAWN)
        await play.run("25m")

        assert "some rows could not be made out" in play.of(FROZEN)[0].action


async def test_it_is_withdrawn_when_a_whole_answer_says_that_all_is_well(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=PROPOSE) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        play.at("12m", loss=2)
        spoilt(play, "12m", "14m", lambda row: row.step % 2 == 0)
        play.expect(between("12m", "13m"), FROZEN)
        play.expect(between("14m", "14m30s"), WITHDRAWN)
        await play.run("20m")

        assert play.provider.posts == []


async def test_a_cancel_of_its_own_waits_too(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        spoilt(play, "10m10s", "9h", lambda row: row.step % 3 == 0)
        play.expect(NEVER, CANCELLED)
        await play.run("20m")

        assert play.provider.posts == []


# --- rows of another job ---


@pytest.fixture
async def swapped(tmp_path: Path) -> AsyncIterator[Scene]:
    """A healthy job; `others` are rows of a job that is not."""
    async with scene(tmp_path, policy=ENFORCE) as made:
        made.job(total_steps=1000)
        yield made


def give_others(play: Scene, count: int = 200) -> None:
    play.provider.jobs[JOB].rows = [Scene.row(step, 3.0 + 10 * step, 9.0) for step in range(1, count)]


async def test_an_answer_that_repeats_nothing_known_is_not_believed_once(swapped: Scene) -> None:
    """Metrics do not say whose they are: a connection that mixes up answers would give another job's."""
    play, own = swapped, list[Row]()

    def back() -> None:
        play.provider.jobs[JOB].rows = own

    for start in ("10m", "12m"):
        play.do(start, lambda: own.__init__(play.provider.jobs[JOB].rows))  # type: ignore[misc]
        play.do(start, lambda: give_others(play))
        play.do(f"{start}10s", back)
    play.expect(NEVER, firing("high"))
    await play.run("15m")

    assert play.provider.posts == []


async def test_rows_that_were_all_replaced_are_taken_the_second_time(swapped: Scene) -> None:
    swapped.do("10m", lambda: give_others(swapped))
    swapped.expect(between("10m30s", "10m30s"), firing("high"))
    await swapped.run("12m")


async def test_an_answer_that_is_not_believed_is_no_last_look_before_a_cancel(tmp_path: Path) -> None:
    """It may be another job's, or this one's anew from its first step: neither is known, so the cancel waits."""
    async with scene(tmp_path, policy=PROPOSE) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        play.do("15m16s", lambda: setattr(play.provider.jobs[JOB], "rows", Strange()))
        play.expect(NEVER, CANCELLED)
        await play.run("20m")

        assert play.provider.posts == []


class Strange(list[Row]):
    """Other rows each time that they are asked for."""

    def __init__(self) -> None:
        super().__init__()
        self._calls = count()

    def __iter__(self) -> Iterator[Row]:
        call = next(self._calls)
        return iter([Scene.row(step, call + 0.001 * step, 9.0) for step in range(1, 200)])


# --- what is told of it ---


async def test_what_goes_on_unreadable_is_told_and_counted(tmp_path: Path) -> None:
    """Five sweeps are two and a half minutes; once, and for a moment, is nobody's business."""
    counted = PrometheusTelemetry()
    async with scene(tmp_path, account_rules=(DriftRule(),), telemetry=counted) as play:
        play.job(total_steps=1000)
        play.job("ft-2", total_steps=1000)
        spoilt(play, "5m", "8m", lambda row: row.step in (20, 21))
        play.at("2m", "ft-2", garbled=True)
        play.at("3m", "ft-2", garbled=False)
        play.at("20m", "ft-2", garbled=True)
        play.at("25m", "ft-2", garbled=False)
        play.expect(between("7m", "7m30s"), firing("drift", "main", "unreadable:rows"))
        play.expect(between("22m", "23m"), resolved("drift", "main", "unreadable:rows"))
        play.expect(between("22m", "22m30s"), firing("drift", "main", "unreadable:jobs"))
        await play.run("24m")

        (rows,) = play.of(firing("drift", "main", "unreadable:rows"))
        assert rows.title == "main: the API's answers can't be made out: rows"
        assert "ft-1" in dict(rows.facts).values()
    text = counted.exposition(Vitals(), None).decode()
    assert 'watcher_unreadable_total{account="main",what="jobs"} 11.0' in text
    assert 'watcher_unreadable_total{account="main",what="rows"} 24.0' in text


# --- what time alone tells ---


async def test_rows_that_cannot_be_made_out_are_no_silence(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Stall(),)) as play:
        play.job(total_steps=1000)
        spoilt(play, "10m", "30m", lambda row: row.step > 55)
        play.expect(NEVER, firing("stall"))
        await play.run("35m")


async def test_a_job_that_stands_still_after_such_rows_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Stall(),)) as play:
        play.job(total_steps=1000)
        spoilt(play, "10m", "9h", lambda row: row.step > 55)
        play.at("20m", quiet=True)
        play.expect(between("35m", "36m30s"), firing("stall"))
        await play.run("37m")


async def test_a_stall_does_not_end_because_known_rows_are_spoilt(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Stall(),)) as play:
        play.job(total_steps=1000)
        play.at("10m", quiet=True)
        spoilt(play, "27m", "32m", lambda row: (row.step * 7 + int(play.now)) % 3 == 0)
        play.expect(between("25m", "26m"), firing("stall"))
        await play.run("35m")
