"""What the daemon tells of a job beside the alert: its speed, its checkpoints and how fresh all that is."""

import math
from datetime import timedelta
from typing import Any

import pytest

from tests.stored import JOB, NOW, a_snapshot
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.facts import JobFacts
from watcher.domain.observations import EvalRow, Event, Row, Status, TrainRow
from watcher.service.book import JobBook, new_book
from watcher.service.config import Selection

SECOND = 10**9


def a_book(**changes: Any) -> JobBook:
    return new_book(JOB, a_snapshot(**changes), Selection(name="all", rules=(), policy=CancelPolicy()), NOW)


def facts(*seen: Row | Event) -> JobFacts:
    book = a_book()
    for n, what in enumerate(seen):
        if isinstance(what, Event):
            book.note_event(what)
        else:
            book.note_rows([what], NOW + timedelta(seconds=n))
    return book.facts("")


def rows(*at: tuple[int, float]) -> list[TrainRow]:
    return [TrainRow(step, int(seconds * SECOND), 1.0) for step, seconds in at]


@pytest.mark.parametrize(
    ("seen", "pace"),
    [
        pytest.param([], None, id="no row"),
        pytest.param(rows((1, 5)), None, id="one row"),
        pytest.param(rows((1, 5), (2, 9)), 4.0, id="two rows"),
        pytest.param(rows((10, 5), (20, 9)), 0.4, id="a row every ten steps"),
        pytest.param(rows((1, 0), (2, 9)), None, id="rows without a time"),
        pytest.param(rows((1, 9), (2, 5)), None, id="time goes back"),
        pytest.param(rows(*((i, 10 * i) for i in range(40)), *((40 + i, 400 + i) for i in range(40))), 1.0, id="now"),
    ],
)
def test_the_speed_is_that_of_the_newest_rows(seen: list[TrainRow], pace: float | None) -> None:
    assert facts(*seen).seconds_per_step == pace


def saved(step: int) -> Event:
    return Event(type="checkpoint_save", at=NOW, step=step)


@pytest.mark.parametrize(
    ("seen", "best", "newest"),
    [
        pytest.param([], None, None, id="nothing saved"),
        pytest.param([saved(20)], None, 20, id="saved and never evaluated"),
        pytest.param([EvalRow(20, 1, 0.7), saved(20)], 20, 20, id="evaluated, then saved"),
        pytest.param([saved(20), EvalRow(20, 1, 0.7)], 20, 20, id="saved, then evaluated"),
        pytest.param([saved(20), EvalRow(20, 1, 0.7), EvalRow(40, 1, 0.8), saved(40)], 20, 40, id="a worse one later"),
        pytest.param([saved(20), EvalRow(20, 1, 0.7), EvalRow(40, 1, 0.6), saved(40)], 40, 40, id="a better one later"),
        pytest.param([saved(20), EvalRow(20, 1, 0.7), EvalRow(20, 2, math.nan)], None, 20, id="then no number"),
    ],
)
def test_the_best_checkpoint_is_the_one_with_the_best_eval_loss(
    seen: list[Row | Event], best: int | None, newest: int | None
) -> None:
    found = facts(*seen)

    assert (found.choice.saved.step if found.choice.saved else None, found.checkpoint_step) == (best, newest)


def test_a_checkpoint_whose_step_the_log_does_not_tell_is_counted() -> None:
    found = facts(*rows((1, 1), (2, 2)), Event(type="checkpoint_save", at=NOW))

    assert (found.saved_unplaced, found.checkpoint_step, found.choice.newest) == (1, None, None)


def test_the_command_that_goes_on_is_of_the_best_saved_one() -> None:
    book = a_book(training_file="file-1", learning_rate=2e-5)
    for what in (saved(20), saved(40)):
        book.note_event(what)
    for row in (EvalRow(20, 1, 0.7), EvalRow(40, 1, 0.8)):
        book.note_rows([row], NOW)

    assert book.facts("").go_on == (
        "together fine-tuning create --training-file=file-1 --from-checkpoint=ft-1:20 --learning-rate=1e-05"
    )


def test_another_attempt_begins_anew() -> None:
    book = a_book()
    seen: list[Row] = [*rows((1, 1), (2, 2)), EvalRow(2, 2, 0.7)]
    for row in seen:
        book.note_rows([row], NOW)
    book.note_event(saved(2))
    book.restart(list(rows((1, 1))))

    found = book.facts("")
    assert (found.choice.saved, found.seconds_per_step, found.checkpoint_step) == (None, None, 2)


def test_it_says_how_fresh_it_is_and_whether_the_job_runs() -> None:
    assert facts(*rows((1, 1), (2, 2))).fresh_at == NOW + timedelta(seconds=1)
    assert facts().running
    assert not a_book(status=Status.COMPLETED).facts("").running
