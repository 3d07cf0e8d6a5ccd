"""The official SDK against the simulator over loopback: a client that we did not write understands it."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from together import APIStatusError, AsyncTogether, NotFoundError, Together
from together.lib.cli import app as cli

from tests.simulated import KEY, NsClock, running_simulator
from watcher.domain.checkpoints import Place
from watcher.domain.continuing import continuation
from watcher.providers.together import mapping


@pytest.fixture
def clock() -> NsClock:
    return NsClock()


@pytest.fixture
def url(clock: NsClock) -> Iterator[str]:
    with running_simulator(clock=clock, speed=100) as base_url:
        yield base_url


@pytest.fixture
def sdk(url: str) -> Iterator[Together]:
    # The SDK adds the /v1 itself.
    with Together(api_key=KEY, base_url=url.removesuffix("/v1"), max_retries=0) as client:
        yield client


def _ids(sdk: Together) -> dict[str, str]:
    return {str(_raw(job)["suffix"]): job.id for job in sdk.fine_tuning.list().data}


def _raw(model: Any) -> dict[str, Any]:
    return dict(model.model_dump())


def test_the_whole_life_through_the_sdk(sdk: Together, clock: NsClock) -> None:
    ids = _ids(sdk)
    clock.advance(120)
    job = sdk.fine_tuning.retrieve(ids["healthy-a"])
    events = sdk.fine_tuning.list_events(job.id).data
    metrics = sdk.fine_tuning.list_metrics(job.id, global_step_from=147, resolution=50).metrics
    checkpoints = sdk.fine_tuning.list_checkpoints(job.id).data

    assert len(ids) == 19
    assert (job.status, _raw(job)["total_steps"]) == ("completed", 148)
    assert [event.type for event in events][::100] == ["JOB_PENDING"]
    assert metrics is not None
    assert [row["train/global_step"] for row in metrics] == [147, 148]
    assert [checkpoint.step for checkpoint in checkpoints] == [37, 74, 111, 148, 148]


def test_metrics_with_bare_tokens_and_nulls_do_not_break_the_sdk(sdk: Together, clock: NsClock) -> None:
    ids = _ids(sdk)
    clock.advance(120)
    bare = sdk.fine_tuning.list_metrics(ids["nan"]).metrics
    nulls = sdk.fine_tuning.list_metrics(ids["nan-filtered"]).metrics

    assert bare is not None
    assert nulls is not None
    assert any(row.get("train/loss", 0.0) != row.get("train/loss", 0.0) for row in bare)
    assert nulls[-1]["train/global_step"] == 109


def test_cancel_twice_and_delete_through_the_sdk(sdk: Together) -> None:
    job_id = _ids(sdk)["diverging-a"]
    answer = sdk.fine_tuning.cancel(job_id)
    with pytest.raises(APIStatusError) as refused:
        sdk.fine_tuning.cancel(job_id)
    sdk.fine_tuning.delete(job_id)
    with pytest.raises(NotFoundError):
        sdk.fine_tuning.retrieve(job_id)

    assert answer.status == "cancel_requested"
    assert refused.value.status_code == 400


def test_a_job_is_made_through_the_sdk(sdk: Together) -> None:
    """Create asks for limits and a price first, so this covers both."""
    made = sdk.fine_tuning.create(training_file="healthy-a", model="simulated/byte-level-gpt", suffix="mine")

    assert made.id in _ids(sdk).values()
    assert _ids(sdk)["mine"] == made.id


def test_the_command_that_goes_on_from_a_checkpoint_is_taken_by_the_official_cli_and_makes_a_job(
    sdk: Together, clock: NsClock
) -> None:
    """Parsed by the CLI's own `create`, whose arguments are those of the SDK."""
    old = _ids(sdk)["healthy-a"]
    clock.advance(120)
    told = _raw(sdk.fine_tuning.retrieve(old))
    job = mapping.detail(told | {"status": "cancelled"}, old, datetime.now(UTC))
    assert job is not None
    command = shlex.split(continuation(replace(job.snapshot, suffix="bot v4 =x"), Place(111, 1.8)).command)
    _, bound, _ = cli.parse_args(command[1:], exit_on_error=False, print_error=False)
    made = sdk.fine_tuning.create(**bound.arguments)

    found = _raw(sdk.fine_tuning.retrieve(made.id))
    assert command[0] == "together"
    assert (found["from_checkpoint"], found["model"]) == (f"{old}:111", told["model"])
    assert found["learning_rate"] == pytest.approx(told["learning_rate"] / 2, rel=1e-3)
    assert _ids(sdk)["bot v4 =x"] == made.id


def test_a_checkpoint_that_is_not_there_makes_no_job(sdk: Together, clock: NsClock) -> None:
    old = _ids(sdk)["healthy-a"]
    clock.advance(1.2)
    for checkpoint in (f"{old}:5", old, "ft-nobody:37", "nobody"):
        with pytest.raises(APIStatusError):
            sdk.fine_tuning.create(training_file="healthy-a", from_checkpoint=checkpoint)


async def test_the_async_sdk_sees_the_same(url: str, clock: NsClock) -> None:
    async with AsyncTogether(api_key=KEY, base_url=url.removesuffix("/v1"), max_retries=0) as sdk:
        who = await sdk.whoami()
        jobs = (await sdk.fine_tuning.list()).data
        clock.advance(120)
        job = next(job for job in jobs if _raw(job)["suffix"] == "early-stopped")
        full = await sdk.fine_tuning.retrieve(job.id)
        metrics = (await sdk.fine_tuning.list_metrics(job.id)).metrics or []
        events = (await sdk.fine_tuning.list_events(job.id)).data
        checkpoints = (await sdk.fine_tuning.list_checkpoints(job.id)).data
        cancelled = await sdk.fine_tuning.cancel(next(job.id for job in jobs if _raw(job)["suffix"] == "stalled"))

    assert who.type == "project_api_key"
    assert full.early_stopped
    assert full.early_stopping_best_step == 99
    assert max(row["train/global_step"] for row in metrics) == 121
    assert "EARLY_STOPPED" in [event.type for event in events]
    assert {checkpoint.step for checkpoint in checkpoints} == {58, 117, 99}
    assert cancelled.status == "cancel_requested"


def test_a_cut_answer_breaks_a_real_connection() -> None:
    """Of sixty answers, all faulty, some end amid the body: the client must notice from the length."""
    broken = 0
    with running_simulator(faults=1.0, seed=5) as url, httpx.Client(headers={"Authorization": f"Bearer {KEY}"}) as http:
        for _ in range(60):
            try:
                http.get(f"{url}/fine-tunes")
            except httpx.RemoteProtocolError:
                broken += 1

    assert broken > 0
