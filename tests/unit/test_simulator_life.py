"""The life of a simulated job, told as a timeline; the clock stands still between the lines."""

from pathlib import Path

import pytest

from tests.simulated import TRAINING, Simulated, a_run, write_curves


@pytest.fixture
def sim(tmp_path: Path) -> Simulated:
    return Simulated(write_curves(tmp_path / "c.jsonl", a_run(job={"n_epochs": 2, "n_checkpoints": 2})), speed=10)


async def test_the_clock_starts_with_the_first_request_that_has_a_key(sim: Simulated) -> None:
    sim.clock.advance(3600)
    refused = await sim.http.get("/v1/fine-tunes", headers={"Authorization": "Bearer "})
    sim.clock.advance(3600)

    job = (await sim.jobs())["run"]

    assert refused.status_code == 401
    assert refused.json()["error"]["message"]
    assert job["status"] == "pending"
    assert job["started_at"] is None
    assert job["created_at"] == "2026-11-18T13:06:40Z"


async def test_a_job_goes_through_every_status_to_completed(sim: Simulated) -> None:
    seen: list[str] = []
    for _ in range(60):
        status = (await sim.jobs())["run"]["status"]
        seen += [status] if status not in seen[-1:] else []
        sim.clock.advance(0.1)

    assert seen == ["pending", "queued", "running", "uploading", "compressing", "completed"]


async def test_price_plan_and_tokens_are_known_once_the_data_was_counted(sim: Simulated) -> None:
    job_id = await sim.id_of("run")
    sim.clock.advance(1.1)
    downloading = await sim.job(job_id)
    sim.clock.advance(0.3)
    tokenised = await sim.job(job_id)

    assert (downloading["status"], downloading["total_price"], downloading["token_count"]) == ("running", None, None)
    assert "total_steps" not in downloading
    assert (tokenised["total_price"], tokenised["total_steps"]) == (4_000_000_000, 20)


async def test_rows_come_out_at_the_speed_and_an_evaluation_with_its_step(sim: Simulated) -> None:
    job_id = await sim.id_of("run")
    sim.clock.advance(TRAINING + 0.09)
    none_yet = await sim.rows(job_id)
    sim.clock.advance(0.40)
    four = await sim.rows(job_id)
    sim.clock.advance(0.01)
    five = await sim.rows(job_id)

    assert none_yet == []
    assert [row["train/global_step"] for row in four] == [1, 2, 3, 4]
    assert set(four[0]) == {
        "timestamp", "train/global_step", "train/epoch", "train/loss", "train/grad_norm", "train/learning_rate",
    }  # fmt: skip
    assert set(five[-1]) == {"timestamp", "train/global_step", "train/epoch", "eval/loss"}
    assert [row["train/global_step"] for row in five[-2:]] == [5, 5]
    assert five[-2]["timestamp"] < five[-1]["timestamp"] == sim.clock.ns
    assert five[-1]["train/epoch"] == 0.5


async def test_the_log_tells_the_whole_story_in_upper_case(sim: Simulated) -> None:
    job_id = await sim.id_of("run")
    sim.clock.advance(60)
    events = (await sim.job(job_id))["events"]

    assert [event["type"] for event in events] == [
        "JOB_PENDING", "JOB_START", "MODEL_DOWNLOAD_COMPLETE", "TRAINING_DATA_DOWNLOAD_COMPLETE", "TRAINING_START",
        "EPOCH_COMPLETE", "CHECKPOINT_SAVE", "EPOCH_COMPLETE", "CHECKPOINT_SAVE", "TRAINING_COMPLETE",
        "MODEL_UPLOADING", "COMPRESSING_MODEL", "MODEL_COMPRESSION_COMPLETE", "MODEL_UPLOAD_COMPLETE", "JOB_COMPLETE",
    ]  # fmt: skip
    assert [event["step"] for event in events if event["type"] == "CHECKPOINT_SAVE"] == [10, 20]
    assert next(event["total_steps"] for event in events if event["type"] == "TRAINING_START") == 20
    assert {event["level"] for event in events} == {"", "info", "legacy_info"}
    assert events == (await sim.ask(f"/fine-tunes/{job_id}/events"))["data"]


