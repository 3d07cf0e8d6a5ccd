"""When the outside or the watcher itself fails: nothing false is concluded, nothing is lost, and it is told."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import START, FakeTarget, settle, unseen
from tests.timeline import ENFORCE, FAILED, NEVER, Scene, between, firing, ns, resolved, scene
from tests.toys import Crashing, High, High2, Quiet
from watcher.domain.alerts import Subject, Transition, TransitionReason
from watcher.domain.observations import Status, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.rules.completion import Completion
from watcher.domain.rules.deleted import Deleted
from watcher.domain.rules.divergence import Divergence
from watcher.service.errors import DeliveryError, FailureReason
from watcher.service.records import OutboxState, StateRecord


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, rules=(High(), Deleted(), Completion())) as made:
        yield made


# --- the API can't be seen, or says what was ---


async def test_an_answer_of_before_the_end_undoes_no_end(play: Scene) -> None:
    job = play.job()
    play.at("5m", status=Status.COMPLETED, output_name="org/model", event="job_complete", quiet=True)

    def answer(status: Status, updated_at: datetime) -> None:
        job.status, job.updated_at = status, updated_at

    newest = START + timedelta(minutes=5)
    play.do("8m", lambda: answer(Status.RUNNING, newest - timedelta(minutes=1)))
    play.do("9m", lambda: answer(Status.COMPLETED, newest))
    play.expect(between("5m", "7m"), firing("completion"))
    await play.run("20m")


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        pytest.param(FailureReason.AUTH, 401, id="a dead key"),
        pytest.param(FailureReason.BILLING, 402, id="no balance"),
        pytest.param(FailureReason.FORBIDDEN, 403, id="not allowed"),
        pytest.param(FailureReason.SERVER, 500, id="server errors"),
        pytest.param(FailureReason.RATE_LIMITED, 429, id="too many requests"),
        pytest.param(FailureReason.TIMEOUT, None, id="timeouts"),
        pytest.param(FailureReason.PAYLOAD, 200, id="a web page instead of an answer"),
    ],
)
@pytest.mark.parametrize("call", ["list", "job"], ids=["the list", "each job"])
async def test_an_outage_is_told_of_the_account_and_nothing_is_concluded_of_its_jobs(
    play: Scene, call: str, reason: FailureReason, status: int | None
) -> None:
    play.job()
    play.at("5m", loss=9)
    play.do("6m", lambda: play.provider.fail(call, unseen(reason, status)))
    if call == "job":
        play.at("6m", listed=False)
    play.at("6m", loss=2)
    play.do("10m", play.provider.mend)
    play.at("10m", listed=True)
    play.expect(between("5m", "5m30s"), firing("high"))
    play.expect(between("6m30s", "8m"), firing("provider_unreachable", "main", reason.value))
    play.expect(between("10m", "10m30s"), resolved("provider_unreachable"))
    play.expect(between("10m", "10m30s"), resolved("high"))
    await play.run("12m")

    assert len(play.messages) == 4


async def test_one_bad_job_never_hides_the_others(play: Scene) -> None:
    for number in range(4):
        play.job(f"ft-{number}")
    play.provider.fail("metrics", unseen(FailureReason.SERVER, 500), job_id="ft-0")
    play.at("5m", job="ft-3", loss=9)
    play.expect(between("5m", "5m30s"), firing("high", "ft-3"))
    await play.run("8m")

    assert len(play.messages) == 1
    assert {report.reason for report in play.reports} == {None}
    assert play.reports[-1].failed == {"server": 1}


async def test_a_job_whose_rows_are_not_there_yet_is_no_outage(play: Scene) -> None:
    play.job()
    play.at("0s", quiet=True)
    play.provider.fail("metrics", unseen(FailureReason.NOT_FOUND, 404))
    play.do("4m", play.provider.mend)
    play.at("4m", quiet=False, loss=9)
    play.expect(between("4m", "5m"), firing("high"))
    await play.run("6m")

    assert len(play.messages) == 1


async def test_time_that_passed_unseen_concludes_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Quiet(limit=timedelta(minutes=12)),)) as play:
        job = play.job()
        for minute in range(30):
            play.at(f"{minute}m", event=f"event_{minute}")
        play.do("5m10s", lambda: play.provider.fail("job", unseen(FailureReason.SERVER, 500)))
        play.do("20m", play.provider.mend)
        play.expect(NEVER, firing("quiet"))
        await play.run("29m")

        assert len(job.events) == 30
        assert [message.rule for message in play.messages] == ["provider_unreachable", "provider_unreachable"]


# --- rules ---


async def test_a_rule_that_crashes_blinds_itself_on_that_job_alone(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Crashing(), High()), policy=ENFORCE) as play:
        play.job("ft-1")
        play.job("ft-2")
        play.do("4m", lambda: play.provider.jobs["ft-1"].rows.append(_crash_row(play)))
        play.at("6m", job="ft-2", loss=9)
        play.expect(between("4m", "4m30s"), firing("watcher_fault", kind="rule_crash:crashing"))
        play.expect(between("6m", "6m30s"), firing("crashing", "ft-2"))
        play.expect(between("6m", "6m30s"), firing("high", "ft-2"))
        await play.run("6m30s")

        book = play.sweeper.book("ft-1")
        assert book is not None
        assert [str(getattr(cell.verdict, "reason", "")) for cell in book.fold.cells] == ["rule crashed", ""]
        assert book.record.health == "unknown"


def _crash_row(play: Scene) -> TrainRow:
    course = play._courses["ft-1"]
    course.step += 1
    return TrainRow(course.step, ns(play.now - 1), 666.0)


async def test_a_fault_in_looking_at_one_job_is_told_and_costs_only_that_job(play: Scene) -> None:
    play.crashes = True
    play.job("ft-1")
    play.job("ft-2")
    play.at("5m", job="ft-1", loss=9)
    play.at("5m", job="ft-2", loss=9)
    real = play.provider.get_metrics

    async def broken(job_id: str, **asked: Any) -> Any:
        if job_id == "ft-1" and 240 <= play.now < 420:
            raise RuntimeError("a fault of ours")
        return await real(job_id, **asked)

    play.provider.get_metrics = broken  # type: ignore[method-assign]
    play.expect(between("4m", "4m30s"), firing("watcher_fault", kind="job:ft-1"))
    play.expect(between("5m", "5m30s"), firing("high", "ft-2"))
    play.expect(between("7m", "7m30s"), firing("high", "ft-1"))
    play.expect(between("7m", "7m30s"), resolved("watcher_fault"))
    await play.run("9m")


async def test_another_version_of_a_rule_is_rebuilt_without_a_word(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(),)) as play:

        async def upgrade() -> None:
            play.rules = (High2(),)
            await play.restart()

        play.job()
        play.at("5m", loss=9)
        play.do("7m", upgrade)
        play.at("9m", loss=2)
        play.expect(between("5m", "5m30s"), firing("high"))
        play.expect(between("9m", "9m30s"), resolved("high"))
        await play.run("11m")

        assert len(play.messages) == 2


async def test_other_settings_of_a_rule_are_judged_over_the_whole_history(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(limit=20),)) as play:

        async def stricter() -> None:
            play.rules = (High(limit=5),)
            await play.restart()

        play.job()
        play.at("5m", loss=9)
        play.do("7m", stricter)
        play.expect(between("7m", "7m30s"), firing("high"))
        await play.run("9m")

        assert "step 30" in play.messages[0].what


async def test_a_cancel_needs_two_fresh_sweeps_after_a_rebuild(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(High(limit=20),), policy=ENFORCE) as play:

        async def stricter() -> None:
            play.rules = (High(limit=5),)
            await play.restart()

        play.job()
        play.at("5m", loss=9)
        play.do("7m", stricter)
        await play.run("9m")

        (post,) = play.provider.posts
        assert (post.at - play.of(firing("high"))[0].at) >= timedelta(seconds=30)


# --- the clock ---


async def test_after_a_clock_step_one_sweep_concludes_nothing_from_time(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Quiet(limit=timedelta(minutes=30)),)) as play:

        def step() -> None:
            play.clock.step_wall(7200)
            play.sweeper.distrust_clock()

        play.job()
        play.at("1m", event="begun")
        play.do("5m", step)
        play.at("5m20s", event="after", suffix="changed")
        play.expect(NEVER, firing("quiet"))
        await play.run("10m")

        assert play.messages == []


async def test_a_clock_step_during_a_sweep_distrusts_the_next_one_too(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Quiet(limit=timedelta(minutes=30)),)) as play:
        real = play.provider.list_jobs

        async def stepping() -> Any:
            answer = await real()
            if play.now == 300:
                play.clock.step_wall(7200)
                play.sweeper.distrust_clock()
            return answer

        play.provider.list_jobs = stepping  # type: ignore[method-assign]
        play.job()
        play.at("1m", event="begun")
        play.expect(NEVER, firing("quiet"))
        await play.run("5m30s")

        book = play.sweeper.book("ft-1")
        assert book is not None
        assert book.record.health == "unknown"


# --- the store ---


async def test_while_the_store_fails_nothing_is_decided_and_nothing_is_lost(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        play.job()
        play.job("ft-2")
        play.at("5m", loss=9)
        play.do("4m45s", lambda: setattr(play.store, "broken", True))
        play.do("9m45s", lambda: setattr(play.store, "broken", False))
        play.expect(between("10m", "10m30s"), firing("high", "ft-1"))
        play.do("9m40s", lambda: _nothing_decided(play))
        await play.run("13m")

        assert len(play.provider.taken) == 1
        assert play.errors
        assert len([m for m in play.messages if m.rule == "high" and m.reason.value == "first"]) == 1


def _nothing_decided(play: Scene) -> None:
    assert play.provider.posts == []
    assert play.messages == []


async def test_while_the_store_cannot_be_read_nothing_is_lost(play: Scene) -> None:
    play.job()
    play.at("5m", loss=9)
    play.at("6m", loss=2)
    play.do("4m45s", lambda: setattr(play.store, "deaf", True))
    play.do("7m45s", lambda: setattr(play.store, "deaf", False))
    play.expect(between("8m", "8m30s"), firing("high"))
    play.expect(between("8m", "8m30s"), resolved("high"))
    await play.run("10m")


async def test_one_poison_job_is_rolled_back_alone_and_told(play: Scene) -> None:
    for number in range(5):
        play.job(f"ft-{number}")
        play.at("5m", job=f"ft-{number}", loss=9)
    play.do("4m45s", lambda: play.store.poisoned.add("ft-2"))
    play.do("7m45s", play.store.poisoned.clear)
    for number in (0, 1, 3, 4):
        play.expect(between("5m", "5m30s"), firing("high", f"ft-{number}"))
    play.expect(between("5m", "5m30s"), firing("watcher_fault", kind="store:ft-2"))
    play.expect(between("8m", "8m30s"), firing("high", "ft-2"))
    play.expect(between("8m", "8m30s"), resolved("watcher_fault"))
    await play.run("10m")


async def test_a_stored_state_that_does_not_fit_is_rebuilt(play: Scene) -> None:
    async def damage() -> None:
        def write(tx: Any) -> None:
            subject = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-1")
            states = [StateRecord(rule=s.rule, fingerprint=s.fingerprint, state=[1]) for s in tx.states(subject)]
            tx.save_states(subject, states)

        await play.store.write(write)
        await play.restart()

    play.job()
    play.at("5m", loss=9)
    play.do("7m", damage)
    play.at("9m", loss=2)
    play.expect(between("5m", "5m30s"), firing("high"))
    play.expect(between("9m", "9m30s"), resolved("high"))
    await play.run("11m")

    assert len(play.messages) == 2


# --- receivers ---


async def test_a_receiver_that_was_down_for_an_hour_gets_everything_in_order(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        other = FakeTarget("t-other", "team", play.clock)
        play.receivers.all.append(other)
        play.job(total_steps=2000)
        for minute in range(4, 60, 8):
            play.at(f"{minute}m", loss=9)
            play.at(f"{minute + 4}m", loss=2)
        play.team.down = DeliveryError(FailureReason.SERVER, "503")
        play.do("1h", lambda: setattr(play.team, "down", None))
        await play.run("1h15m")

        assert [m.key for _, m in play.team.messages] != []
        assert [m.alert_id for _, m in play.team.messages] == [m.alert_id for _, m in other.messages]
        assert [m.reason for _, m in play.team.messages] == [m.reason for _, m in other.messages]
        assert len(other.messages) == 14
        assert other.messages[0][0] < play.team.messages[0][0]
        assert all(row.state is OutboxState.DONE for row in await play.outbox())


async def test_a_target_that_hangs_delays_no_other(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        stuck = FakeTarget("t-stuck", "team", play.clock)
        stuck.held = asyncio.Event()
        play.receivers.all.append(stuck)
        play.job()
        play.at("5m", loss=9)
        play.at("8m", loss=2)
        play.expect(between("5m", "5m30s"), firing("high"))
        play.expect(between("8m", "8m30s"), resolved("high"))
        await play.run("10m")

        assert stuck.messages == []
        stuck.held.set()
        await settle()
        await play._calm()
        await play.deliver()
        assert [m.reason.value for _, m in stuck.messages] == ["first", "resolved"]


async def test_a_message_that_is_refused_for_good_is_parked_and_that_is_told(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        bad = FakeTarget("t-bad", "team", play.clock)
        bad.failures.append(DeliveryError(FailureReason.CLIENT, "410 gone", permanent=True))
        play.receivers.all.append(bad)
        play.job()
        play.at("5m", loss=9)
        play.expect(between("5m", "5m30s"), firing("high"))
        play.expect(between("5m", "6m"), firing("watcher_fault", kind="dead_letter:t-bad"))
        await play.run("8m")

        dead = [row for row in await play.outbox() if row.state is OutboxState.DEAD]
        assert [(row.target, row.attempts) for row in dead] == [("t-bad", 0)]
        assert "410" in dead[0].error


async def test_the_alert_of_a_dead_letter_ends_with_a_delivery_after_a_restart(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        bad = FakeTarget("t-bad", "team", play.clock)
        bad.down = DeliveryError(FailureReason.CLIENT, "410 gone", permanent=True)
        play.receivers.all.append(bad)
        play.job()
        play.at("5m", loss=9)
        play.do("6m", play.restart)
        play.do("6m10s", lambda: setattr(bad, "down", None))
        play.at("8m", loss=2)
        play.expect(between("5m", "6m"), firing("watcher_fault"))
        play.expect(between("8m", "9m"), resolved("watcher_fault"))
        await play.run("10m")


async def test_what_was_for_a_removed_target_goes_to_the_present_ones(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        old = FakeTarget("t-old", "team", play.clock)
        old.down = DeliveryError(FailureReason.SERVER, "503")
        play.receivers.all[:] = [old]
        play.job()
        play.at("5m", loss=9)
        play.do("6m", lambda: play.receivers.all.__setitem__(slice(None), [play.team]))
        play.expect(between("6m", "16m"), firing("high"))
        await play.run("17m")


async def test_what_is_left_for_a_receiver_without_targets_is_kept_as_a_dead_letter(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        play.team.down = DeliveryError(FailureReason.SERVER, "503")
        play.job()
        play.at("5m", loss=9)
        play.do("6m", play.receivers.all.clear)
        await play.run("17m")

        assert [row.state for row in await play.outbox()][:1] == [OutboxState.DEAD]
        faults = {alert.kind for alert in await play.alerts("") if alert.rule == "watcher_fault"}
        assert faults == {"dead_letter:t-team", "dead_letter:nobody:team"}


async def test_a_crash_between_commit_and_route_loses_nothing(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:

        async def come_back() -> None:
            play.routes = True
            await play.restart()

        play.job()
        play.routes = False
        play.at("5m", loss=9)
        play.at("6m", loss=2)
        play.do("8m", come_back)
        play.expect(between("8m", "8m10s"), firing("high"))
        play.expect(between("8m", "8m10s"), resolved("high"))
        await play.run("9m")

        assert len(play.messages) == 2


async def test_real_rules_and_a_restart_in_every_sweep_tell_nothing_twice(tmp_path: Path) -> None:
    async with scene(tmp_path, rules=(Divergence(), High())) as play:
        play.job()
        play.at("10m", loss=9)
        for number in range(1, 40):
            play.do(f"{30 * number + 5}s", play.restart)
        play.expect(between("10m", "10m30s"), firing("high"))
        play.expect(between("10m", "16m"), firing("divergence", kind="diverged"))
        await play.run("20m")


async def test_what_can_be_addressed_to_nobody_is_kept_as_a_dead_letter(tmp_path: Path) -> None:
    async with scene(tmp_path) as play:
        play.receivers.all.clear()
        play.job()
        play.at("5m", loss=9)
        await play.run("7m")

        rows = [row for row in await play.outbox() if row.payload["rule"] == "high"]
        assert [(row.state, row.target) for row in rows] == [(OutboxState.DEAD, "nobody:team")]


async def test_a_transition_whose_facts_cannot_be_read_holds_up_no_other(play: Scene) -> None:
    async def damage() -> None:
        alert = (await play.alerts())[0]
        told = Transition(alert=alert, reason=TransitionReason.CANCEL_FAILED, at=play.clock.now(), note="told")
        await play.store.write(lambda tx: tx.add_transition(told, [1, 2]))

    play.job()
    play.at("5m", loss=9)
    play.do("6m", damage)
    play.at("8m", loss=2)
    play.expect(between("5m", "5m30s"), firing("high"))
    play.expect(between("6m", "6m30s"), FAILED)
    play.expect(between("8m", "8m30s"), resolved("high"))
    await play.run("9m")
