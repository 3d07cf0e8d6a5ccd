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


def completed(*losses: float | None, **fields: Any) -> dict[str, str]:
    """The evidence on a run of one evaluation every 12 steps, 120 of which were planned."""
    rows = [EvalRow(12 * i, ns(i), loss) for i, loss in enumerate(losses, start=1)]
    known = {"total_steps": 120, "n_evals": 10, "total_price_nano": 10 * 10**9, **NAMED, **fields}
    return dict(found(Completion(), [*rows, job("completed", 20, **known)], 60)["completed"].evidence)


WITH = "with patience 2, min_delta 0, warm-up 1, the documented defaults, it would have halted at step"
LEAST = "if the $4.00 minimum does not apply to jobs that end early"
HALTED = (0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388)


@pytest.mark.parametrize(
    ("losses", "fields", "told"),
    [
        pytest.param(HALTED, {}, f"{WITH} 72 of 120 and shipped step 48; 48 steps saved; about $4.00, if every step "
                     "costs the same", id="what it would have saved"),
        pytest.param((*HALTED, 0.41, 0.4), {}, f"{WITH} 72 of 120 and shipped step 48; 48 steps saved; about $4.00, if "
                     "every step costs the same; but a better eval came later: 0.4 at step 96, 0.0213 lower",
                     id="and what would have been lost"),
        pytest.param((0.5, math.nan, 0.6), {}, f"{WITH} 24 of 120 and shipped step 12; 96 steps saved; about $8.00, if "
                     f"every step costs the same and {LEAST}", id="by a loss that was not finite"),
        pytest.param(HALTED, {"total_steps": None, "total_price_nano": None}, f"{WITH} 72 (plan unknown) and shipped "
                     "step 48; steps saved unknown", id="an unknown plan and price stay unknown"),
        pytest.param((0.6, 0.5, 0.4, 0.3), {}, None, id="it would not have fired"),
        pytest.param((0.5, 0.6, 0.7), {"n_evals": 3}, None, id="the service would not have taken it"),
        pytest.param((0.5, 0.6, 0.7), {"n_evals": None}, None, id="nor as far as is known"),
        pytest.param((0.5, 0.6, 0.7, 0.8), {"n_evals": None}, f"{WITH} 36 of 120 and shipped step 12; 84 steps saved; "
                     f"about $7.00, if every step costs the same and {LEAST}", id="four evaluations are enough"),
        pytest.param(HALTED, {"early_stopped": True}, None, id="it was stopped early, which early_stop explains"),
    ],
)  # fmt: skip
def test_what_early_stopping_would_have_saved(
    losses: tuple[float | None, ...], fields: dict[str, Any], told: str | None
) -> None:
    assert completed(*losses, **fields).get("early stopping") == told


def test_a_corrected_evaluation_is_counted_once() -> None:
    rows = [EvalRow(12, ns(1), 0.5), EvalRow(24, ns(2), math.nan), EvalRow(24, ns(3), 0.4), EvalRow(36, ns(4), 0.3)]
    finding = found(Completion(), [*rows, job("completed", 20, total_steps=120, n_evals=10, **NAMED)], 60)["completed"]

    assert "early stopping" not in dict(finding.evidence)
