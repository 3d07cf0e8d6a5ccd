"""The simulator's refusals, cancels, filters and side calls."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.simulated import TRAINING, Simulated, a_run, write_curves

EXAMPLES = json.loads((Path(__file__).parents[1] / "data" / "together-api-examples.json").read_text())


@pytest.fixture
def sim(tmp_path: Path) -> Simulated:
    return Simulated(write_curves(tmp_path / "c.jsonl", a_run("a"), a_run("b")), cancel_seconds=1.0)


async def test_a_cancel_is_requested_then_takes_hold_and_rows_end(sim: Simulated) -> None:
    job_id = await sim.id_of("a")
    sim.clock.advance(TRAINING + 0.5)
    answer = await sim.cancel(job_id)
    at_once = await sim.job(job_id)
    sim.clock.advance(60)
    later = await sim.job(job_id)

    assert (answer.status_code, answer.json()["status"], answer.json()["events"]) == (200, "cancel_requested", [])
    assert at_once["status"] == "cancel_requested"
    assert (later["status"], later["steps_completed"]) == ("cancelled", 15)
    assert [event["type"] for event in later["events"]][-2:] == [
        "CANCEL_REQUESTED",
        "JOB_STOPPED",
    ] or "JOB_STOPPED" in [event["type"] for event in later["events"]]
    assert "JOB_COMPLETE" not in [event["type"] for event in later["events"]]


@pytest.mark.parametrize(
    ("seconds", "code"),
    [
        pytest.param(0.0, 200, id="pending"),
        pytest.param(0.6, 200, id="queued"),
        pytest.param(1.1, 200, id="running before the first row"),
        pytest.param(3.8, 200, id="uploading"),
        pytest.param(4.2, 200, id="compressing"),
        pytest.param(60.0, 400, id="completed"),
    ],
)
async def test_what_can_be_cancelled(sim: Simulated, seconds: float, code: int) -> None:
    job_id = await sim.id_of("a")
    sim.clock.advance(seconds)
    answer = await sim.cancel(job_id)

    assert answer.status_code == code
    assert code == 200 or set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_a_second_cancel_is_refused_and_both_are_in_the_log(sim: Simulated) -> None:
    job_id = await sim.id_of("a")
    first, second = await sim.cancel(job_id), await sim.cancel(job_id)
    sim.clock.advance(60)
    third = await sim.cancel(job_id)

    assert [answer.status_code for answer in (first, second, third)] == [200, 400, 400]
    cancels = [line for line in sim.logged() if line["path"].endswith("/cancel")]
    assert [(line["job"], line["took_effect"]) for line in cancels] == [
        (job_id, True),
        (job_id, False),
        (job_id, False),
    ]


async def test_completion_overtakes_a_cancel_that_came_too_late(sim: Simulated) -> None:
    job_id = await sim.id_of("a")
    sim.clock.advance(4.2)
    await sim.cancel(job_id)
    asked = (await sim.job(job_id))["status"]
    sim.clock.advance(2)
    job = await sim.job(job_id)

    assert asked == "cancel_requested"
    assert job["status"] == "completed"
    assert job["model_output_name"]


async def test_a_deleted_job_is_gone_everywhere(sim: Simulated) -> None:
    job_id = await sim.id_of("a")
    deleted = await sim.http.delete(f"/v1/fine-tunes/{job_id}")
    codes = [(await sim.http.get(f"/v1/fine-tunes/{job_id}{tail}")).status_code for tail in ("", "/events", "/metrics")]

    assert deleted.json() == EXAMPLES["delete_response"]["body"]
    assert codes == [404, 404, 404]
    assert set(await sim.jobs()) == {"b"}
    assert (await sim.cancel(job_id)).status_code == 404


@pytest.mark.parametrize(
    ("query", "steps"),
    [
        pytest.param({"global_step_from": 18}, [18, 19, 20, "e20"], id="from is inclusive"),
        pytest.param({"global_step_to": 5}, [1, 2, 3, 4, 5, "e5"], id="to is inclusive"),
        pytest.param({"global_step_from": 5, "global_step_to": 6}, [5, "e5", 6], id="both"),
        pytest.param({"global_step_from": 21}, [], id="beyond the end"),
        pytest.param({"resolution": 2}, [1, "e5", "e10", 11, "e15", "e20"], id="evaluations are never thinned"),
        pytest.param({"resolution": 0, "global_step_to": 2}, [1, 2], id="no resolution"),
    ],
)
async def test_filters(sim: Simulated, query: dict[str, Any], steps: list[int | str]) -> None:
    job_id = await sim.id_of("a")
    sim.clock.advance(60)
    rows = await sim.rows(job_id, **query)

    assert steps == [f"e{r['train/global_step']}" if "eval/loss" in r else r["train/global_step"] for r in rows]


async def test_rows_by_time(sim: Simulated) -> None:
    job_id = await sim.id_of("a")
    sim.clock.advance(60)
    rows = await sim.rows(job_id)
    microsecond = 1000
    begin, end = rows[3]["timestamp"], rows[7]["timestamp"]
    assert begin % microsecond == end % microsecond == 0
    told = await sim.rows(job_id, logged_at_from=_iso(begin), logged_at_to=_iso(end).replace("+00:00", "Z"))

    assert told == rows[3:8]


def _iso(ns: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)).isoformat()


@pytest.mark.parametrize(
    "query",
    ["global_step_from=x", "resolution=1.5", "logged_at_from=yesterday", "logged_at_to=2026-01-01T00:00:00+00:00"],
)
async def test_a_query_that_is_none_is_refused(sim: Simulated, query: str) -> None:
    """The last one is what becomes of a `+` that nobody encoded: a space."""
    job_id = await sim.id_of("a")
    answer = await sim.http.get(f"/v1/fine-tunes/{job_id}/metrics?{query}")

    assert answer.status_code == 400
    assert "Invalid query" in answer.json()["error"]["message"]


async def test_ids_are_the_same_in_every_process_and_the_order_is_not(sim: Simulated, tmp_path: Path) -> None:
    again = Simulated(write_curves(tmp_path / "c.jsonl", a_run("a"), a_run("b")))
    orders = {tuple(job["id"] for job in (await sim.ask("/fine-tunes"))["data"]) for _ in range(4)}

    assert await sim.id_of("a") == await again.id_of("a")
    assert (await sim.id_of("a")).startswith("ft-")
    assert len(orders) > 1


async def test_a_job_is_made_from_a_run_with_the_knobs_it_asks_for(sim: Simulated) -> None:
    body = {"training_file": "file-a", "model": "some/model", "suffix": "mine", "early_stopping_enabled": True}
    made = (await sim.http.post("/v1/fine-tunes", json=body)).json()
    no_run = await sim.http.post("/v1/fine-tunes", json={"training_file": "z"})
    no_body = await sim.http.post("/v1/fine-tunes", content=b"[]")
    bad = await sim.http.post("/v1/fine-tunes", json={**body, "early_stopping_patience": 0})

    assert (made["status"], made["suffix"], made["model"]) == ("pending", "mine", "some/model")
    assert made["id"] in [job["id"] for job in (await sim.ask("/fine-tunes"))["data"]]
    assert [answer.status_code for answer in (no_run, no_body, bad)] == [400, 400, 400]


async def test_the_calls_beside_jobs(sim: Simulated) -> None:
    job_id = await sim.id_of("a")
    early = await sim.http.get("/v1/finetune/download", params={"ft_id": job_id})
    sim.clock.advance(60)
    late = await sim.http.get("/v1/finetune/download", params={"ft_id": job_id, "checkpoint_step": 5})
    missing = await sim.http.get("/v1/finetune/download", params={"ft_id": "ft-0"})
    unknown = await sim.http.get("/v1/fine-tunes/models/limits", params={"model_name": "no/model"})
    estimate = await sim.http.post("/v1/fine-tunes/estimate-price", json={"training_file": "a"})

    assert (early.status_code, late.status_code, missing.status_code) == (400, 200, 404)
    assert late.headers["content-type"] == "application/octet-stream"
    assert (unknown.status_code, unknown.json()) == (404, EXAMPLES["error_body_no_wrapper"]["body"])
    assert set(estimate.json()) == set(EXAMPLES["estimate_available"]["body"])
    assert (await sim.http.get("/v3/whoami")).json() == (await sim.http.get("/v1/whoami")).json()
    assert (await sim.ask("/projects"))["data"][0]["slug"] == "simulated"
    assert (await sim.http.get("/v1/nothing")).json()["error"]["message"]
    assert (await sim.http.post("/v1/fine-tunes/estimate-price", json={})).status_code == 400


async def test_answers_have_the_shape_of_the_examples() -> None:
    """Every key that the simulator sends is one that the examples or the field lists of the API know."""
    sim = Simulated(speed=100)
    listed = await sim.jobs()
    sim.clock.advance(120)
    job_id = listed["early-stopped"]["id"]
    done = await sim.job(job_id)
    example = EXAMPLES["retrieve_early_stopped"]["body"] | EXAMPLES["retrieve_running"]["body"]
    wire = {key for event in EXAMPLES["events_early_stopped_refund_wire_case"]["body"]["data"] for key in event}
    checkpoint = EXAMPLES["checkpoints_early_stopped"]["body"]["data"][0]
    short = set().union(*EXAMPLES["list"]["body"]["data"]) | {"max_seq_length", "random_seed"}
    row = set().union(*EXAMPLES["metrics_docs_sample"]["body"]["metrics"])

    assert set(listed["early-stopped"]) <= short
    assert set(done) <= set(example)
    assert {key for event in done["events"] for key in event} == wire
    for found in (await sim.ask(f"/fine-tunes/{job_id}/checkpoints"))["data"]:
        assert set(found) <= set(checkpoint)
    assert set().union(*await sim.rows(job_id)) == row
