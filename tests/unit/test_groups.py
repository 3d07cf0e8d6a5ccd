"""Groups: what is told together, when, again, to whom else, and what is held back; flushed as the router does."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.stored import NOW, at
from watcher.domain import codec
from watcher.domain.alerts import TransitionReason
from watcher.domain.groups import FOREVER, Decision, Group, Member, Telling, Timing, add_news, flush, storm
from watcher.domain.muting import Muted

FIRST, RESOLVED, REMINDER = TransitionReason.FIRST, TransitionReason.RESOLVED, TransitionReason.REMINDER
AGAIN = TransitionReason.AGAIN
ESCALATED, CANCELLED = TransitionReason.ESCALATED, TransitionReason.CANCELLED

TIMING = Timing(
    group_wait=timedelta(minutes=1),
    group_interval=timedelta(minutes=5),
    repeat_interval=timedelta(hours=4),
)
CALM = Timing(group_wait=timedelta(0), group_interval=timedelta(minutes=5), repeat_interval=None)

Told = tuple[float, str, str, str]


@dataclass
class Receiver:
    """One group and what came of it, in minutes from NOW."""

    timing: Timing = TIMING
    escalate_to: str = ""
    mutes: Callable[[str, float], Muted | None] = lambda _alert, _minute: None
    group: Group = field(default_factory=lambda: Group(key="g", receiver="team", route=""))
    acked: dict[str, datetime] = field(default_factory=dict)
    told: list[Told] = field(default_factory=list)
    tellings: list[Telling] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    count: int = 0

    def news(self, minute: float, alert: str, reason: TransitionReason = FIRST, *, notice: bool = False) -> None:
        """A transition; what was due before it is flushed first, as it comes."""
        self.live(minute)
        self.count += 1
        member = Member(alert_id=alert, labels={}, notice=notice)
        add_news(self.group, self.timing, member=member, transition_id=self.count, reason=reason, now=at(minute))
        self.live(minute)

    def live(self, minute: float) -> None:
        """Flush whenever it is due, up to and with a minute."""
        flushes = 0
        while self.group.flush_at is not None and self.group.flush_at <= at(minute):
            self.flush(self.group.flush_at)
            flushes += 1
            assert flushes < 100_000, "it never rests"

    def flush(self, now: datetime) -> None:
        minute = (now - NOW) / timedelta(minutes=1)
        # As stored and read in between.
        self.group = codec.decode(Group, codec.encode(self.group))
        done = flush(
            self.group,
            self.timing,
            now=now,
            muted=lambda member: self.mutes(member.alert_id, minute),
            acknowledged=lambda alert: until if (until := self.acked.get(alert, now)) > now else None,
            escalate_to=self.escalate_to,
        )
        assert self.group.flush_at is None or self.group.flush_at > now
        self.decisions += done.decisions
        self.tellings += done.tellings
        for telling in done.tellings:
            self.told += [(minute, telling.receiver, alert, reason.value) for _, alert, reason in telling.items]

    def to(self, receiver: str = "team") -> list[tuple[float, str, str]]:
        return [(minute, alert, reason) for minute, who, alert, reason in self.told if who == receiver]

    @property
    def why(self) -> list[str]:
        return [decision.what for decision in self.decisions]


def silenced(*spans: tuple[float, float], alerts: Iterable[str] = ("a", "b")) -> Callable[[str, float], Muted | None]:
    def mutes(alert: str, minute: float) -> Muted | None:
        held = [end for start, end in spans if start <= minute < end and alert in alerts]
        return Muted("silence", f"silence until {held[0]}", at(held[0])) if held else None

    return mutes


def test_the_first_news_of_a_group_wait_for_others() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(0.5, "b")
    team.live(3)

    assert team.to() == [(1, "a", "first"), (1, "b", "first")]
    assert len(team.tellings) == 1


def test_later_news_wait_for_the_interval_since_the_group_was_told() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(2, "b")
    team.news(4, "c")
    team.live(20)

    assert team.to() == [(1, "a", "first"), (6, "b", "first"), (6, "c", "first")]


def test_news_of_a_group_that_has_rested_are_told_at_once() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(60, "b")

    assert team.to()[-1] == (60, "b", "first")


def test_what_became_of_a_cancel_waits_for_nobody() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(2, "a", CANCELLED)

    assert team.to()[-1] == (2, "a", "cancelled")


def test_what_began_and_what_ended_are_two_messages() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(2, "a", RESOLVED)
    team.news(3, "b")
    team.live(10)

    assert [{reason.value for _, _, reason in telling.items} for telling in team.tellings] == [
        {"first"},
        {"first"},
        {"resolved"},
    ]


def test_what_ended_and_came_back_before_it_was_told_is_one_beginning() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(0.3, "a", RESOLVED)
    team.news(0.6, "a", AGAIN)
    team.live(300)

    assert team.to() == [(1, "a", "first"), (241, "a", "reminder")]


def test_what_was_told_and_left_for_less_than_an_interval_is_not_told_of_that() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(2, "a", RESOLVED)
    team.news(3, "a", AGAIN)
    team.live(300)

    assert team.to() == [(1, "a", "first"), (241, "a", "reminder")]
    assert "not told: it ended and came back" in team.why


def test_what_came_back_after_its_end_was_told_is_told_again() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(20, "a", RESOLVED)
    team.news(30, "a", AGAIN)
    team.live(60)

    assert [reason for _, _, reason in team.to()] == ["first", "resolved", "again"]


def test_all_clear_is_only_said_when_nothing_is_left() -> None:
    team = Receiver(CALM)
    for alert in ("a", "b", "c"):
        team.news(0, alert)
    team.news(10, "a", RESOLVED)
    team.news(20, "b", RESOLVED)
    team.news(20, "c", RESOLVED)
    team.live(30)

    assert [t.clear for t in team.tellings if t.items[0][2] is RESOLVED] == [False, False, True]


def test_what_fires_is_told_again_each_repeat_interval_until_it_ends() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(9 * 60, "a", RESOLVED)
    team.live(24 * 60)

    assert team.to() == [(1, "a", "first"), (241, "a", "reminder"), (481, "a", "reminder"), (540, "a", "resolved")]
    assert team.group.members == {}
    assert team.group.flush_at is None


def test_alerts_that_began_minutes_apart_are_repeated_together() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(10, "b")
    team.live(8 * 60)

    assert team.to()[2:] == [(250, "a", "reminder"), (250, "b", "reminder")]


def test_news_every_hour_do_not_put_off_a_reminder_for_ever() -> None:
    team = Receiver()
    team.news(0, "a")
    for hour in range(1, 24):
        team.news(60 * hour, f"b{hour}")
        team.news(60 * hour + 30, f"b{hour}", RESOLVED)
    reminders = [minute for minute, alert, reason in team.to() if (alert, reason) == ("a", "reminder")]

    assert len(reminders) >= 3
    assert all(later - earlier <= 6 * 60 for earlier, later in zip([1, *reminders], reminders, strict=False))


def test_without_a_repeat_interval_nothing_is_repeated() -> None:
    team = Receiver(CALM)
    team.news(0, "a")
    team.live(60 * 24 * 30)

    assert team.to() == [(0, "a", "first")]


def test_a_notice_is_told_once_and_forgotten() -> None:
    team = Receiver()
    team.news(0, "a", notice=True)
    team.live(60 * 24)

    assert team.to() == [(1, "a", "first")]
    assert team.group.members == {}


def test_who_is_acknowledged_is_not_repeated_but_ends() -> None:
    team = Receiver()
    team.news(0, "a")
    team.news(0, "b")
    team.live(60)
    team.acked["a"] = FOREVER
    team.news(10 * 60, "a", RESOLVED)

    assert [entry for entry in team.to() if entry[1] == "a"] == [(1, "a", "first"), (600, "a", "resolved")]
    assert [entry[2] for entry in team.to() if entry[1] == "b"] == ["first", "reminder", "reminder"]
    assert team.why.count("not repeated: acknowledged") == 1


# --- escalation ---

URGENT = Timing(repeat_interval=timedelta(hours=4), escalate_after=timedelta(minutes=30))


def test_who_is_acknowledged_until_a_time_is_repeated_and_escalated_from_then_on() -> None:
    team = Receiver(replace(TIMING, escalate_after=timedelta(minutes=30)), escalate_to="boss")
    team.news(0, "a")
    team.acked["a"] = at(300)
    team.live(299)
    before = list(team.told)
    team.live(600)

    assert before == [(1, "team", "a", "first")]
    assert team.to()[1:] == [(300, "a", "reminder"), (540, "a", "reminder")]
    assert team.to("boss")[0] == (300, "a", "escalated")


def test_what_nobody_acknowledged_in_time_goes_to_somebody_else_once_and_so_does_its_end() -> None:
    team = Receiver(URGENT, escalate_to="boss")
    team.news(0, "a")
    team.news(300, "a", RESOLVED)

    assert team.to("boss") == [(30, "a", "escalated"), (300, "a", "resolved")]
    assert [reason for _, _, reason in team.to()] == ["first", "reminder", "resolved"]
    assert {d.receiver for d in team.decisions if d.what == "told: escalated"} == {"boss"}


def test_what_was_acknowledged_or_over_in_time_goes_to_nobody_else() -> None:
    team = Receiver(URGENT, escalate_to="boss")
    team.news(0, "a")
    team.news(0, "b")
    team.live(20)
    team.acked["a"] = FOREVER
    team.news(20, "b", RESOLVED)
    team.live(300)

    assert team.to("boss") == []


def test_an_escalation_waits_for_the_end_of_a_silence() -> None:
    team = Receiver(URGENT, escalate_to="boss", mutes=silenced((10, 60)))
    team.news(0, "a")
    team.live(120)

    assert team.to("boss") == [(60, "a", "escalated")]
    assert "not escalated: silence" in team.why


# --- muting ---


def test_what_is_silenced_is_told_when_the_silence_ends_and_it_still_fires() -> None:
    team = Receiver(CALM, mutes=silenced((0, 62)))
    team.news(0, "a")
    team.live(120)

    assert team.to() == [(62, "a", "first")]
    assert team.why == ["held: silence", "told: first"]


def test_what_began_and_ended_while_it_was_silenced_is_never_told() -> None:
    team = Receiver(CALM, mutes=silenced((0, 62)))
    team.news(0, "a")
    team.news(30, "a", RESOLVED)
    team.live(120)

    assert team.to() == []
    assert team.why == ["held: silence", "never told: silence"]
    assert team.group.members == {}


def test_what_ended_just_as_the_silence_did_is_not_told_either() -> None:
    team = Receiver(CALM, mutes=silenced((0, 30)))
    team.news(0, "a")
    team.group.flush_at = at(31)
    team.group.members["a"].firing = False
    team.live(40)

    assert team.to() == []


def test_an_inhibited_alert_is_told_within_an_interval_of_the_end_of_its_source() -> None:
    team = Receiver(CALM, mutes=lambda _, minute: Muted("inhibition", "failure fires") if minute < 12 else None)
    team.news(0, "a")
    team.live(60)

    assert team.to() == [(15, "a", "first")]


def test_what_was_told_before_is_told_to_its_end_whatever_mutes_it() -> None:
    team = Receiver(CALM, mutes=silenced((10, 100)))
    team.news(0, "a")
    team.news(20, "a", RESOLVED)

    assert team.to() == [(0, "a", "first"), (20, "a", "resolved")]


def test_a_reminder_that_fell_into_a_silence_comes_when_it_is_over() -> None:
    team = Receiver(mutes=silenced((200, 300), alerts=["a"]))
    team.news(0, "a")
    team.news(0, "b")
    team.live(400)

    assert team.to()[2:] == [(241, "b", "reminder"), (300, "a", "reminder")]
    assert team.why.count("not repeated: silence") == 1


def test_a_second_silence_is_a_reason_of_its_own() -> None:
    team = Receiver(CALM, mutes=silenced((0, 30), (30, 60)))
    team.news(0, "a")
    team.live(90)

    assert [d.why for d in team.decisions] == ["silence until 30", "silence until 60", ""]


# --- storms ---


def of(receiver: str, count: int, reason: TransitionReason = FIRST) -> list[Telling]:
    return [
        Telling(receiver=receiver, group=f"g{n}", items=((n, f"a{n}", reason),), clear=reason is RESOLVED)
        for n in range(count)
    ]


def test_a_storm_is_one_message_for_each_receiver_and_kind() -> None:
    merged = storm([*of("team", 50), *of("boss", 3), *of("team", 40, RESOLVED)], 10)

    assert [(t.receiver, len(t.items)) for t in merged] == [
        ("team", 50),
        ("boss", 1),
        ("boss", 1),
        ("boss", 1),
        ("team", 40),
    ]
    assert [t.clear for t in merged if len(t.items) > 1] == [False, True]


def test_as_many_as_are_allowed_are_no_storm() -> None:
    assert len(storm(of("team", 10), 10)) == 10


# --- promises ---

STEPS = st.lists(
    st.tuples(
        st.floats(0, 90, allow_nan=False).map(lambda value: round(value, 1)),
        st.sampled_from("abc"),
        st.sampled_from(["fire", "fire", "end", "ack"]),
    ),
    max_size=20,
)
SPANS = st.lists(st.tuples(st.integers(0, 600), st.integers(1, 300)), max_size=4)
TIMINGS = st.builds(
    Timing,
    group_wait=st.sampled_from([timedelta(0), timedelta(minutes=1)]),
    group_interval=st.sampled_from([timedelta(minutes=1), timedelta(minutes=7)]),
    repeat_interval=st.sampled_from([timedelta(minutes=30), timedelta(hours=4)]),
    escalate_after=st.sampled_from([None, timedelta(minutes=20)]),
)


def lived(
    steps: list[tuple[float, str, str]], spans: list[tuple[int, int]], timing: Timing
) -> tuple[Receiver, dict[str, float]]:
    """A group under these alerts (each episode one of its own) and silences; and when each that still fires began."""
    mutes = [(float(start), float(start + length)) for start, length in spans]

    def muted(_: str, minute: float) -> Muted | None:
        ends = [end for start, end in mutes if start <= minute < end]
        return Muted("silence", f"until {min(ends)}", at(min(ends))) if ends else None

    team = Receiver(timing, escalate_to="boss", mutes=muted)
    firing, minute, episode = dict[str, tuple[str, float]](), 0.0, 0
    for wait, name, what in steps:
        minute += wait
        if what == "fire" and name not in firing:
            episode += 1
            firing[name] = (f"{name}{episode}", minute)
            team.news(minute, firing[name][0])
        elif what == "end" and name in firing:
            team.news(minute, firing.pop(name)[0], RESOLVED)
        elif what == "ack" and name in firing:
            team.live(minute)
            team.acked[firing[name][0]] = FOREVER
    team.live(minute + 1500)
    return team, dict(firing.values())


@given(STEPS, SPANS, TIMINGS)
def test_no_firing_is_told_twice_to_one_receiver_within_the_repeat_interval(
    steps: list[tuple[float, str, str]], spans: list[tuple[int, int]], timing: Timing
) -> None:
    team, _ = lived(steps, spans, timing)
    assert timing.repeat_interval is not None
    least = timing.repeat_interval / timedelta(minutes=1)
    last: dict[tuple[str, str], float] = {}
    for minute, receiver, alert, reason in team.told:
        if reason in ("first", "reminder"):
            assert minute - last.get((receiver, alert), -least) >= least - 1e-6
            last[receiver, alert] = minute


@given(STEPS, SPANS, TIMINGS)
@example([(0.0, "a", "fire"), (0.0, "a", "end"), (0.0, "c", "fire"), (0.0, "c", "end")], [], Timing())
def test_nothing_is_told_twice_and_an_end_only_after_its_beginning(
    steps: list[tuple[float, str, str]], spans: list[tuple[int, int]], timing: Timing
) -> None:
    team, _ = lived(steps, spans, timing)
    once = [(who, alert, reason) for _, who, alert, reason in team.told if reason != "reminder"]
    began = set[str]()
    for _, _, alert, reason in team.told:
        began |= {alert} if reason == "first" else set()
        assert alert in began

    assert len(once) == len(set(once))


@given(STEPS, SPANS, TIMINGS)
def test_what_still_fires_after_its_muting_is_told(
    steps: list[tuple[float, str, str]], spans: list[tuple[int, int]], timing: Timing
) -> None:
    team, firing = lived(steps, spans, timing)
    told = {alert for _, alert, reason in team.to() if reason == "first"}

    assert set(firing) <= told


@given(STEPS, SPANS, TIMINGS)
def test_nothing_new_is_told_while_it_is_muted(
    steps: list[tuple[float, str, str]], spans: list[tuple[int, int]], timing: Timing
) -> None:
    team, _ = lived(steps, spans, timing)
    for minute, _, _, reason in team.told:
        if reason in ("first", "reminder", "escalated"):
            assert team.mutes("", minute) is None


@pytest.mark.parametrize("acked", [True, False])
def test_who_is_acknowledged_before_the_first_repeat_is_never_repeated(acked: bool) -> None:  # noqa: FBT001
    team = Receiver(URGENT, escalate_to="boss")
    team.news(0, "a")
    team.acked |= {"a": FOREVER} if acked else {}
    team.live(1000)

    assert (REMINDER.value in {reason for *_, reason in team.told}) is not acked
    assert (ESCALATED.value in {reason for *_, reason in team.told}) is not acked
