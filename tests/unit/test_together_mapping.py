"""From recorded bodies to observations: every trap of the API's description, and what no body may do."""

import json
import math
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from watcher.domain.observations import EvalRow, Row, Snapshot, Status, TrainRow
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
ROW_KEYS = st.sampled_from([*sorted(mapping.METRIC_KEYS), "eval/accuracy", "train/kl"])


def body(name: str) -> Any:
    return RECORDED[name]["body"]


def job(**changes: object) -> dict[str, object]:
    return {"id": ID, "status": "running"} | changes


def detail(value: dict[str, Any]) -> JobDetail:
    found = mapping.detail(value, value["id"], AT)
    assert found is not None
    return found


def rows(*items: object) -> tuple[Row, ...]:
    return mapping.metrics(items, ID, AT).rows


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


# --- metrics


def test_the_documented_sample_has_three_train_rows_and_an_eval_row() -> None:
    found = mapping.metrics(body("metrics_docs_sample")["metrics"], ID, AT)

    assert found.rows == (
        TrainRow(1, 1779196193564587000, 2.43, 1.21, 1e-05),
        TrainRow(2, 1779196253564587000, 2.11, 0.94, 9e-06),
        TrainRow(3, 1779196313564587000, 1.98, 0.87, 8e-06),
        EvalRow(3, 1779196314564587000, 2.05),
    )
    assert (found.drift, found.bad) == ((), 0)


def test_the_early_stopped_run_has_its_evals_at_every_twelfth_step() -> None:
    found = rows(*body("metrics_train_and_eval_early_stop")["metrics"])

    assert [(row.step, row.loss) for row in found if isinstance(row, EvalRow)] == [
        (12, 0.61), (24, 0.5), (36, 0.45), (48, 0.4213), (60, 0.4301), (72, 0.4388),
    ]  # fmt: skip


@pytest.mark.parametrize("index", range(4), ids=["bare tokens", "null", "strings", "missing"])
def test_every_way_to_write_no_number_is_a_row_without_a_usable_loss(index: int) -> None:
    value = from_json(RECORDED["metrics_nonfinite_variants_raw_text"]["bodies_as_text"][index])
    row = rows(*value["metrics"])[0]

    assert isinstance(row, TrainRow)
    assert (row.step, row.at_ns, row.lr) == (7, 1779196193564587000, 1e-05)
    assert row.loss is None or math.isnan(row.loss)
    assert row.grad_norm is None or math.isinf(row.grad_norm)


def test_numbers_as_strings_are_the_same_row() -> None:
    as_text = {
        "timestamp": "1779196193564587000", "train/global_step": "7", "train/loss": "0.5", "train/grad_norm": "1",
    }  # fmt: skip

    assert rows(as_text) == (TrainRow(7, 1779196193564587000, 0.5, 1.0),)


def test_numbers_as_floats_are_the_same_row() -> None:
    as_float = {"timestamp": 1.779196193564587e18, "train/global_step": 7.0, "train/loss": 1}

    assert rows(as_float) == (TrainRow(7, 1779196193564587000, 1.0),)


@pytest.mark.parametrize("step", [None, "x", 7.5, -1, math.nan, True, [], 2**70], ids=repr)
def test_a_row_without_a_usable_step_is_counted(step: object) -> None:
    found = mapping.metrics([{"train/global_step": step, "train/loss": 1.0}, {"train/global_step": 2}], ID, AT)

    assert ([row.step for row in found.rows], found.bad) == ([2], 1)


@pytest.mark.parametrize("item", [None, 3, "row", [], {}], ids=repr)
def test_what_is_no_row_is_counted(item: object) -> None:
    assert mapping.metrics([item], ID, AT).bad == 1


