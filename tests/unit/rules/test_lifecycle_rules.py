"""What every rule over a job's, an account's or the watcher's life promises."""

import copy
from typing import Any

import pytest

from tests.unit.rules.lifecycle import at, event, found, job, ns
from watcher.domain.observations import Drift, EvalRow, Fault, Gone, Observation, Status, SweepOutcome, TrainRow
from watcher.domain.rules.budget import Budget
from watcher.domain.rules.cancellation import Cancellation
from watcher.domain.rules.completion import Completion
from watcher.domain.rules.deleted import Deleted
from watcher.domain.rules.drift import DriftRule
from watcher.domain.rules.early_stop import EarlyStop
from watcher.domain.rules.event_warning import EventWarning
from watcher.domain.rules.failure import Failure
from watcher.domain.rules.provider_unreachable import ProviderUnreachable
from watcher.domain.rules.queue_time import QueueTime
from watcher.domain.rules.refund import Refund
from watcher.domain.rules.stall import Stall
from watcher.domain.rules.watcher_fault import WatcherFault

ON_JOBS: list[Any] = [
    Budget(limit_dollars=1),
    Cancellation(),
    Completion(),
    Deleted(),
    EarlyStop(),
    EventWarning(),
    Failure(),
    QueueTime(),
    Refund(),
    Stall(),
]
ALL: list[Any] = [*ON_JOBS, DriftRule(), ProviderUnreachable(), WatcherFault()]

ONE_OF_EACH: list[Observation] = [
    job("running"),
    TrainRow(1, ns(0), 1.0),
    EvalRow(1, ns(0), 1.0),
    event("job_start"),
    Gone(at(0)),
    SweepOutcome(at=at(0)),
    Drift(at=at(0), what="status", word="odd", job_id="ft-1"),
    Fault(at=at(0), kind="store", key="", detail=""),
]


@pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.name)
def test_what_a_rule_does_not_see_changes_nothing(rule: Any) -> None:
    state = rule.start()
    before = copy.deepcopy(state)
    for observation in ONE_OF_EACH:
        if not isinstance(observation, rule.sees):
            rule.observe(state, observation)

    assert state == before


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize("rule", ON_JOBS, ids=lambda rule: rule.name)
def test_any_status_may_come_first_and_alone(rule: Any, status: Status) -> None:
    fired = found(rule, [job(status.value)], 10_000)

    if not status.terminal and not status.waiting and rule.name != "stall":
        assert fired == {}


@pytest.mark.parametrize("rule", ON_JOBS, ids=lambda rule: rule.name)
def test_entries_of_the_old_form_say_nothing(rule: Any) -> None:
    empty = {"step": 0, "total_steps": 0, "token_count": 0, "checkpoint_path": "", "model_path": "", "level": ""}
    kinds = [
        "job_pending",
        "job_start",
        "checkpoint_save",
        "epoch_complete",
        "training_complete",
        "model_uploading",
        "",
    ]

    assert found(rule, [job("running"), *[event(kind, 1, "", **empty) for kind in kinds]], 30) == {}


@pytest.mark.parametrize(
    ("end", "log", "expected"),
    [
        pytest.param("completed", [event("job_complete", 5)], {"completion"}, id="queued to completed"),
        pytest.param("error", [event("job_error", 5)], {"failure"}, id="queued to error"),
        pytest.param("cancelled", [event("cancel_requested", 5)], {"cancellation"}, id="queued to cancelled"),
        pytest.param("cancelled", [event("billing_limit", 5)], {"failure"}, id="queued to cancelled for billing"),
        pytest.param("cancelled", [event("watcher_cancelled", 5)], set(), id="queued to cancelled by us"),
    ],
)
def test_one_end_has_one_rule(end: str, log: list[Observation], expected: set[str]) -> None:
    history = [job("queued"), job(end, 6, output_name="me/model"), *log]

    assert {rule.name for rule in ON_JOBS if found(rule, history, 20)} == expected
