"""The mode `propose` on a timeline: announced, vetoed, approved, frozen, withdrawn, and cancelled after its window."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.fakes import START, FakeClock, FakeTarget, unseen
from tests.timeline import (
    APPROVED,
    CANCELLED,
    ENFORCE,
    FROZEN,
    LINKS,
    NEVER,
    PROPOSE,
    PROPOSED,
    VETOED,
    WITHDRAWN,
    Scene,
    between,
    firing,
    ns,
    scene,
    seconds,
)
from tests.toys import Crashing
from watcher.domain.cancel_policy import CancelMode, CancelPolicy
from watcher.domain.matching import Matcher
from watcher.domain.muting import Silence
from watcher.domain.observations import Status, TrainRow
from watcher.domain.routing import Route, Routing
from watcher.service.cancels import UNTOLD
from watcher.service.errors import DeliveryError, FailureReason
from watcher.service.records import Effect, ProposalState
from watcher.service.windows import STEPPED


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Scene]:
    """A job that breaks after ten minutes; its cancel is proposed half a minute later, with five minutes to say no."""
    async with scene(tmp_path, policy=PROPOSE) as made:
        made.job(total_steps=1000)
        made.at("10m", loss=9)
        yield made


def cancelled_at(play: Scene) -> list[float]:
    return [(post.at - START).total_seconds() for post in play.provider.taken]


async def states(play: Scene) -> list[str]:
    return [p.state.value for p in await play.proposals()]


# --- the window ---


async def test_it_is_announced_and_cancelled_when_its_window_has_passed(play: Scene) -> None:
    play.expect(between("10m", "10m30s"), firing("high"))
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("15m30s", "16m30s"), CANCELLED)
    await play.run("20m")

    assert cancelled_at(play) == [seconds("15m30s")]
    assert await states(play) == ["confirmed"]
    (message,) = play.of(PROPOSED)
    (proposal,) = await play.proposals()
    assert (message.proposal_id, message.proposal_round) == (proposal.id, 1)

    assert message.deadline_at == proposal.deadline_at == START + timedelta(minutes=15, seconds=30)
    assert "2026-01-01 00:15:30 UTC (in 5 min; " in message.action
    assert "watcher veto ft-1" in message.action
    assert "watcher approve ft-1" in message.action


async def test_the_announcement_carries_its_veto_link_and_no_file_holds_it(play: Scene, tmp_path: Path) -> None:
    await play.run("11m")

    (announced,), (first,) = play.of(PROPOSED), play.of(firing("high"))
    token = LINKS.token(announced.proposal_id)
    assert announced.veto == f"https://watcher.example.com/veto/{announced.proposal_id}?t={token}"
    assert first.veto == ""
    assert [path for path in tmp_path.rglob("*") if path.is_file() and token.encode() in path.read_bytes()] == []


async def test_a_console_whose_lines_end_in_logs_gets_no_veto_link(play: Scene) -> None:
    console = FakeTarget("t-console", "team", play.clock)
    console.counts = False
    play.receivers.all.append(console)
    await play.run("11m")

    announced = [message for _, message in console.messages if PROPOSED.matches(message)]
    assert [(message.veto, bool(message.proposal_id)) for message in announced] == [("", True)]


async def test_the_window_begins_when_somebody_got_the_announcement(play: Scene) -> None:
    play.team.down = DeliveryError(FailureReason.NETWORK)
    play.do("40m", lambda: setattr(play.team, "down", None))
    play.expect(between("40m", "50m10s"), PROPOSED)
    play.expect(between("45m", "56m"), CANCELLED)
    play.expect(between("40m", "50m10s"), firing("high"))
    await play.run("60m")

    (at,) = [(at - START).total_seconds() for at, message in play.team.messages if PROPOSED.matches(message)]
    assert cancelled_at(play) == [at + 300]


async def test_it_is_not_cancelled_while_nobody_was_told(play: Scene) -> None:
    play.team.down = DeliveryError(FailureReason.NETWORK)
    play.expect(NEVER, CANCELLED)
    await play.run("2h")

    assert play.provider.posts == []
    assert await states(play) == ["proposed"]


async def test_the_console_is_nobody_and_giving_up_is_told(play: Scene) -> None:
    play.team.counts = False
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("11m", "11m"), WITHDRAWN)
    await play.run("20m")

    assert play.provider.posts == []
    assert play.of(WITHDRAWN)[0].action == UNTOLD


async def test_an_announcement_that_is_refused_for_good_is_given_up_and_told(play: Scene) -> None:
    def refuse() -> None:
        play.team.failures.append(DeliveryError(FailureReason.CLIENT, permanent=True))

    play.do("10m30s", refuse)
    play.expect(NEVER, PROPOSED)
    play.expect(between("11m", "11m30s"), WITHDRAWN)
    await play.run("20m")

    assert play.provider.posts == []
    assert "reached nobody" in play.of(WITHDRAWN)[0].action


async def test_one_receiver_that_counts_is_enough(tmp_path: Path) -> None:
    routing = Routing(routes=(Route(receivers=("team", "desk"), group_by=("account", "job")),))
    async with scene(tmp_path, policy=PROPOSE, routing=routing) as play:
        desk = FakeTarget("t-desk", "desk", play.clock)
        play.team.counts = False
        play.receivers.all.append(desk)
        desk.failures.extend(DeliveryError(FailureReason.TIMEOUT) for _ in range(3))
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        await play.run("20m")

        (at,) = [(at - START).total_seconds() for at, message in desk.messages if PROPOSED.matches(message)]
        assert at > seconds("10m30s")
        assert cancelled_at(play) == [at + 300]


async def test_a_silence_holds_the_announcement_back_and_so_the_cancel(play: Scene) -> None:
    silence = Silence(
        id="s",
        matchers=(Matcher("rule", ("high",)),),
        author="ada",
        comment="night",
        starts_at=START,
        ends_at=START + timedelta(minutes=40),
    )
    await play.store.write(lambda tx: tx.save_silence(silence))
    play.expect(between("40m", "41m"), PROPOSED)
    play.expect(between("45m", "47m"), CANCELLED)
    play.expect(between("40m", "41m"), firing("high"))
    await play.run("50m")

    assert cancelled_at(play)[0] >= seconds("45m")


async def test_a_second_delivery_does_not_begin_the_window_anew(play: Scene) -> None:
    """At least once means that it may come twice."""
    play.expect(between("10m30s", "10m30s"), PROPOSED)

    async def again() -> None:
        (message,) = play.of(PROPOSED)
        assert await play.store.write(lambda tx: play.windows.begin_in(tx, message)) is False
        play.windows.begun(message)

    play.do("14m", again)
    await play.run("16m")

    assert cancelled_at(play) == [seconds("15m30s")]


# --- no, and now ---


async def test_a_veto_ends_it_and_says_by_whom(play: Scene) -> None:
    play.do("12m", play.veto)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("12m", "12m"), VETOED)
    play.expect(NEVER, CANCELLED)
    await play.run("30m")

    assert play.provider.posts == []
    assert await states(play) == ["vetoed"]
    assert play.of(VETOED)[0].action == "Vetoed by ada (it is fine). The watcher will not cancel this job."
    assert play.refusals() == ["somebody vetoed cancels of this job"]


async def test_an_approval_gives_up_the_rest_of_the_window(play: Scene) -> None:
    play.do("12m", play.approve)
    play.expect(between("12m", "12m"), APPROVED)
    play.expect(between("12m30s", "13m"), CANCELLED)
    await play.run("20m")

    assert cancelled_at(play) == [seconds("12m")]
    assert "Approved by ada (it is fine)" in play.of(APPROVED)[0].action


async def test_an_approval_does_not_wait_for_the_announcement(play: Scene) -> None:
    play.team.down = DeliveryError(FailureReason.NETWORK)
    play.do("12m", play.approve)
    await play.run("14m")

    assert cancelled_at(play) == [seconds("12m")]


async def test_an_approval_skips_no_other_guard(play: Scene) -> None:
    play.do("11m50s", (play.directory / "no-cancel").touch)
    play.do("11m50s", play.approve)
    play.expect(between("11m50s", "12m"), WITHDRAWN)
    await play.run("16m")

    assert play.provider.posts == []
    assert "kill switch" in play.of(WITHDRAWN)[0].action


async def test_an_approval_waits_for_fresh_data(play: Scene) -> None:
    play.at("11m", quiet=True)
    play.do("25m", play.approve)
    play.at("40m", quiet=False)
    play.expect(between("17m", "18m"), FROZEN)
    play.expect(between("41m", "42m"), CANCELLED)
    await play.run("45m")

    assert seconds("40m30s") <= cancelled_at(play)[0] <= seconds("41m30s")


async def test_every_word_of_a_person_is_audited(play: Scene) -> None:
    answers = list[str]()

    async def say() -> None:
        answers.append((await play.veto())["outcome"])
        answers.append((await play.veto())["outcome"])
        answers.append((await play.approve())["outcome"])
        answers.append((await play.lift())["outcome"])

    play.do("12m", say)
    await play.run("12m10s")

    assert answers == ["vetoed", "protected", "nothing_open", "lifted"]
    audit = (await play.store.read(lambda reads: reads.audits()))[::-1]
    assert [(a.what.value, a.outcome, a.who, a.via, a.why) for a in audit] == [
        ("veto", "vetoed", "ada", "command", "it is fine"),
        ("veto", "protected", "ada", "command", "it is fine"),
        ("approve", "nothing_open", "ada", "command", "it is fine"),
        ("lift", "lifted", "ada", "command", "it is fine"),
    ]
    vetoed = (await play.proposals())[-1]
    assert [a.proposal_id for a in audit] == [vetoed.id, "", "", ""]


async def test_a_word_about_a_cancel_that_is_over_changes_nothing(play: Scene) -> None:
    """An old link must not touch what came after it."""
    outcomes = list[object]()

    async def late() -> None:
        (proposal,) = await play.proposals()
        for say in (play.veto, play.approve):
            answer = await say(proposal_id=proposal.id)
            outcomes.append((answer["outcome"], answer["done"], answer["never_cancel"]))
            assert "withdrawn" in answer["text"]

    play.at("12m", loss=2)
    play.expect(between("12m", "12m30s"), WITHDRAWN)
    play.do("14m", late)
    await play.run("15m")

    assert outcomes == [("over", False, False)] * 2


async def test_after_a_lifted_veto_another_cancel_is_announced_with_its_own_window(play: Scene) -> None:
    play.do("12m", play.veto)
    play.do("20m", play.lift)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("20m", "20m30s"), PROPOSED)
    play.expect(between("25m", "26m30s"), CANCELLED)
    await play.run("30m")

    assert await states(play) == ["confirmed", "vetoed"]
    assert len({p.id for p in await play.proposals()}) == 2


# --- recovery and other ends ---


async def test_recovery_withdraws_it_and_says_why(play: Scene) -> None:
    play.at("12m", loss=2)
    play.expect(between("12m", "12m30s"), WITHDRAWN)
    play.expect(NEVER, CANCELLED)
    await play.run("30m")

    assert play.provider.posts == []
    assert "does not find it any more" in play.of(WITHDRAWN)[0].action


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.ERROR, Status.CANCELLED])
async def test_a_job_that_ends_within_the_window_is_left_alone(play: Scene, status: Status) -> None:
    play.at("12m", status=status)
    play.expect(between("12m", "12m30s"), WITHDRAWN)
    await play.run("20m")

    assert play.provider.posts == []
    assert "ended first" in play.of(WITHDRAWN)[0].action


async def test_a_job_that_somebody_else_is_cancelling_is_left_alone(play: Scene) -> None:
    play.cancels_settle = False
    play.at("12m", status=Status.CANCEL_REQUESTED)
    play.expect(between("12m", "12m30s"), WITHDRAWN)
    await play.run("20m")

    assert play.provider.posts == []
    assert "cancel_requested, not running" in play.of(WITHDRAWN)[0].action


async def test_a_kill_switch_withdraws_it_and_its_removal_announces_it_anew(play: Scene) -> None:
    switch = play.directory / "no-cancel"
    play.do("12m", switch.touch)
    play.do("20m", switch.unlink)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("12m", "12m30s"), WITHDRAWN)
    play.expect(between("20m", "20m30s"), PROPOSED)
    play.expect(between("25m", "26m30s"), CANCELLED)
    await play.run("30m")

    assert cancelled_at(play)[0] >= seconds("25m")


# --- unknown ---


async def test_an_api_that_is_down_freezes_it_and_that_is_told_once(play: Scene) -> None:
    play.do("12m", lambda: play.provider.fail("list", unseen(FailureReason.SERVER, 503)))
    play.do("40m", play.provider.mend)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("17m", "18m30s"), FROZEN)
    play.expect(between("40m30s", "41m"), PROPOSED)
    play.expect(between("45m30s", "47m"), CANCELLED)
    await play.run("50m")

    assert "the API can't be read (server)" in play.of(FROZEN)[0].action
    first, again = play.of(PROPOSED)
    assert again.proposal_round > first.proposal_round
    assert again.action.startswith("Announced again, since the API can't be read (server) for 6 min")


async def test_after_a_short_wait_the_announced_window_still_holds(play: Scene) -> None:
    """People had it all; two fresh sweeps agree before anything is asked."""
    play.at("11m", quiet=True)
    play.at("18m30s", quiet=False)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("17m", "18m"), FROZEN)
    play.expect(between("19m", "20m30s"), CANCELLED)
    await play.run("25m")

    assert seconds("19m") <= cancelled_at(play)[0] <= seconds("20m")


async def test_a_rule_that_crashes_freezes_it(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=PROPOSE, rules=(Crashing(),)) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        play.do("12m", lambda: play.provider.jobs["ft-1"].rows.append(TrainRow(72, ns(719), 666.0)))
        play.expect(between("10m30s", "10m30s"), PROPOSED)
        play.expect(between("12m", "12m30s"), FROZEN)
        play.expect(NEVER, CANCELLED)
        await play.run("40m")

        assert play.provider.posts == []
        assert "rule crashed" in play.of(FROZEN)[0].action


async def test_a_rule_that_cannot_tell_freezes_it(play: Scene) -> None:
    play.at("12m", loss=-1)
    play.at("14m", loss=9)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("12m", "12m30s"), FROZEN)
    play.expect(between("15m30s", "16m30s"), CANCELLED)
    await play.run("20m")

    assert cancelled_at(play) == [seconds("15m30s")]


async def test_a_step_of_the_clock_gives_a_full_window_again(play: Scene) -> None:
    async def step() -> None:
        play.clock.step_wall(3600)
        play.sweeper.distrust_clock()
        await play.windows.restart(STEPPED)

    play.do("14m", step)
    await play.run("25m")

    announced = [(m.proposal_round, at) for at, m in play.team.messages if PROPOSED.matches(m)]
    assert len(announced) == 2
    assert "Announced again, since the clock was changed" in play.of(PROPOSED)[1].action
    (post,) = play.provider.taken
    assert post.at - announced[1][1] == timedelta(minutes=5)
    assert play.of(FROZEN) == []


async def test_a_clock_that_jumps_over_the_deadline_unnoticed_cancels_nothing_early(play: Scene) -> None:
    """As after a machine slept: the pump may run before anybody has compared the clocks."""
    play.do("12m", lambda: play.clock.step_wall(3600))
    posts = list[float]()
    play.provider.before_cancel = lambda _job: posts.append(play.now)
    await play.run("20m")

    assert posts == [] or posts[0] >= seconds("15m30s")


# --- restarts ---


async def test_a_restart_gives_a_full_window_and_announces_it_again(play: Scene) -> None:
    play.do("14m", play.restart)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("14m30s", "15m"), PROPOSED)
    play.expect(between("19m30s", "21m"), CANCELLED)
    await play.run("25m")

    assert "Announced again, since the watcher was restarted" in play.of(PROPOSED)[1].action
    (again,) = [at for at, m in play.team.messages if PROPOSED.matches(m)][1:]
    assert play.provider.taken[0].at - again == timedelta(minutes=5)


async def test_a_restart_again_and_again_never_shortens_a_window(play: Scene) -> None:
    for minute in (13, 17, 21):
        play.do(f"{minute}m", play.restart)
    await play.run("30m")

    last = [at for at, m in play.team.messages if PROPOSED.matches(m)][-1]
    assert [post.at for post in play.provider.taken] == [last + timedelta(minutes=5)]
    assert last > START + timedelta(minutes=21)


async def test_after_a_restart_without_fresh_data_it_waits_and_says_so(play: Scene) -> None:
    play.at("11m", quiet=True)
    play.do("20m", play.restart)
    play.expect(between("10m30s", "10m30s"), PROPOSED)
    play.expect(between("17m", "18m"), FROZEN)
    play.expect(between("20m", "21m"), FROZEN)
    play.expect(NEVER, CANCELLED)
    await play.run("1h")

    assert play.provider.posts == []
    assert await states(play) == ["proposed"]


async def test_an_approval_outlives_a_restart(play: Scene) -> None:
    play.at("11m", quiet=True)
    play.do("12m", play.approve)
    play.do("12m", play.restart)
    play.at("12m10s", quiet=False)
    play.expect(between("13m", "14m30s"), CANCELLED)
    await play.run("20m")

    assert len(play.of(PROPOSED)) == 1


async def test_a_veto_that_was_stored_before_a_restart_holds(play: Scene) -> None:
    play.do("12m", play.veto)
    play.do("12m", play.restart)
    play.expect(NEVER, CANCELLED)
    await play.run("30m")

    assert play.provider.posts == []


# --- the mode changes ---


@pytest.mark.parametrize(
    ("mode", "ends", "posts"),
    [
        pytest.param(CancelMode.OFF, "withdrawn", 0, id="off takes it back"),
        pytest.param(CancelMode.OBSERVE, "withdrawn", 0, id="observe takes it back"),
        pytest.param(CancelMode.ENFORCE, "confirmed", 1, id="enforce leaves people their window"),
    ],
)
async def test_a_reload_to_another_mode(play: Scene, mode: CancelMode, ends: str, posts: int) -> None:
    play.do("12m", lambda: play.reload(replace(PROPOSE, mode=mode)))
    await play.run("20m")

    assert (await play.proposals())[-1].state == ends
    assert len(play.provider.posts) == posts
    assert all(at == seconds("15m30s") for at in cancelled_at(play))
    assert len(play.of(WITHDRAWN)) == (not posts)


async def test_an_enforced_cancel_that_waits_is_announced_after_a_reload_to_propose(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=ENFORCE) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        play.provider.fail("cancel", unseen(FailureReason.RATE_LIMITED, 429), times=1)
        play.do("10m40s", lambda: play.reload(PROPOSE))
        play.expect(between("10m40s", "10m50s"), WITHDRAWN)
        play.expect(between("11m", "12m"), PROPOSED)
        await play.run("20m")

        assert [(p.mode, p.state.value) for p in await play.proposals()] == [
            ("propose", "confirmed"),
            ("enforce", "withdrawn"),
        ]
        assert "auto-cancel is propose" in play.of(WITHDRAWN)[0].action


# --- many at once ---


async def test_no_more_are_proposed_at_once_than_may_be_cancelled_in_an_hour(tmp_path: Path) -> None:
    async with scene(tmp_path, policy=PROPOSE) as play:
        for number in range(6):
            play.job(f"ft-{number}", total_steps=1000)
            play.at("10m", job=f"ft-{number}", loss=9)
        play.expect(between("10m30s", "11m"), firing("watcher_fault", kind="cancel_rate:main"))
        await play.run("20m")

        assert len(play.of(PROPOSED)) == 3
        assert len(play.provider.taken) == 3


async def test_each_announcement_is_a_message_of_its_own(tmp_path: Path) -> None:
    routing = Routing(routes=(Route(receivers=("team",), group_by=()),), storm=1)
    async with scene(tmp_path, policy=PROPOSE, routing=routing) as play:
        for number in range(3):
            play.job(f"ft-{number}", total_steps=1000)
            play.at("10m", job=f"ft-{number}", loss=9)
        await play.run("12m")

        assert sorted(message.job_id for message in play.of(PROPOSED)) == ["ft-0", "ft-1", "ft-2"]
        assert all(message.proposal_id for message in play.of(PROPOSED))


# --- answers to the request, after the window ---


@pytest.mark.parametrize("reason", [FailureReason.RATE_LIMITED, FailureReason.CONFLICT, FailureReason.CLIENT])
async def test_a_request_that_surely_was_not_taken_may_still_be_vetoed(play: Scene, reason: FailureReason) -> None:
    play.provider.fail("cancel", unseen(reason), times=1)
    play.provider.before_cancel = lambda _job: play.do("0s", play.veto)
    play.expect(between("15m30s", "16m"), VETOED)
    await play.run("20m")

    assert play.provider.taken == []
    assert await states(play) == [ProposalState.VETOED]


# --- a clock that goes on while it is read ---


class Ticking(FakeClock):
    """No two readings are the same, as with every real clock."""

    def now(self) -> datetime:
        self.step_wall(1e-6)
        return super().now()


@pytest.mark.parametrize("policy", [ENFORCE, PROPOSE], ids=["enforce", "propose"])
async def test_a_clock_that_goes_on_within_a_decision_holds_nothing_up(tmp_path: Path, policy: CancelPolicy) -> None:
    async with scene(tmp_path, policy=policy, clock=Ticking()) as play:
        play.job(total_steps=1000)
        play.at("10m", loss=9)
        await play.run("18m")

        assert len(play.provider.taken) == 1
        (effect,) = [row for row in await play.outbox() if row.effect is Effect.CANCEL]
        assert effect.attempts <= 1