def test_a_row_without_a_time_has_the_same_key_at_every_look() -> None:
    assert rows({"train/global_step": 3, "train/loss": 1.0}) == (TrainRow(3, 0, 1.0),)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        pytest.param({"eval/loss": 0.5}, EvalRow, id="eval loss"),
        pytest.param({"eval/rewards": 0.5}, EvalRow, id="eval key without a loss"),
        pytest.param({"eval/loss": None}, EvalRow, id="eval loss null: it was not finite"),
        pytest.param({"eval/loss": 0.5, "train/loss": None}, EvalRow, id="eval row with a filler"),
        pytest.param({"eval/loss": 0.5, "train/learning_rate": 1e-5}, EvalRow, id="eval row with a learning rate"),
        pytest.param({"eval/loss": None, "train/loss": 0.5}, TrainRow, id="train row with a filler"),
        pytest.param({"train/loss": 0.5}, TrainRow, id="train loss"),
        pytest.param({"train/epoch": 0.5}, TrainRow, id="train row that lost its loss"),
    ],
)
def test_eval_rows_are_told_from_train_rows(row: dict[str, object], kind: type) -> None:
    assert isinstance(rows({"train/global_step": 3, **row})[0], kind)


def test_unpublished_keys_are_told_once_each() -> None:
    extra = {"train/global_step": 1, "train/rewards/chosen": 0.1, "eval/kl": 2, "other": 1}
    found = mapping.metrics([extra, extra], ID, AT)

    assert [(drift.what, drift.word) for drift in found.drift] == [
        ("metric", "eval/kl"), ("metric", "other"), ("metric", "train/rewards/chosen"),
    ]  # fmt: skip


def test_an_answer_full_of_new_words_is_told_up_to_a_bound() -> None:
    found = mapping.metrics([{"train/global_step": 1, **{f"{'k' * 300}{n}": n for n in range(500)}}], ID, AT)

    assert 0 < len(found.drift) <= 50
    assert all(len(drift.word) <= 100 for drift in found.drift)


# --- checkpoints and identity


def test_checkpoints_are_newest_first_with_what_from_checkpoint_takes() -> None:
    found = mapping.checkpoints(body("checkpoints_early_stopped")["data"][::-1], ID)

    assert [(entry.step, entry.final, entry.reference) for entry in found] == [
        (48, True, ID), (48, True, ID), (24, False, f"{ID}:24"),
    ]  # fmt: skip
    assert found[0].type == "Final Adapter"


def test_an_intermediate_checkpoint_without_a_step_is_left_out() -> None:
    items = [{"checkpoint_type": "INTERMEDIATE"}, {"checkpoint_type": "Final"}, None, {"step": 9}]
    found = mapping.checkpoints(items, ID)

    assert [(entry.step, entry.type) for entry in found] == [(None, "Final"), (9, "")]


@pytest.mark.parametrize(
    ("value", "project", "organization"),
    [
        ({"type": "project_api_key", "project": {"id": "p", "name": "n"}, "organization": {"id": "o"}}, "n", "o"),
        ({"type": "org_api_key", "organization": {"id": "o", "name": "Acme"}}, None, "Acme"),
        ({"project": {"id": "p", "slug": "s"}, "organization": "Acme"}, "s", "Acme"),
        ({}, None, None),
    ],
    ids=["project key", "organization key", "short forms", "nothing"],
)
def test_identities(value: dict[str, object], project: str | None, organization: str | None) -> None:
    found = mapping.identity(value)

    assert (found.project_name, found.organization) == (project, organization)


# --- any JSON at all


@given(st.lists(ANY_JSON | st.dictionaries(JOB_KEYS, ANY_JSON), max_size=5))
def test_no_list_costs_the_job_beside_it(items: list[object]) -> None:
    found = mapping.listing([*items, job()], AT)

    assert ID in [entry.job_id for entry in found.jobs]


@given(st.dictionaries(JOB_KEYS, ANY_JSON), st.lists(st.dictionaries(EVENT_KEYS, ANY_JSON) | ANY_JSON, max_size=5))
def test_no_job_raises(value: dict[str, object], log: list[object]) -> None:
    mapping.detail(value | {"events": log}, ID, AT)


@given(st.lists(st.dictionaries(ROW_KEYS, ANY_JSON) | ANY_JSON, max_size=5))
def test_every_row_is_read_or_counted(items: list[object]) -> None:
    found = mapping.metrics(items, ID, AT)

    assert len(found.rows) + found.bad == len(items)


@given(st.lists(ANY_JSON, max_size=5), st.dictionaries(st.sampled_from(["project", "organization"]), ANY_JSON))
def test_no_checkpoint_and_no_identity_raises(items: list[object], value: dict[str, object]) -> None:
    mapping.checkpoints(items, ID)
    mapping.identity(value)
