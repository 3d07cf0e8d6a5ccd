"""How simulated jobs end other than by completing."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.simulated import Simulated, a_run, write_curves


def _sim(tmp_path: Path, **fate: Any) -> Simulated:
    return Simulated(write_curves(tmp_path / "c.jsonl", a_run(fate=fate)))


async def _at_the_end(sim: Simulated) -> Any:
    job_id = await sim.id_of("run")
    sim.clock.advance(60)
    return await sim.job(job_id)


async def test_a_user_error_comes_before_the_first_step_and_says_why(tmp_path: Path) -> None:
    sim = _sim(tmp_path, kind="user_error", message="Line 3 is not valid JSON")
    job = await _at_the_end(sim)

    assert (job["status"], job["total_price"], job["steps_completed"]) == ("user_error", None, 0)
    assert await sim.rows(job["id"]) == []
    last = job["events"][-1]
    assert (last["type"], last["level"], last["message"]) == (
        "JOB_USER_ERROR", "legacy_ierror", "Line 3 is not valid JSON",
    )  # fmt: skip


async def test_a_billing_limit_cancels_amid_the_run(tmp_path: Path) -> None:
    job = await _at_the_end(_sim(tmp_path, kind="billing", at_step=8))

    assert (job["status"], job["steps_completed"]) == ("cancelled", 8)
    assert [event["type"] for event in job["events"]][-2:] == ["BILLING_LIMIT", "JOB_STOPPED"]


async def test_a_stalled_job_stays_running_and_says_nothing_more(tmp_path: Path) -> None:
    sim = _sim(tmp_path, kind="stall", at_step=8)
    job = await _at_the_end(sim)
    sim.clock.advance(3600)
    later = await sim.job(job["id"])

    assert (job["status"], job["steps_completed"]) == ("running", 8)
    assert later == job


async def test_a_deleted_job_is_in_no_list_and_answers_404(tmp_path: Path) -> None:
    sim = _sim(tmp_path, kind="deleted", at_step=8)
    job_id = await sim.id_of("run")
    sim.clock.advance(2.0)
    before = await sim.job(job_id)
    sim.clock.advance(60)

    assert before["status"] == "running"
    assert await sim.jobs() == {}
    assert (await sim.http.get(f"/v1/fine-tunes/{job_id}")).status_code == 404
    assert (await sim.cancel(job_id)).status_code == 404


async def test_a_long_queue_is_waited_through_before_anything_runs(tmp_path: Path) -> None:
    sim = _sim(tmp_path, queue_seconds=9.0)
    job_id = await sim.id_of("run")
    seen = []
    for _ in range(5):
        sim.clock.advance(2.2)
        job = await sim.job(job_id)
        seen.append((job["status"], job["queue_depth"]))

    assert seen == [("queued", 3), ("queued", 2), ("queued", 2), ("queued", 1), ("running", 0)]
    assert await sim.rows(job_id)


async def test_an_internal_error_restarts_the_run_as_a_new_job(tmp_path: Path) -> None:
    sim = _sim(tmp_path, kind="restart", at_step=8)
    first_id = await sim.id_of("run")
    sim.clock.advance(2.0)
    before = (await sim.ask("/fine-tunes"))["data"]
    sim.clock.advance(60)
    listed = {job["id"]: job for job in (await sim.ask("/fine-tunes"))["data"]}
    first = await sim.job(first_id)

    assert len(before) == 1
    assert (first["status"], first["steps_completed"]) == ("error", 8)
    assert [event["type"] for event in first["events"]][-3:] == ["JOB_ERROR", "JOB_RESTARTED", "REFUND"]
    named = re.search(r"ft-[0-9a-f-]{36}", first["events"][-2]["message"])
    assert named is not None
    assert listed[named[0]]["status"] == "completed"
    assert listed[named[0]]["suffix"] == "run"
    assert len(listed) == 2


async def test_a_restart_that_a_cancel_prevented_never_shows(tmp_path: Path) -> None:
    sim = _sim(tmp_path, kind="restart", at_step=18)
    job_id = await sim.id_of("run")
    sim.clock.advance(1.6)
    await sim.cancel(job_id)
    sim.clock.advance(60)

    assert [job["status"] for job in (await sim.ask("/fine-tunes"))["data"]] == ["cancelled"]


async def test_early_stopping_halts_refunds_and_ships_the_best(tmp_path: Path) -> None:
    losses = [0.61, 0.50, 0.45, 0.4213, 0.4301, 0.4388, 0.1, 0.1, 0.1, 0.1]
    evals = [[12 * n, loss] for n, loss in enumerate(losses, start=1)]
    run = a_run(steps=120, eval=evals, fate={"kind": "early_stop"})
    sim = Simulated(write_curves(tmp_path / "c.jsonl", run))
    job = await _at_the_end(sim)
    checkpoints = (await sim.ask(f"/fine-tunes/{job['id']}/checkpoints"))["data"]

    assert (job["status"], job["early_stopped"]) == ("completed", True)
    assert (job["early_stopping_best_step"], job["early_stopping_best_metric"]) == (48, 0.4213)
    assert (job["steps_completed"], job["total_steps"], job["evals_completed"]) == (72, 120, 6)
    by_type = {event["type"]: event for event in job["events"]}
    assert by_type["EARLY_STOPPED"]["step"] == 72
    assert by_type["EARLY_STOPPED"]["early_stopping_best_metric_value"] == 0.4213
    assert by_type["REFUND"]["message"] == "Refund for 48 unused steps"
    assert [c["step"] for c in checkpoints if c["checkpoint_type"] == "Final"] == [48]


async def test_early_stopping_without_a_reason_changes_nothing(tmp_path: Path) -> None:
    job = await _at_the_end(_sim(tmp_path, kind="early_stop"))

    assert (job["early_stopped"], job["steps_completed"], job["early_stopping_best_step"]) == (False, 20, None)


async def test_a_warning_and_a_late_name_come_as_told(tmp_path: Path) -> None:
    sim = _sim(tmp_path, warning="Samples were cut", name_delay=2.0)
    job_id = await sim.id_of("run")
    sim.clock.advance(1.5 + 2.0 + 1.0)
    unnamed = await sim.job(job_id)
    sim.clock.advance(2.0)
    named = await sim.job(job_id)

    assert (unnamed["status"], unnamed["model_output_name"]) == ("completed", None)
    assert named["model_output_name"]
    assert ("legacy_iwarning", "Samples were cut") in [(e["level"], e["message"]) for e in named["events"]]


@pytest.mark.parametrize(
    ("suffix", "status", "kinds"),
    [
        ("healthy-a", "completed", {"JOB_COMPLETE"}),
        ("healthy-b", "completed", {"JOB_COMPLETE"}),
        ("noisy", "completed", {"WARNING", "JOB_COMPLETE"}),
        ("diverging-a", "completed", {"JOB_COMPLETE"}),
        ("diverging-b", "completed", {"JOB_COMPLETE"}),
        ("spike", "completed", {"JOB_COMPLETE"}),
        ("nan", "completed", {"JOB_COMPLETE"}),
        ("nan-filtered", "completed", {"JOB_COMPLETE"}),
        ("stuck", "completed", {"JOB_COMPLETE"}),
        ("overfitting", "completed", {"JOB_COMPLETE"}),
        ("early-stopped", "completed", {"EARLY_STOPPED", "REFUND"}),
        ("user-error", "user_error", {"JOB_USER_ERROR"}),
        ("billing", "cancelled", {"BILLING_LIMIT", "JOB_STOPPED"}),
        ("stalled", "running", {"CHECKPOINT_SAVE"}),
        ("dpo", "completed", {"JOB_COMPLETE"}),
        ("restarted", "completed", {"JOB_COMPLETE"}),
        ("gradients", "completed", {"JOB_COMPLETE"}),
        ("queued", "completed", {"JOB_COMPLETE"}),
    ],
)
async def test_every_packaged_run_ends_as_its_name_says(suffix: str, status: str, kinds: set[str]) -> None:
    sim = Simulated(speed=100)
    await sim.jobs()
    sim.clock.advance(120)
    job = (await sim.jobs())[suffix]

    assert job["status"] == status
    assert kinds <= set(await sim.event_types(job["id"]))


async def test_the_packaged_nan_runs_show_bare_tokens_and_the_disguise() -> None:
    sim = Simulated(speed=100)
    await sim.jobs()
    sim.clock.advance(120)
    ids = {suffix: job["id"] for suffix, job in (await sim.jobs()).items()}
    bare = (await sim.http.get(f"/v1/fine-tunes/{ids['nan']}/metrics")).text
    disguised = (await sim.http.get(f"/v1/fine-tunes/{ids['nan-filtered']}/metrics?global_step_from=50")).text

    assert '"train/loss": NaN' in bare
    assert '"train/loss": 0.0, "train/grad_norm": null' in disguised
    assert '"train/loss": NaN' not in disguised
