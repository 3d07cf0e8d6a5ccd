import math
from typing import Any

import pytest

from tests.unit.rules.lifecycle import event, found, job, judged, ns
from watcher.domain.observations import EvalRow, Observation, TrainRow
from watcher.domain.rules.completion import Completion
from watcher.domain.verdicts import CLEAR, Severity, Unknown

NAMED: dict[str, Any] = {"output_name": "me/model-1"}


@pytest.mark.parametrize(
    ("observations", "minutes", "told"),
    [
        pytest.param([], 0, False, id="nothing seen"),
        pytest.param(
            [job("uploading", **NAMED), event("job_complete")], 9, False, id="the status decides, not the log"
        ),
        pytest.param(
            [job("queued"), job("completed", **NAMED), event("job_complete")], 0, True, id="queued to completed"
        ),
        pytest.param([job("completed", **NAMED)], 0, False, id="waits for the end of the log"),
        pytest.param([job("completed", **NAMED)], 1, True, id="but only for a minute"),
        pytest.param([job("completed"), event("job_complete")], 9, False, id="waits for the name"),
        pytest.param([job("completed"), event("job_complete")], 10, True, id="but only for ten minutes"),
        pytest.param([job("completed"), job("completed", 3, **NAMED)], 3, True, id="the name comes later"),
        pytest.param([job("completed", output_name=" ")], 3, False, id="an empty name is none"),
        pytest.param([job("error", **NAMED)], 30, False, id="an error is no completion"),
    ],
)
def test_fires_once_it_can_say_what_came_out(observations: list[Observation], minutes: float, *, told: bool) -> None:
    assert list(found(Completion(), observations, minutes)) == (["completed"] if told else [])


def test_it_says_that_it_waits() -> None:
    assert isinstance(judged(Completion(), [job("completed")], 1), Unknown)
    assert isinstance(judged(Completion(), [job("completed", **NAMED)], 0), Unknown)
    assert judged(Completion(), [job("running")], 1) is CLEAR


def test_the_message_holds_what_people_ask() -> None:
    history: list[Observation] = [
        job("running", 4, created_at=None, total_price_nano=9_840_000_000),
        event("job_start", 4),
        event("training_start", 6, total_steps=120),
        event("checkpoint_save", 20, step=60),
        event("checkpoint_save", 20, step=60),
        event("checkpoint_save", 20, step=0),
        TrainRow(120, ns(25), 0.5),
        EvalRow(60, ns(20), 0.61),
        EvalRow(90, ns(21), 0.4213),
        EvalRow(120, ns(25), math.nan),
        event("job_complete", 33),
        job("completed", 34, steps_completed=118, **NAMED),
    ]

    finding = found(Completion(), history, 34)["completed"]

    assert finding.severity is Severity.INFO
    assert finding.notice
    assert finding.step == 120
    assert finding.reason == (
        "The job completed (me/model-1) in 29 min after 120 of 120 steps; best eval loss 0.4213 at step 90; "
        "price $9.84 as the API gives it."
    )
    assert dict(finding.evidence) == {
        "model": "me/model-1",
        "duration": "29 min",
        "steps": "120 of 120",
        "best eval loss": "0.4213 at step 90",
        "checkpoints saved at steps": "60",
        "price": "$9.84 as the API gives it",
        "download": "together fine-tuning download ft-1",
    }


def test_nothing_is_made_up_when_nothing_is_known() -> None:
    finding = found(Completion(), [job("completed", -20)], 1)["completed"]

    assert finding.reason == "The job completed (name not given yet); best eval loss unknown; price unknown."


def test_an_early_stop_says_which_step_ships() -> None:
    ended = job("completed", early_stopped=True, best_step=48, steps_completed=72, total_steps=120, **NAMED)

    finding = found(Completion(), [ended], 9)["completed"]

    assert "after 72 of 120 steps, stopped early by the provider, ships step 48" in finding.reason


@pytest.mark.parametrize(
    ("log", "shown"),
    [
        pytest.param([], "10 min since it was created", id="without a log, since creation"),
        pytest.param([event("job_start", 2), event("job_start", 3)], "8 min", id="from its first start"),
        pytest.param([event("job_start", 50)], None, id="a start after the end gives no duration"),
    ],
)
def test_duration(log: list[Observation], shown: str | None) -> None:
    ended = job("completed", 10, created_at=job("queued").at, **NAMED)

    finding = found(Completion(), [*log, ended], 60)["completed"]

    assert dict(finding.evidence).get("duration") == shown


def test_at_most_twenty_checkpoints_are_kept() -> None:
    saves = [event("checkpoint_save", 1, step=step) for step in range(1, 60)]

    evidence = dict(found(Completion(), [*saves, job("completed", **NAMED)], 60)["completed"].evidence)

    assert evidence["checkpoints saved at steps"].split(", ") == [str(step) for step in range(40, 60)]
