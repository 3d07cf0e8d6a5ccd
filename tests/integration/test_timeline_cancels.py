"""Auto-cancel on a timeline: the modes, every guard with its visible reason, races, vetoes and crashes in between."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from tests.fakes import FakeJob, unseen
from tests.timeline import (
    CANCELLED,
    ENFORCE,
    FAILED,
    NEVER,
    OVERTAKEN,
    REFUSED,
    VETOED,
    WITHDRAWN,
    WOULD_CANCEL,
    Scene,
    between,
    firing,
    scene,
)
from tests.toys import High
from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.observations import Status, TrainRow
from watcher.service.errors import FailureReason
from watcher.service.explain import explain_view
from watcher.service.records import AlertQuery, ProposalState


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, policy=ENFORCE) as made:
        yield made


def policy(**changes: object) -> CancelPolicy:
    return CancelPolicy(**{"mode": CancelMode.ENFORCE, **changes})  # type: ignore[arg-type]


# --- modes ---


async def test_enforce_cancels_once_and_tells_the_outcome(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.expect(between("10m", "10m30s"), firing("high"))
    play.expect(between("10m30s", "12m"), CANCELLED)
    await play.run("20m")

    assert [post.status for post in play.provider.posts] == [200]
    assert [p.state for p in await play.proposals()] == [ProposalState.CONFIRMED]
    assert "steps were not run" in play.of(CANCELLED)[0].action


async def test_alerts_end_with_the_job_that_was_cancelled_for_them(tmp_path: Path) -> None:
    """Told in the message of the cancel and in no other; a process that starts after it does not find them anew."""
    rules = (High(), High(name="higher", limit=8.0, may_cancel=False))
    async with scene(tmp_path, rules=rules, policy=ENFORCE) as play:
        play.job()
        play.at("10m", loss=9)
        play.expect(between("10m", "10m30s"), firing("high"))
        play.expect(between("10m", "10m30s"), firing("higher"))
        play.expect(between("10m30s", "12m"), CANCELLED)
        play.do("13m10s", play.restart)
        await play.run("20m")

        assert len(play.messages) == 3
        (ended, _), other = [(a.ends_at, a.episode) for a in await play.alerts()]
        assert other == (ended, 1)
        assert ended == play.provider.posts[0].at + timedelta(seconds=30)
        assert await play.store.read(lambda reads: reads.alerts(AlertQuery(firing_only=True))) == []


async def test_a_cancelled_job_stays_what_it_was_cancelled_for(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(name="divergence"),), policy=ENFORCE) as play:
        play.job()
        play.at("10m", loss=9)
        play.do("13m10s", play.restart)
        await play.run("40m")

        (record,) = await play.store.read(lambda reads: reads.jobs())
        assert (record.closed, record.snapshot.status, record.health) == (True, Status.CANCELLED, "diverging")


async def test_observe_says_once_what_it_would_have_done(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=policy(mode=CancelMode.OBSERVE)) as play:
        play.job()
        play.at("10m", loss=9)
        play.expect(between("10m30s", "11m"), WOULD_CANCEL)
        await play.run("20m")

        assert play.provider.posts == []
        assert "would be cancelled now" in play.of(WOULD_CANCEL)[0].action


async def test_a_mode_that_does_not_act_cancels_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=policy(mode=CancelMode.OFF)) as play:
        play.job()
        play.at("10m", loss=9)
        play.expect(between("10m", "10m30s"), firing("high"))
        await play.run("15m")

        assert play.provider.posts == []
        assert await play.proposals() == []
        assert len(play.messages) == 1


# --- guards ---


@pytest.mark.parametrize(
    ("rule", "changes", "reason"),
    [
        pytest.param(High(), {"min_progress": 0.6}, "outside 60–90 %", id="the job has hardly begun"),
        pytest.param(High(), {"max_progress": 0.2}, "outside 2–20 %", id="the job is nearly through"),
        pytest.param(High(), {"never": ("other", "ft-*")}, "never-cancel list (ft-*)", id="on the never list"),
        pytest.param(High(), {"max_per_hour": 0}, "0 cancels in the last hour, the limit is 0", id="the hourly limit"),
    ],
)
async def test_a_guard_refuses_and_its_reason_is_shown(
    tmp_path: Path, rule: High, changes: dict[str, object], reason: str
) -> None:
    async with scene(tmp_path, rules=(rule,), policy=policy(**changes)) as play:
        play.job()
        play.at("10m", loss=9)
        await play.run("13m")

        assert play.provider.posts == []
        assert any(reason in shown for shown in play.refusals())
        (alert,) = await play.store.read(lambda reads: reads.alerts(AlertQuery(firing_only=True)))
        story = await play.store.read(lambda reads: explain_view(reads, alert.id))
        assert reason in story["guard"]["reason"]


async def test_a_rule_that_may_not_cancel_does_not(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(may_cancel=False),), policy=ENFORCE) as play:
        play.job()
        play.at("10m", loss=9)
        await play.run("15m")

        assert play.provider.posts == []
        assert await play.proposals() == []


async def test_one_sweep_is_not_enough(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.at("10m20s", loss=2)
    play.expect(NEVER, CANCELLED)
    play.do("10m10s", lambda: _shows(play, "seen on fresh data in 1 of 2 sweeps"))
    await play.run("15m")

    assert play.provider.posts == []


async def test_answers_with_rows_that_cannot_be_made_out_are_no_ground_for_a_cancel(play: Scene) -> None:
    """What is missing may be what speaks for the job: the alert is told, and the cancel waits for whole answers."""
    play.job()
    play.at("10m", loss=9)
    play.provider.spoils = lambda row: 570 <= play.now < 900 and isinstance(row, TrainRow) and row.step % 3 == 0
    play.expect(between("10m", "10m30s"), firing("high"))
    play.expect(between("15m30s", "17m"), CANCELLED)
    play.do("14m", lambda: _shows(play, "no fresh data"))
    await play.run("20m")

    assert [post.status for post in play.provider.posts] == [200]


async def test_sweeps_without_fresh_rows_confirm_nothing(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.at("10m10s", quiet=True)
    play.do("14m", lambda: _shows(play, "no fresh data"))
    await play.run("15m")

    assert play.provider.posts == []


async def test_a_rule_that_cannot_tell_cancels_nothing(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.at("10m10s", loss=-1)
    await play.run("15m")

    assert play.provider.posts == []
    assert play.refusals() == ["the rule can't tell at the moment"]


@pytest.mark.parametrize("status", [Status.UPLOADING, Status.COMPRESSING, Status.UNRECOGNISED])
async def test_only_a_running_job_is_cancelled(play: Scene, status: Status) -> None:
    play.job()
    play.at("10m", loss=9)
    play.at("10m20s", status=status)
    await play.run("15m")

    assert play.provider.posts == []
    assert await play.proposals() == []


async def test_the_kill_switch_file_stops_cancels_and_that_is_told(play: Scene) -> None:
    (play.directory / "no-cancel").touch()
    play.job()
    play.at("10m", loss=9)
    play.expect(between("10m30s", "11m"), REFUSED)
    await play.run("15m")

    assert play.provider.posts == []
    assert "kill switch" in play.of(REFUSED)[0].action


async def test_a_kill_switch_set_between_the_decision_and_the_request_stops_it(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.routes = False
    original = play.dispatcher.run_due

    async def switch_first() -> int:
        if await play.proposals():
            (play.directory / "no-cancel").touch()
        return await original()

    play.dispatcher.run_due = switch_first  # type: ignore[method-assign]
    await play.run("12m")

    assert play.provider.posts == []
    assert [p.state for p in await play.proposals()] == [ProposalState.WITHDRAWN]


async def test_more_cancels_in_an_hour_than_allowed_stop_and_page(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=policy(max_per_hour=2)) as play:
        for number in range(5):
            play.job(f"ft-{number}")
            play.at("10m", job=f"ft-{number}", loss=9)
        play.expect(between("10m30s", "12m"), firing("watcher_fault", kind="cancel_rate:main"))
        await play.run("15m")

        assert len(play.provider.taken) == 2
        assert len(play.of(WITHDRAWN)) == 3


async def test_the_page_about_the_limit_ends_when_an_hour_was_quiet(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=policy(max_per_hour=1)) as play:
        for number in range(2):
            play.job(f"ft-{number}", total_steps=2000)
            play.at("10m", job=f"ft-{number}", loss=9)
        await play.run("1h15m")

        (fault,) = [a for a in await play.alerts("") if a.kind.startswith("cancel_rate")]
        assert fault.state.value == "resolved"


# --- vetoes ---


async def test_a_veto_before_the_claim_wins(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.at("9m", loss=2)
    play.do("9m", play.veto)
    play.expect(NEVER, CANCELLED)
    await play.run("15m")

    assert play.provider.posts == []
    assert play.refusals() == ["somebody vetoed cancels of this job"]


async def test_a_veto_of_an_open_proposal_is_told_and_holds_over_a_restart(play: Scene) -> None:
    original = play.dispatcher.run_due

    async def veto_first() -> int:
        if any(p.state is ProposalState.PROPOSED for p in await play.proposals()):
            assert (await play.veto())["outcome"] == "vetoed"
        return await original()

    play.job()
    play.at("10m", loss=9)
    play.dispatcher.run_due = veto_first  # type: ignore[method-assign]
    play.do("12m", play.restart)
    play.expect(between("10m30s", "11m"), VETOED)
    await play.run("15m")

    assert play.provider.posts == []
    assert [p.state for p in await play.proposals()] == [ProposalState.VETOED]


async def test_a_veto_after_the_claim_is_told_that_it_is_too_late(play: Scene) -> None:
    answers = list[str]()

    def late(_job: FakeJob) -> None:
        task = asyncio.ensure_future(play.veto())
        task.add_done_callback(lambda done: answers.append(done.result()["outcome"]))

    play.job()
    play.at("10m", loss=9)
    play.provider.before_cancel = late
    play.expect(between("10m30s", "12m"), CANCELLED)
    await play.run("15m")

    assert len(play.provider.taken) == 1
    assert answers == ["too_late"]


@pytest.mark.parametrize("delay", range(12))
async def test_of_a_veto_and_a_claim_exactly_one_wins(play: Scene, delay: int) -> None:
    outcome = list[str]()

    async def race() -> None:
        for _ in range(delay):
            await play.store.read(lambda reads: reads.meta("x"))
        outcome.append((await play.veto())["outcome"])

    original, started = play.dispatcher.run_due, list[asyncio.Task[None]]()

    async def with_race() -> int:
        if not started and await play.proposals():
            started.append(asyncio.create_task(race()))
        return await original()

    play.job()
    play.at("10m", loss=9)
    play.dispatcher.run_due = with_race  # type: ignore[method-assign]
    await play.run("13m")
    await started[0]

    vetoed = outcome == ["vetoed"]
    assert len(play.provider.taken) == (0 if vetoed else 1)
    assert [p.state for p in await play.proposals()] == [
        ProposalState.VETOED if vetoed else ProposalState.CONFIRMED,
    ]


# --- races with the job ---


def _ends(status: Status) -> Callable[[FakeJob], None]:
    def end(job: FakeJob) -> None:
        job.status = status

    return end


async def test_a_job_that_completed_first_was_not_cancelled(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.provider.before_cancel = _ends(Status.COMPLETED)
    play.expect(NEVER, CANCELLED)
    await play.run("15m")

    assert play.provider.taken == []
    (proposal,) = await play.proposals()
    assert proposal.state in (ProposalState.OVERTAKEN, ProposalState.WITHDRAWN)
    assert len(play.of(OVERTAKEN)) + len(play.of(WITHDRAWN)) == 1


async def test_a_job_that_completes_after_its_cancel_was_taken_overtook_it(play: Scene) -> None:
    play.cancels_settle = False
    play.job()
    play.at("10m", loss=9)
    play.at("12m", status=Status.COMPLETED)
    play.expect(between("12m", "12m30s"), OVERTAKEN)
    await play.run("15m")

    assert len(play.provider.taken) == 1


async def test_a_job_that_is_deleted_after_its_cancel_was_taken_overtook_it(play: Scene) -> None:
    play.cancels_settle = False
    play.job()
    play.at("10m", loss=9)
    play.at("12m", deleted=True)
    play.expect(between("12m", "12m30s"), OVERTAKEN)
    await play.run("15m")

    assert "deleted" in play.of(OVERTAKEN)[0].action


async def test_a_job_that_ends_before_the_request_is_not_asked_for(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.provider.fail("cancel", unseen(FailureReason.RATE_LIMITED, 429), times=1)
    play.at("10m35s", status=Status.COMPLETED)
    await play.run("15m")

    assert play.provider.taken == []
    assert len(play.of(WITHDRAWN)) + len(play.of(OVERTAKEN)) == 1


# --- answers to the request ---


@pytest.mark.parametrize(
    ("reason", "status", "maybe_done"),
    [
        pytest.param(FailureReason.RATE_LIMITED, 429, False, id="too many requests"),
        pytest.param(FailureReason.SERVER, 503, True, id="overloaded"),
        pytest.param(FailureReason.CONFLICT, 409, False, id="conflict"),
        pytest.param(FailureReason.CLIENT, 400, False, id="bad request"),
        pytest.param(FailureReason.NETWORK, None, False, id="no connection"),
        pytest.param(FailureReason.TIMEOUT, None, True, id="no answer, and it was not taken"),
    ],
)
async def test_a_request_that_was_not_taken_once_is_sent_again(
    play: Scene, reason: FailureReason, status: int | None, *, maybe_done: bool
) -> None:
    play.job()
    play.at("10m", loss=9)
    play.provider.fail("cancel", unseen(reason, status, maybe_done=maybe_done), times=1)
    play.expect(between("10m30s", "14m"), CANCELLED)
    await play.run("16m")

    assert [post.status for post in play.provider.posts] == [status or 0, 200]


@pytest.mark.parametrize("reason", [FailureReason.TIMEOUT, FailureReason.SERVER, FailureReason.NETWORK])
async def test_a_request_that_was_taken_without_an_answer_is_not_sent_again(play: Scene, reason: FailureReason) -> None:
    play.cancels_settle = False
    play.job()
    play.at("10m", loss=9)
    play.provider.fail("cancel", unseen(reason, maybe_done=True), times=1, took=True)
    play.do("14m", play.provider.settle_cancels)
    play.expect(between("14m", "14m30s"), CANCELLED)
    await play.run("16m")

    assert [post.status for post in play.provider.posts] == [200]


async def test_a_good_answer_that_cannot_be_read_is_not_asked_for_again(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.provider.fail("cancel", unseen(FailureReason.PAYLOAD, maybe_done=True))
    play.expect(between("12m", "14m"), FAILED)
    await play.run("20m")

    assert len(play.provider.posts) == 1
    assert "by hand" in play.of(FAILED)[0].action


@pytest.mark.parametrize("reason", [FailureReason.AUTH, FailureReason.FORBIDDEN])
async def test_a_key_that_may_not_cancel_has_failed_and_that_is_told(play: Scene, reason: FailureReason) -> None:
    play.job()
    play.at("10m", loss=9)
    play.provider.fail("cancel", unseen(reason))
    play.expect(between("10m30s", "11m"), FAILED)
    await play.run("16m")

    assert len(play.provider.posts) == 1


async def test_a_request_that_is_never_taken_is_given_up_and_told(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    play.provider.fail("cancel", unseen(FailureReason.SERVER, 500, maybe_done=True))
    play.expect(between("12m", "16m"), FAILED)
    await play.run("20m")

    assert len(play.provider.posts) == 3
    assert [p.state for p in await play.proposals()] == [ProposalState.FAILED]


async def test_a_cancel_that_was_taken_and_does_nothing_has_failed(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        job = play.job(total_steps=1000)
        play.cancels_settle = False
        play.at("10m", loss=9)
        play.do("11m", lambda: setattr(job, "status", Status.RUNNING))
        play.expect(between("40m", "42m"), FAILED)
        await play.run("45m")

        assert len(play.provider.taken) == 1


# --- the look before the request ---


async def test_a_job_that_cannot_be_seen_is_not_cancelled(play: Scene) -> None:
    original = play.dispatcher.run_due

    async def blind_first() -> int:
        if await play.proposals():
            play.provider.fail("metrics", unseen(FailureReason.SERVER, 500))
        return await original()

    play.job()
    play.at("10m", loss=9)
    play.dispatcher.run_due = blind_first  # type: ignore[method-assign]
    await play.run("14m")

    assert play.provider.posts == []


async def test_a_breach_that_is_over_when_looked_at_again_is_not_cancelled(play: Scene) -> None:
    job = play.job()

    original = play.dispatcher.run_due

    async def recover_first() -> int:
        if await play.proposals():
            play._change("ft-1", "", {"loss": 2})
            job.rows.append(play.row(job.rows[-1].step + 1, play.now + 1, 2.0))
        return await original()

    play.at("10m", loss=9)
    play.dispatcher.run_due = recover_first  # type: ignore[method-assign]
    await play.run("11m")

    assert play.provider.posts == []
    assert [p.state for p in await play.proposals()] == [ProposalState.WITHDRAWN]
    assert "does not find it any more" in play.of(WITHDRAWN)[0].action


async def test_after_a_clock_step_no_cancel_until_a_whole_sweep_was_trusted(play: Scene) -> None:
    original, stepped = play.dispatcher.run_due, list[float]()

    async def step_first() -> int:
        if not stepped and await play.proposals():
            stepped.append(play.now)
            play.sweeper.distrust_clock()
        return await original()

    play.job()
    play.at("10m", loss=9)
    play.dispatcher.run_due = step_first  # type: ignore[method-assign]
    await play.run("15m")

    assert len(play.provider.taken) == 1
    assert (play.provider.taken[0].at - play.team.messages[0][0]).total_seconds() >= 60


# --- restarts ---


async def test_a_proposal_survives_a_restart_and_is_confirmed_anew(play: Scene) -> None:
    original, restarted = play.dispatcher.run_due, list[float]()

    async def restart_first() -> int:
        if not restarted and await play.proposals():
            restarted.append(play.now)
            await play.restart()
            return 0
        return await original()

    play.job()
    play.at("10m", loss=9)
    play.dispatcher.run_due = restart_first  # type: ignore[method-assign]
    play.expect(between("10m30s", "14m"), CANCELLED)
    await play.run("16m")

    assert len(play.provider.taken) == 1
    assert (play.provider.taken[0].at.timestamp() - play.provider.jobs["ft-1"].created_at.timestamp()) > restarted[0]


async def test_a_process_that_died_after_the_request_does_not_send_another(play: Scene) -> None:
    play.cancels_settle = False
    play.job()
    play.at("10m", loss=9)
    play.do("10m40s", play.restart)
    play.do("14m", play.provider.settle_cancels)
    play.expect(between("14m", "14m30s"), CANCELLED)
    await play.run("16m")

    assert len(play.provider.posts) == 1


async def test_a_request_whose_outcome_the_store_did_not_take_is_not_sent_again(play: Scene) -> None:
    play.cancels_settle = False

    def break_store(_job: FakeJob) -> None:
        play.store.broken = True

    play.job()
    play.at("10m", loss=9)
    play.provider.before_cancel = break_store
    play.do("13m", lambda: setattr(play.store, "broken", False))
    play.do("15m", play.provider.settle_cancels)
    play.expect(between("15m", "15m30s"), CANCELLED)
    await play.run("17m")

    assert len(play.provider.posts) == 1


async def test_no_request_without_a_stored_intent(play: Scene) -> None:
    play.job()
    play.at("10m", loss=9)
    seen = list[bool]()

    def look(_job: FakeJob) -> None:
        found = play.store._store.read_now(lambda reads: reads.proposals())  # type: ignore[attr-defined]
        seen.append(found[0].state is ProposalState.REQUESTED and found[0].requested_at is not None)

    play.provider.before_cancel = look
    await play.run("15m")

    assert seen == [True]


def _shows(play: Scene, reason: str) -> None:
    assert any(reason in shown for shown in play.refusals()), play.refusals()