async def test_a_completed_job_has_a_name_counts_and_checkpoints(sim: Simulated) -> None:
    job_id = await sim.id_of("run")
    sim.clock.advance(60)
    job = await sim.job(job_id)
    checkpoints = (await sim.ask(f"/fine-tunes/{job_id}/checkpoints"))["data"]

    assert job["model_output_name"] == f"simulated/byte-level-gpt-run-{job_id[3:11]}"
    assert (job["steps_completed"], job["evals_completed"], job["epochs_completed"]) == (20, 4, 2)
    assert [(c["step"], c["checkpoint_type"]) for c in checkpoints] == [(10, "Intermediate (step 10)"), (20, "Final")]


async def test_progress_is_a_total_counted_from_the_start_of_the_stage(sim: Simulated) -> None:
    job_id = await sim.id_of("run")
    sim.clock.advance(TRAINING)
    at_start = await sim.job(job_id)
    sim.clock.advance(1)
    later = await sim.job(job_id)

    assert at_start["progress"] == later["progress"] == {"estimate_available": True, "seconds_remaining": 2.5}
    assert at_start["started_at"] == later["started_at"] == "2026-11-18T11:06:41Z"


async def test_an_unknown_plan_is_never_told(tmp_path: Path) -> None:
    sim = Simulated(write_curves(tmp_path / "c.jsonl", a_run(config={})))
    job_id = await sim.id_of("run")
    sim.clock.advance(TRAINING + 1)
    text = (await sim.http.get(f"/v1/fine-tunes/{job_id}")).text
    job = await sim.job(job_id)

    assert job["status"] == "running"
    assert "total_steps" not in text
    assert not {"n_evals", "training_method", "eval_steps"} & set(job)
    assert job["progress"] == {"estimate_available": False, "seconds_remaining": 0}
    assert "train/epoch" not in (await sim.rows(job_id))[0]


async def test_what_only_a_request_would_say_stays_out_of_the_answers_for_bare_curves(sim: Simulated) -> None:
    """Replay knows no learning rate that was asked for; a job that tells one could be judged otherwise."""
    listed = (await sim.jobs())["run"]

    assert not {"learning_rate", "lr_scheduler", "warmup_ratio"} & set(listed)
    assert listed["training_method"] == {"method": "sft"}
    assert listed["events"] == []
    assert not {"total_steps", "steps_completed", "queue_depth"} & set(listed)


async def test_a_lower_step_is_a_restart_with_newer_stamps_and_both_attempts_stay(tmp_path: Path) -> None:
    train = [[step, 1.0, None, None] for step in (*range(1, 9), *range(5, 13))]
    sim = Simulated(write_curves(tmp_path / "c.jsonl", a_run(train=train, eval=[[6, 2.0], [12, 1.5]])))
    job_id = await sim.id_of("run")
    sim.clock.advance(60)
    rows = await sim.rows(job_id)
    again = await sim.rows(job_id, global_step_from=5, global_step_to=6)

    stamps = [row["timestamp"] for row in rows]
    steps = [row["train/global_step"] for row in rows]
    assert stamps == sorted(set(stamps))
    assert [step for step in steps if step == 5] == [5, 5]
    assert [row["train/global_step"] for row in again] == [5, 6, 6, 5, 6]
    assert rows[0]["train/grad_norm"] is None


async def test_the_queue_counts_down(sim: Simulated) -> None:
    job_id = await sim.id_of("run")
    sim.clock.advance(0.5)
    depths = []
    for _ in range(5):
        depths.append((await sim.job(job_id))["queue_depth"])
        sim.clock.advance(0.1)

    assert (depths[0], depths[-1]) == (3, 1)
    assert depths == sorted(depths, reverse=True)


async def test_a_run_without_rows_completes(tmp_path: Path) -> None:
    sim = Simulated(write_curves(tmp_path / "c.jsonl", a_run(train=[], eval=[])))
    job_id = await sim.id_of("run")
    sim.clock.advance(60)

    assert (await sim.job(job_id))["status"] == "completed"
    assert await sim.rows(job_id) == []
