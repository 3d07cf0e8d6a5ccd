"""What is asked of the API, and when."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watcher.domain.cadence import (
    DETAIL_EVERY,
    FOLLOW,
    FOLLOW_REFUND,
    Pace,
    followed_out,
    from_step,
    look_back,
    wants_detail,
    wants_metrics,
)
from watcher.domain.holes import Holes
from watcher.domain.observations import EvalRow, Snapshot, Status, TrainRow

NOW = datetime(2026, 11, 23, tzinfo=UTC)
JOB = Snapshot(job_id="ft-1", at=NOW, status=Status.RUNNING, raw_status="running", total_steps=1000, n_evals=10)


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def a_pace(steps: int, *, evals: tuple[int, ...] = (), every: float = 10) -> Pace:
    pace = Pace()
    for step in range(1, steps + 1):
        pace.take([TrainRow(step, round(step * every * 1e9), 1.0)], NOW)
        if step in evals:
            pace.take([EvalRow(step, round(step * every * 1e9), 1.0)], NOW)
    pace.wide_at = NOW
    return pace


@pytest.mark.parametrize(
    ("pace", "job", "start"),
    [
        pytest.param(Pace(), JOB, 0, id="everything, the first time"),
        pytest.param(a_pace(10), JOB, 0, id="never below zero"),
        pytest.param(a_pace(180, evals=(100,)), JOB, 130, id="fifty steps back while no eval is due"),
        pytest.param(a_pace(230, evals=(100,)), JOB, 51, id="from the step after the last eval when one is due"),
        pytest.param(a_pace(500), replace(JOB, n_evals=0), 450, id="no evals are planned"),
        pytest.param(a_pace(500), replace(JOB, n_evals=None), 450, id="evals are not known"),
        pytest.param(a_pace(120), JOB, 0, id="the first eval is due and none was seen"),
        pytest.param(a_pace(160, evals=(100,)), replace(JOB, eval_steps=50), 51, id="the plan's own spacing"),
    ],
)
def test_from_which_step(pace: Pace, job: Snapshot, start: int) -> None:
    assert from_step(pace, job, NOW) == start


def test_once_in_ten_minutes_the_window_is_wide_whatever_the_plan_says() -> None:
    pace = a_pace(180, evals=(100,))

    assert [from_step(pace, JOB, after(s)) for s in (1, 599, 600, 601)] == [130, 130, 51, 130]


@pytest.mark.parametrize(
    ("job", "quiet_for", "checkpoint", "start"),
    [
        pytest.param(JOB, 29, 40, None, id="not yet quiet"),
        pytest.param(JOB, 30, 40, 40, id="quiet for three paces"),
        pytest.param(JOB, 30, None, 0, id="no checkpoint was saved"),
        pytest.param(replace(JOB, status=Status.UPLOADING), 99, 40, None, id="not training"),
    ],
)
def test_a_quiet_job_is_looked_back_on(
    job: Snapshot, quiet_for: float, checkpoint: int | None, start: int | None
) -> None:
    assert look_back(a_pace(100), job, checkpoint, after(quiet_for)) == start


def test_a_quiet_job_is_looked_back_on_once() -> None:
    pace = a_pace(100)

    assert look_back(pace, JOB, None, after(60)) == 0
    assert look_back(pace, JOB, None, after(90)) is None
    pace.take([TrainRow(101, 0, 1.0)], after(100))
    assert look_back(pace, JOB, None, after(200)) == 0


def test_a_job_without_a_pace_is_not_looked_back_on() -> None:
    assert look_back(Pace(), JOB, None, after(9999)) is None
    assert look_back(a_pace(1), JOB, None, after(9999)) is None


def test_the_pace_is_the_median_of_the_newest_gaps() -> None:
    pace = a_pace(20)
    pace.take([TrainRow(21, round(5000 * 1e9), 1.0)], NOW)

    assert pace.usual_gap == timedelta(seconds=10)


def test_only_rows_that_still_count_make_the_pace_after_a_restart() -> None:
    pace = a_pace(50, evals=(40,))
    pace.restart([TrainRow(1, 1, 1.0), TrainRow(2, 2, 1.0)])

    assert (pace.train_step, pace.eval_step) == (2, None)


@pytest.mark.parametrize(
    ("status", "tail", "wanted"),
    [
        (Status.PENDING, "", False),
        (Status.QUEUED, "", False),
        (Status.RUNNING, "running", True),
        (Status.UNRECOGNISED, "unrecognised", True),
        (Status.UPLOADING, "running", True),
        (Status.UPLOADING, "uploading", False),
        (Status.COMPLETED, "uploading", True),
        (Status.COMPLETED, "completed", False),
    ],
)
def test_when_metrics_are_read(status: Status, tail: str, *, wanted: bool) -> None:
    job = replace(JOB, status=status, raw_status=status.value)

    assert wants_metrics(Pace(tail=tail), job, ended_at=None, now=NOW) is wanted


@pytest.mark.parametrize(("ended", "wanted"), [(None, True), (0, True), (179, True), (180, False)])
def test_the_last_rows_are_read_again_where_some_could_not_be_made_out(ended: int | None, *, wanted: bool) -> None:
    job = replace(JOB, status=Status.COMPLETED, raw_status="completed")
    pace = Pace(tail="completed", holes=Holes(open=True))

    assert wants_metrics(pace, job, ended_at=None if ended is None else NOW, now=after(ended or 0)) is wanted


@pytest.mark.parametrize(
    ("job", "changes", "wanted"),
    [
        pytest.param(JOB, {"read_at": None}, True, id="never read"),
        pytest.param(JOB, {"changed": True}, True, id="its list entry has changed"),
        pytest.param(JOB, {}, False, id="nothing has changed"),
        pytest.param(JOB, {"now": NOW + DETAIL_EVERY}, True, id="ten minutes have passed"),
        pytest.param(
            replace(JOB, status=Status.COMPLETED), {"ended_at": NOW, "now": after(179)}, True, id="it has just ended"
        ),
        pytest.param(
            replace(JOB, status=Status.COMPLETED),
            {"ended_at": NOW, "now": after(181)},
            False,
            id="it ended a while ago",
        ),
    ],
)
def test_when_the_job_itself_is_read(job: Snapshot, changes: dict[str, Any], *, wanted: bool) -> None:
    asked = {"changed": False, "read_at": NOW, "ended_at": None, "now": after(1), **changes}

    assert wants_detail(job, **asked) is wanted


@pytest.mark.parametrize(
    ("passed", "owed", "out"),
    [
        (FOLLOW - timedelta(seconds=1), False, False),
        (FOLLOW, False, True),
        (FOLLOW, True, False),
        (FOLLOW_REFUND - timedelta(seconds=1), True, False),
        (FOLLOW_REFUND, True, True),
    ],
)
def test_how_long_an_ended_job_is_followed(passed: timedelta, *, owed: bool, out: bool) -> None:
    assert followed_out(ended_at=NOW, owed_refund=owed, now=NOW + passed) is out
