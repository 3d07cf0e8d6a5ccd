"""The Together client against the simulator over loopback: two readings of one description have to agree."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loopback import SkippingClock
from tests.simulated import KEY, TRAINING, NsClock, a_run, running_simulator, write_curves
from tests.together import without_network_settings
from watcher.domain.observations import EvalRow, Status, TrainRow, finite
from watcher.providers.together import Limits, TogetherProvider
from watcher.service.errors import FailureReason, ProviderError

AFTERWARDS = 1000.0
KNOWN_METHODS = {"sft", "dpo"}


@pytest.fixture(autouse=True)
def no_network_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    without_network_settings(monkeypatch)


@pytest.fixture
def sim() -> NsClock:
    return NsClock()


@pytest.fixture
def packaged(sim: NsClock) -> Iterator[str]:
    """The runs that come with the program, a second a stage, ten steps a second."""
    with running_simulator(clock=sim) as url:
        yield url


@pytest.fixture
def one(sim: NsClock, tmp_path: Path) -> Iterator[str]:
    """One run of twenty steps with four evaluations."""
    with running_simulator(curves=write_curves(tmp_path / "runs.jsonl", a_run()), clock=sim, speed=1.0) as url:
        yield url


def client_of(url: str, **limits: float) -> TogetherProvider:
    return TogetherProvider(
        account="acme",
        api_key=KEY,
        clock=SkippingClock(),
        base_url=url,
        limits=Limits(**{"per_second": 1e6, "burst": 1000} | limits),  # type: ignore[arg-type]
    )


async def test_every_job_is_read_whole_at_every_age(packaged: str, sim: NsClock) -> None:
    client = client_of(packaged)
    statuses: set[Status] = set()
    for seconds in (0.0, 0.6, 1.2, 10.0, AFTERWARDS):
        sim.advance(seconds)
        listing = await client.list_jobs()
        assert (listing.bad, listing.drift) == (0, ())
        for listed in listing.jobs:
            detail = await client.get_job(listed.job_id)
            metrics = await client.get_metrics(listed.job_id)
            statuses.add(detail.snapshot.status)
            assert (detail.bad, detail.drift, metrics.torn) == (0, (), None)
            assert detail.snapshot.method in KNOWN_METHODS
            assert detail.snapshot.status is listed.status
            assert [event.at for event in detail.events] == sorted(event.at for event in detail.events)
            assert {drift.word for drift in metrics.drift} == set() or detail.snapshot.method == "dpo"
    await client.aclose()

    assert statuses >= {Status.RUNNING, Status.COMPLETED, Status.USER_ERROR, Status.ERROR, Status.CANCELLED}


async def test_rows_come_out_as_they_were_recorded(one: str, sim: NsClock) -> None:
    client = client_of(one)
    job_id = (await client.list_jobs()).jobs[0].job_id
    sim.advance(AFTERWARDS)
    rows = (await client.get_metrics(job_id)).rows
    await client.aclose()

    trained = [row for row in rows if isinstance(row, TrainRow)]
    evaluated = [row for row in rows if isinstance(row, EvalRow)]
    assert trained == [TrainRow(step, trained[step - 1].at_ns, 3.0 / step, 1.0, 1e-5) for step in range(1, 21)]
    assert [(row.step, row.loss) for row in evaluated] == [(step, 4.0 / step) for step in (5, 10, 15, 20)]
    assert all(row.at_ns > 10**18 for row in rows)


async def test_windows_give_the_same_rows_as_one_answer(one: str, sim: NsClock) -> None:
    client, in_windows = client_of(one), client_of(one, window=7)
    job_id = (await client.list_jobs()).jobs[0].job_id
    sim.advance(AFTERWARDS)
    at_once = await client.get_metrics(job_id)
    apart = await in_windows.get_metrics(job_id, last_step=20)
    later = await client.get_metrics(job_id, from_step=19)
    await client.aclose()
    await in_windows.aclose()

    assert apart.rows == at_once.rows
    assert later.rows == tuple(row for row in at_once.rows if row.step >= 19)


async def test_a_loss_that_is_no_number_arrives_as_none(packaged: str, sim: NsClock) -> None:
    client = client_of(packaged)
    nan = next(job for job in (await client.list_jobs()).jobs if job.suffix == "nan")
    sim.advance(AFTERWARDS)
    rows = (await client.get_metrics(nan.job_id)).rows
    await client.aclose()

    assert any(isinstance(row, TrainRow) and finite(row.loss) is None for row in rows)


async def test_an_early_stopped_job_names_its_best_checkpoint(packaged: str, sim: NsClock) -> None:
    client = client_of(packaged)
    stopped = next(job for job in (await client.list_jobs()).jobs if job.suffix == "early-stopped")
    sim.advance(AFTERWARDS)
    detail = await client.get_job(stopped.job_id)
    saved = await client.get_checkpoints(stopped.job_id)
    await client.aclose()
    stop = next(event for event in detail.events if event.type == "early_stopped")

    assert (detail.snapshot.early_stopped, detail.snapshot.best_step) == (True, stop.best_step)
    assert any(checkpoint.final and checkpoint.step == stop.best_step for checkpoint in saved)
    assert [checkpoint.step for checkpoint in saved] == sorted((c.step or 0 for c in saved), reverse=True)


async def test_a_cancel_is_taken_once(one: str, sim: NsClock) -> None:
    client = client_of(one)
    job_id = (await client.list_jobs()).jobs[0].job_id
    sim.advance(TRAINING + 5)
    taken = await client.cancel(job_id)
    with pytest.raises(ProviderError) as second:
        await client.cancel(job_id)
    sim.advance(60)
    ended = await client.get_job(job_id)
    await client.aclose()

    assert (taken.status, ended.snapshot.status) == (Status.CANCEL_REQUESTED, Status.CANCELLED)
    assert (second.value.reason, second.value.maybe_done) == (FailureReason.CLIENT, False)


async def test_a_deleted_job_is_not_found(one: str, sim: NsClock) -> None:
    client = client_of(one)
    job_id = (await client.list_jobs()).jobs[0].job_id
    sim.advance(AFTERWARDS)
    message = await client.delete(job_id)
    with pytest.raises(ProviderError) as caught:
        await client.get_job(job_id)
    await client.aclose()

    assert message
    assert caught.value.reason is FailureReason.NOT_FOUND


async def test_the_key_has_a_project(one: str) -> None:
    client = client_of(one)
    found = await client.whoami()
    await client.aclose()

    assert found.project_id
    assert found.project_name


async def test_with_every_third_request_gone_wrong_all_is_read(sim: NsClock) -> None:
    with running_simulator(clock=sim, faults=0.3, seed=7) as url:
        client = client_of(url, attempts=12, retry_budget=1e6)
        await client.list_jobs()
        sim.advance(20)
        jobs = (await client.list_jobs()).jobs
        read = [await client.get_metrics(job.job_id) for job in jobs]
        await client.aclose()

    assert len(read) == len(jobs) == 19  # of the 19 one was deleted, and one was made by a restart
    assert sum(bool(metrics.rows) for metrics in read) > 10


async def test_a_service_that_always_fails_gives_an_error_of_ours_and_nothing_else(sim: NsClock) -> None:
    with running_simulator(clock=sim, faults=1.0, seed=3) as url:
        client = client_of(url)
        for _ in range(20):
            with pytest.raises(ProviderError) as caught:
                await client.list_jobs()
            assert caught.value.retryable
        await client.aclose()
