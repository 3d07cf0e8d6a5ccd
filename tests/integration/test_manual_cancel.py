"""A person cancels: stored before it is posted, posted once, and told as it is."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import unseen
from tests.stored import a_proposal
from tests.timeline import JOB, SOMEBODY, Scene, between, firing, scene
from tests.toys import High
from watcher.domain.observations import Event, Status
from watcher.domain.rules.cancellation import Cancellation
from watcher.service.errors import ConfigError, FailureReason, StoreError
from watcher.service.manual import ManualCancel
from watcher.service.perform import SETTLE
from watcher.service.records import Effect, JobKey, NewEffect, Proposal, ProposalState
from watcher.store.sqlite import open_store

KEY = JobKey("main", JOB)


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Scene]:
    """A job that trains and was seen."""
    async with scene(tmp_path, rules=(Cancellation(), High())) as made:
        made.job()
        await made.run("2m")
        yield made


def by_hand(made: Scene) -> ManualCancel:
    return ManualCancel(
        store=made.store,
        clock=made.clock,
        sweepers={"main": made.sweeper}.get,
        provider_of={"main": made.provider}.get,
    )


async def cancel(made: Scene, job_id: str = JOB) -> dict[str, Any]:
    return await by_hand(made).cancel(job_id, SOMEBODY)


async def only_proposal(made: Scene) -> Proposal:
    (found,) = await made.proposals()
    return found


async def test_a_cancel_that_is_taken_is_followed_to_its_end_and_alarms_nobody(running: Scene) -> None:
    answer = await cancel(running)

    assert (answer["done"], answer["status"]) == (True, "cancel_requested")
    assert (await only_proposal(running)).posted_at is not None

    await running.run("30m")

    proposal = await only_proposal(running)
    assert (proposal.mode, proposal.state) == ("manual", ProposalState.CONFIRMED)
    assert proposal.detail.startswith("Cancelled at step 12. 188 of 200 steps were not run.")
    assert [post.status for post in running.provider.posts] == [200]
    assert running.messages == []


async def test_somebody_elses_cancel_is_still_told(running: Scene) -> None:
    running.at("3m", status=Status.CANCELLED, event="cancel_requested")
    running.expect(between("3m", "4m"), firing("cancellation"))

    await running.run("6m")


async def test_the_intent_and_whose_it_is_are_stored_before_the_post(running: Scene) -> None:
    seen = list[Any]()

    def look(_job: object) -> None:
        with open_store(running.directory / "watcher.db", create=False, query_only=True) as store:
            (proposal,) = store.read_now(lambda reads: reads.proposals(key=KEY))
            log = store.read_now(lambda reads: reads.observations(KEY))
        seen.append((proposal.state, proposal.posted_at, [o.type for _, o in log if isinstance(o, Event)]))

    running.provider.before_cancel = look
    await cancel(running)

    assert seen == [(ProposalState.REQUESTED, None, ["watcher_cancelled"])]


async def test_who_asks_twice_is_told_so_and_nothing_is_posted_again(running: Scene) -> None:
    await cancel(running)
    answer = await cancel(running)

    assert answer["done"]
    assert answer["text"].startswith("Already requested at 2026-01-01 00:02:10 UTC")
    assert len(running.provider.posts) == 1


@pytest.mark.parametrize(
    ("status", "done"),
    [
        (Status.COMPLETED, False),
        (Status.ERROR, False),
        (Status.USER_ERROR, False),
        (Status.CANCELLED, True),
        (Status.CANCEL_REQUESTED, True),
    ],
)
async def test_what_has_ended_since_it_was_seen_is_not_posted(running: Scene, status: Status, done: bool) -> None:  # noqa: FBT001 - a table
    running.provider.jobs[JOB].status = status
    answer = await cancel(running)

    assert (answer["done"], answer["status"]) == (done, status.value)
    assert running.provider.posts == []
    assert await running.proposals() == []


async def test_what_the_store_knows_to_have_ended_is_not_even_asked_for(running: Scene) -> None:
    running.provider.jobs[JOB].status = Status.COMPLETED
    await running.run("4m")
    running.provider.calls.clear()
    answer = await cancel(running)

    assert answer["text"] == "Can't be cancelled: it is completed."
    assert running.provider.calls == []


@pytest.mark.parametrize(
    "status", [Status.PENDING, Status.QUEUED, Status.COMPRESSING, Status.UPLOADING, Status.UNRECOGNISED]
)
async def test_what_has_not_ended_is_tried(running: Scene, status: Status) -> None:
    running.provider.jobs[JOB].status = status
    await cancel(running)

    assert len(running.provider.posts) == 1


async def test_a_queued_job_ends_before_its_first_step(tmp_path: Path) -> None:
    async with scene(tmp_path) as made:
        made.job(status=Status.QUEUED)
        await made.run("1m")
        await cancel(made)
        await made.run("5m")

        assert (await only_proposal(made)).detail.startswith("Cancelled before its first step.")


async def test_a_refusal_is_told_as_one_and_may_be_asked_again(running: Scene) -> None:
    running.provider.fail("cancel", unseen(FailureReason.CLIENT, 400), times=1)
    answer = await cancel(running)

    assert not answer["done"]
    assert answer["text"] == "Not cancelled: the API refused it (client). The job still runs."
    assert (await only_proposal(running)).state is ProposalState.FAILED

    again = await cancel(running)

    assert again["done"]
    assert [p.state for p in await running.proposals()] == [ProposalState.REQUESTED, ProposalState.FAILED]


async def test_a_lost_answer_is_no_failure_when_the_status_says_it_was_taken(running: Scene) -> None:
    running.provider.fail("cancel", unseen(FailureReason.TIMEOUT, maybe_done=True), took=True, times=1)
    answer = await cancel(running)

    assert answer["done"]
    assert "it was taken" in answer["text"]
    assert (await only_proposal(running)).posted_at is not None


async def test_a_success_that_cannot_be_read_is_one_and_never_repeated(running: Scene) -> None:
    running.provider.fail("cancel", unseen(FailureReason.PAYLOAD, 200, maybe_done=True), times=1)
    answer = await cancel(running)
    running.clock.advance(SETTLE.total_seconds() + 1)
    again = await cancel(running)

    assert (answer["done"], again["done"]) == (True, True)
    assert "could not be read" in answer["text"]
    assert len(running.provider.posts) == 1


async def test_what_was_taken_but_could_not_be_noted_is_not_posted_again(running: Scene) -> None:
    def fill_the_disk(_job: Any) -> None:
        running.store.broken = True

    running.provider.before_cancel = fill_the_disk
    answer = await cancel(running)
    running.store.broken = False
    running.provider.jobs[JOB].status = Status.RUNNING
    running.clock.advance(SETTLE.total_seconds() + 1)
    again = await cancel(running)

    assert (answer["done"], again["done"]) == (True, True)
    assert len(running.provider.posts) == 1


async def test_an_answer_that_is_not_known_is_called_that_and_repeated_only_when_it_had_time(running: Scene) -> None:
    running.provider.fail("cancel", unseen(FailureReason.SERVER, 502, maybe_done=True), times=1)
    first = await cancel(running)
    second = await cancel(running)

    assert first["text"].startswith("Not known whether the cancel was taken")
    assert (first["done"], second["done"]) == (False, False)
    assert len(running.provider.posts) == 1

    running.clock.advance(SETTLE.total_seconds() + 1)
    third = await cancel(running)

    assert third["done"]
    assert [post.status for post in running.provider.posts] == [502, 200]
    assert (await only_proposal(running)).tries == 2


async def test_a_job_that_ended_while_it_was_asked_is_overtaken(running: Scene) -> None:
    def finish(job: Any) -> None:
        job.status = Status.COMPLETED

    running.provider.before_cancel = finish
    answer = await cancel(running)
    await running.run("5m")

    assert answer["text"] == "Not cancelled: the job ended first (completed)."
    assert (await only_proposal(running)).state is ProposalState.OVERTAKEN


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (FailureReason.NOT_FOUND, "Nothing was requested: the API does not know it (not_found)."),
        (FailureReason.NETWORK, "Nothing was requested: it can't be seen now (network)."),
    ],
)
async def test_nothing_is_posted_for_what_cannot_be_seen(running: Scene, reason: FailureReason, text: str) -> None:
    running.provider.fail("job", unseen(reason))
    answer = await cancel(running)

    assert (answer["done"], answer["text"]) == (False, text)
    assert running.provider.posts == []


async def test_nothing_is_posted_when_the_intent_cannot_be_stored(running: Scene) -> None:
    running.store.broken = True
    with pytest.raises(StoreError):
        await cancel(running)

    assert running.provider.posts == []


async def test_an_id_that_nobody_knows_is_bad_input(running: Scene) -> None:
    for job_id in ("ft-", "ft-2", ""):
        with pytest.raises(ConfigError, match="is not known"):
            await cancel(running, job_id)


async def test_a_proposed_cancel_gives_way_and_is_never_posted_beside(running: Scene) -> None:
    now = running.clock.now()
    payload = {"proposal": "p1"}
    effect = NewEffect(key="cancel:p1", effect=Effect.CANCEL, lane="cancel:main", payload=payload, next_at=now)
    await running.store.write(lambda tx: tx.add_proposal(a_proposal(key=KEY)))
    await running.restart()
    await cancel(running)
    await running.store.write(lambda tx: tx.enqueue([effect], now))
    await running.run("5m")

    states = {p.mode: p.state for p in await running.proposals()}
    assert states == {"manual": ProposalState.CONFIRMED, "propose": ProposalState.WITHDRAWN}
    assert len(running.provider.posts) == 1


async def test_the_watchers_own_cancel_that_is_under_way_is_enough(running: Scene) -> None:
    ours = a_proposal(key=KEY, state=ProposalState.REQUESTED, requested_at=running.clock.now())
    await running.store.write(lambda tx: tx.add_proposal(ours))
    await running.restart()
    answer = await cancel(running)

    assert answer["done"]
    assert running.provider.posts == []


async def test_a_cancel_by_hand_is_not_counted_as_one_of_the_watchers(running: Scene) -> None:
    await cancel(running)
    since = running.clock.now() - timedelta(hours=1)

    assert await running.store.read(lambda reads: reads.cancels_since(since)) == 0


async def test_an_intent_whose_post_never_came_is_given_up_and_said_so(running: Scene) -> None:
    left = a_proposal(
        key=KEY, mode="manual", alert_id="", state=ProposalState.REQUESTED, requested_at=running.clock.now()
    )
    await running.store.write(lambda tx: tx.add_proposal(left))
    await running.restart()
    await running.run("34m")

    proposal = await only_proposal(running)
    assert (proposal.state, running.provider.posts) == (ProposalState.FAILED, [])
    assert "Cancel it by hand" in proposal.detail
