"""From recorded bodies to jobs and their logs: every trap of the API's description, and what no body may do."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from watcher.domain.observations import Snapshot, Status
from watcher.providers.together import mapping
from watcher.service.records import JobDetail

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parents[1] / "data" / "together-api-examples.json").read_text(encoding="utf-8")
)
AT = datetime(2026, 7, 2, 12, 0, tzinfo=UTC)
ID = "ft-0f1e2d3c-4b5a-4697-8877-665544332211"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4),
    max_leaves=8,
)
JOB_KEYS = st.sampled_from(
    ["id", "status", "created_at", "progress", "events", "training_method", "total_steps", "early_stopped"]
)
EVENT_KEYS = st.sampled_from(["type", "created_at", "level", "message", "step", "early_stopping_best_metric_value"])


def body(name: str) -> Any:
    return RECORDED[name]["body"]


def job(**changes: object) -> dict[str, object]:
    return {"id": ID, "status": "running"} | changes


def detail(value: dict[str, Any]) -> JobDetail:
    found = mapping.detail(value, value["id"], AT)
    assert found is not None
    return found


# --- jobs


def test_the_recorded_list_is_read_whole() -> None:
    found = mapping.listing(body("list")["data"], AT)

    assert [(entry.status, entry.method) for entry in found.jobs] == [
        (Status.COMPLETED, "sft"),
        (Status.RUNNING, "sft"),
        (Status.USER_ERROR, None),
    ]
    assert (found.bad, found.bad_ids, found.drift) == (0, (), ())


def test_a_completed_early_stopped_job_says_so() -> None:
    found = mapping.listing(body("list")["data"], AT).jobs[0]

    assert (found.early_stopped, found.best_step, found.best_metric) == (True, 48, 0.4213)
    assert found.total_price_nano == 9_840_000_000  # beyond 31 bits
    assert found.output_name == "acme/Qwen3.5-9B-es-demo-9a8b7c6d"
    assert found.created_at == datetime(2026, 7, 1, 9, 0, 0, 120_000, tzinfo=UTC)
    assert (found.from_checkpoint, found.eta_seconds) == (None, None)


def test_an_old_job_has_no_scheduler_and_no_price() -> None:
    found = mapping.listing(body("list")["data"], AT).jobs[2]

    assert (found.lr_scheduler, found.total_price_nano, found.token_count) == (None, None, None)


def test_a_queued_job_with_the_largest_batch_size_has_no_number_for_it() -> None:
    found = detail(body("retrieve_queued")).snapshot

    assert (found.status, found.queue_depth, found.batch_size, found.total_price_nano) == (Status.QUEUED, 3, None, None)


def test_a_running_job_has_its_plan_and_progress() -> None:
    found = detail(body("retrieve_running")).snapshot

    assert (found.total_steps, found.steps_completed, found.eval_steps, found.evals_completed) == (120, 30, 12, 2)
    assert found.eta_seconds == 2400.0
    assert found.wandb_url is None


@pytest.mark.parametrize(
    "progress",
    [
        {"estimate_available": False, "seconds_remaining": 9},
        {"estimate_available": True, "seconds_remaining": 0},
        {"estimate_available": True, "seconds_remaining": None},
        {"seconds_remaining": 9},
        None,
    ],
    ids=repr,
)
def test_an_estimate_that_is_not_available_is_none(progress: object) -> None:
    assert detail(job(progress=progress)).snapshot.eta_seconds is None


def test_an_estimate_may_be_a_float() -> None:
    progress = {"estimate_available": True, "seconds_remaining": 12.5}

    assert detail(job(progress=progress)).snapshot.eta_seconds == 12.5


def test_early_stop_without_a_finite_metric_keeps_the_halt_step() -> None:
    found = detail(body("retrieve_early_stopped_nonfinite_first_eval")).snapshot

    assert (found.early_stopped, found.best_step, found.best_metric) == (True, 12, None)


def test_a_nan_in_a_snapshot_does_not_make_it_differ_from_itself() -> None:
    first, second = (
        detail(from_json(f'{{"id": "{ID}", "status": "running", "early_stopping_best_metric": NaN}}')) for _ in range(2)
    )

    assert first.snapshot == second.snapshot


def test_a_job_cancelled_for_billing_shows_the_cause_in_its_log() -> None:
    found = detail(body("retrieve_cancelled_by_billing"))

    assert found.snapshot.status is Status.CANCELLED
    assert found.snapshot.total_steps is None  # 0 is not a plan
    assert [(entry.type, entry.level) for entry in found.events][1] == ("billing_limit", "error")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.UNRECOGNISED])
def test_every_published_status_is_known_in_any_case(status: Status) -> None:
    found = mapping.listing([job(status=status.value.upper())], AT)

    assert (found.jobs[0].status, found.drift) == (status, ())


@pytest.mark.parametrize("word", ["paused", "unrecognised", "succeeded", "failed"])
def test_an_unknown_status_is_kept_and_told(word: str) -> None:
    found = mapping.listing([job(status=word)], AT)

    assert (found.jobs[0].status, found.jobs[0].raw_status) == (Status.UNRECOGNISED, word)
    assert not found.jobs[0].status.terminal
    assert [(drift.what, drift.word, drift.job_id) for drift in found.drift] == [("status", word, ID)]


@pytest.mark.parametrize(
    "bad",
    [None, 7, "text", [], {}, {"status": "running"}, {"id": ""}, {"id": "..", "status": "running"}, {"id": 5}],
    ids=repr,
)
def test_an_entry_without_an_id_never_costs_another(bad: object) -> None:
    found = mapping.listing([bad, job()], AT)

    assert [entry.job_id for entry in found.jobs] == [ID]
    assert (found.bad, found.bad_ids) == (1, ())


@pytest.mark.parametrize("status", [None, "", 7, {}, ["running"]], ids=repr)
def test_a_bad_entry_with_an_id_is_named(status: object) -> None:
    found = mapping.listing([job(id="ft-1"), job(status=status)], AT)

    assert ([entry.job_id for entry in found.jobs], found.bad, found.bad_ids) == (["ft-1"], 1, (ID,))


def test_of_two_entries_with_one_id_the_first_counts() -> None:
    found = mapping.listing([job(), job(status="error")], AT)

    assert [entry.status for entry in found.jobs] == [Status.RUNNING]


def test_fields_of_a_wrong_type_are_absent_and_cost_nothing_else() -> None:
    odd: dict[str, object] = {f.name: [{}] for f in fields(Snapshot)}
    found = detail(odd | job(n_epochs="3", learning_rate="1e-05", training_method=[], training_type="Full"))

    assert (found.snapshot.n_epochs, found.snapshot.learning_rate) == (3, 1e-05)
    assert (found.snapshot.method, found.snapshot.training_type, found.snapshot.total_steps) == (None, "Full", None)


def test_a_method_that_this_version_does_not_know_is_kept() -> None:
    assert detail(job(training_method={"method": "grpo", "beta": 1})).snapshot.method == "grpo"


def test_the_answer_for_another_job_is_refused() -> None:
    assert mapping.detail(job(id="ft-other"), ID, AT) is None


def test_an_answer_without_an_id_is_the_job_that_was_asked_for() -> None:
    found = mapping.detail({"status": "running"}, ID, AT)

    assert found is not None
    assert found.snapshot.job_id == ID


# --- events


def test_both_wire_forms_of_one_log_are_the_same_log() -> None:
    lower = detail(job(events=body("events_early_stopped_refund")["data"])).events
    upper = detail(job(events=body("events_early_stopped_refund_wire_case")["data"])).events

    assert [(e.type, e.at, e.message, e.step, e.total_steps, e.checkpoint_path, e.best_metric) for e in lower] == [
        (e.type, e.at, e.message, e.step, e.total_steps, e.checkpoint_path, e.best_metric) for e in upper
    ]
    assert all(entry.known for entry in upper)
    assert upper[0].level is None


def test_zeros_and_empty_strings_of_the_old_wire_form_are_absent() -> None:
    first = detail(job(events=body("events_early_stopped_refund_wire_case")["data"])).events[0]

    assert (first.step, first.total_steps, first.token_count, first.checkpoint_path, first.model_path) == (None,) * 5


def test_the_early_stop_event_names_its_metric_differently_from_the_job() -> None:
    log = detail(body("retrieve_early_stopped")).events
    stop = next(entry for entry in log if entry.type == "early_stopped")

    assert (stop.step, stop.best_step, stop.best_metric) == (72, 48, 0.4213)


def test_a_filler_metric_without_a_best_step_is_absent() -> None:
    found = detail(
        job(events=[{"type": "warning", "early_stopping_best_step": 0, "early_stopping_best_metric_value": 0.0}])
    )

    assert (found.events[0].best_step, found.events[0].best_metric) == (None, None)


def test_real_output_of_2023_is_read() -> None:
    log = detail(job(events=body("events_2023_observed")["data"])).events

    assert [entry.type for entry in log] == ["job_pending", "job_start", "model_download_complete"]
    assert log[1].at == datetime(2023, 10, 3, 22, 6, 1, 887_000, tzinfo=UTC)  # not the PDT of the message


def test_events_come_oldest_first_whatever_the_order() -> None:
    log = list(body("events_early_stopped_refund")["data"])

    assert detail(job(events=log[::-1])).events == detail(job(events=log)).events


def test_a_new_event_type_is_kept_and_told_once() -> None:
    entry = {"type": "GPU_SWAPPED", "created_at": "2026-07-01T09:00:00Z", "message": "m"}
    found = detail(job(events=[entry, entry]))

    assert [(event.type, event.known) for event in found.events] == [("gpu_swapped", False)] * 2
    assert [(drift.what, drift.word) for drift in found.drift] == [("event", "gpu_swapped")]


def test_bad_events_are_counted_and_cost_no_other() -> None:
    found = detail(job(events=[None, 7, {}, "x", {"type": "JOB_START"}]))

    assert ([entry.type for entry in found.events], found.bad) == (["job_start"], 4)


def test_an_event_without_a_readable_time_has_the_same_time_at_every_look() -> None:
    log = [
        {"type": "job_pending"},
        {"type": "job_start", "created_at": "2026-07-01T09:00:00Z"},
        {"type": "warning", "created_at": "soon"},
    ]
    found = detail(job(created_at="2026-07-01T08:00:00Z", events=log)).events

    assert [entry.at.hour for entry in found] == [8, 9, 9]


def test_an_event_without_a_type_keeps_its_message() -> None:
    found = detail(job(events=[{"message": "out of memory", "level": "error"}]))

    assert (found.events[0].type, found.events[0].message, found.drift) == ("unspecified", "out of memory", ())


# --- any JSON at all


@settings(deadline=None)  # the machine may be busy
@given(st.lists(ANY_JSON | st.dictionaries(JOB_KEYS, ANY_JSON), max_size=5))
def test_no_list_costs_the_job_beside_it(items: list[object]) -> None:
    found = mapping.listing([*items, job()], AT)

    assert ID in [entry.job_id for entry in found.jobs]


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(JOB_KEYS, ANY_JSON), st.lists(st.dictionaries(EVENT_KEYS, ANY_JSON) | ANY_JSON, max_size=5))
def test_no_job_raises(value: dict[str, object], log: list[object]) -> None:
    mapping.detail(value | {"events": log}, ID, AT)
