from datetime import timedelta

import pytest

from tests.unit.rules.lifecycle import at, event, found, job, judged, ns
from watcher.domain.observations import EvalRow, Observation, TrainRow, Unreadable
from watcher.domain.rules.stall import Stall
from watcher.domain.verdicts import CLEAR, Severity, Unknown


def rows(count: int, minutes: float = 1, start: float = 0) -> list[Observation]:
    """Rows at this pace; the last one `count * minutes` after the start."""
    return [TrainRow(i, ns(start + i * minutes), 1.0) for i in range(1, count + 1)]


RUNNING = job("running")


@pytest.mark.parametrize(
    ("observations", "minutes", "told"),
    [
        pytest.param([], 999, False, id="nothing seen"),
        pytest.param([RUNNING], 999, False, id="running is not training: data may still be loaded"),
        pytest.param([RUNNING, event("job_start", 1)], 999, False, id="started is not training"),
        pytest.param([RUNNING, event("training_start", 1)], 31, False, id="the first step takes longest"),
        pytest.param([RUNNING, event("training_start", 1)], 32, True, id="but not for ever"),
        pytest.param([RUNNING, *rows(1)], 32, True, id="one row and no more"),
        pytest.param([RUNNING, *rows(10)], 25, False, id="a quarter of an hour is given"),
        pytest.param([RUNNING, *rows(10)], 26, True, id="a row a minute, then nothing for 16 minutes"),
        pytest.param([RUNNING, *rows(10, 10)], 199, False, id="a slow job is given ten times its pace"),
        pytest.param([RUNNING, *rows(10, 10)], 201, True, id="and no more"),
        pytest.param([RUNNING, *rows(10), *rows(5, 1, 60)], 160, False, id="a pause that came back is its way"),
        pytest.param([RUNNING, *rows(10), *rows(5, 1, 60)], 170, True, id="twice that pause is not"),
        pytest.param([RUNNING, *rows(10), *rows(5, 1, 6000)], 6005 + 359, False, id="a huge pause counts as 3 h"),
        pytest.param([RUNNING, *rows(10), *rows(5, 1, 6000)], 6005 + 361, True, id="and no more than that"),
        pytest.param([RUNNING, *rows(10), EvalRow(10, ns(25), 1.0)], 40, False, id="an evaluation is life"),
        pytest.param([RUNNING, *rows(10), event("checkpoint_save", 25)], 40, False, id="an event is life"),
        pytest.param([RUNNING, *rows(10), TrainRow(11, ns(30), 1.0)], 40, False, id="recovers with a fresh row"),
        pytest.param([RUNNING, *rows(10, 1, 500)], 400, False, id="rows from the future: the clocks differ"),
        pytest.param([RUNNING, *[TrainRow(i, 0, 1.0) for i in range(9)]], 999, False, id="rows without a time"),
        pytest.param([RUNNING, *rows(10), Unreadable(at(20))], 35, False, id="rows came, whatever they were"),
        pytest.param([RUNNING, *rows(10), Unreadable(at(20))], 36, True, id="and then no more"),
        pytest.param([*rows(10), RUNNING], 26, True, id="the snapshot comes after the rows"),
        pytest.param([RUNNING, *rows(10), *rows(10)], 26, True, id="repeated rows are no life"),
        pytest.param([RUNNING, *rows(10), job("completed", 11)], 999, False, id="over"),
        pytest.param([RUNNING, *rows(10), job("unrecognised", 11)], 999, False, id="a status that is not known"),
    ],
)
def test_training_stalls_by_its_own_pace(observations: list[Observation], minutes: float, *, told: bool) -> None:
    assert list(found(Stall(), observations, minutes)) == (["training"] if told else [])


def test_a_past_halt_is_forgotten_while_training_goes_on() -> None:
    history = [RUNNING, *rows(10), *rows(3000, 1, 600)]

    assert list(found(Stall(), history, 3600 + 61)) == ["training"]


@pytest.mark.parametrize(
    ("observations", "minutes", "told"),
    [
        pytest.param([job("uploading", 10)], 130, False, id="two hours are given"),
        pytest.param([job("uploading", 10)], 131, True, id="uploading for longer"),
        pytest.param([job("compressing", 10)], 131, True, id="compressing for longer"),
        pytest.param([job("compressing", 10), job("uploading", 60)], 131, False, id="each stage has its own time"),
        pytest.param([job("uploading", 10), job("uploading", 60)], 131, True, id="seen again is no sign of life"),
        pytest.param([job("uploading", 100, started_at=at(10))], 131, True, id="the stage began before it was seen"),
        pytest.param(
            [job("running", 1, started_at=at(1)), job("uploading", 100, started_at=at(1))],
            131,
            False,
            id="a start left over from the stage before",
        ),
        pytest.param([job("uploading", 10), event("model_upload_complete", 60)], 131, False, id="an event is life"),
        pytest.param([job("uploading", 10), job("completed", 131)], 999, False, id="recovers when it completes"),
    ],
)
def test_output_that_does_not_come(observations: list[Observation], minutes: float, *, told: bool) -> None:
    assert list(found(Stall(), observations, minutes)) == (["uploading"] if told else [])


def test_the_message_holds_the_pace_and_the_limit() -> None:
    finding = found(Stall(), [job("running", total_steps=99), *rows(10)], 40)["training"]

    assert finding.reason == (
        "No new row or event for 30 min, since step 10 of 99; by the job's own pace (60 s a row) 15 min would be long."
    )
    assert finding.step == 10
    assert finding.severity is Severity.WARNING
    assert not finding.notice
    assert ("last sign of life", "2026-07-01 09:10 UTC") in finding.evidence


def test_before_the_first_row_the_pace_is_not_known() -> None:
    finding = found(Stall(), [RUNNING, event("training_start", 0)], 40)["training"]

    assert "since training began; by the job's own pace (not known yet)" in finding.reason


def test_settings_move_the_limits() -> None:
    rule = Stall(minimum=timedelta(minutes=1), factor=2, longest_pause=timedelta(0), upload_limit=timedelta(minutes=1))

    assert judged(rule, [RUNNING, *rows(10)], 12) is CLEAR
    assert list(found(rule, [RUNNING, *rows(10)], 13)) == ["training"]
    assert list(found(rule, [job("uploading")], 2)) == ["uploading"]


def test_rows_that_cannot_be_made_out_neither_raise_nor_end_the_alarm() -> None:
    history = [RUNNING, *rows(10), Unreadable(at(30))]

    assert judged(Stall(), history, 40) == Unknown("rows came that could not be made out")
