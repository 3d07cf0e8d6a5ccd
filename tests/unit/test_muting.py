"""Why an alert is not told now: silences, inhibition, and mute times over midnight and the change of the clocks."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.stored import NOW, at
from watcher.domain.matching import parse_matcher
from watcher.domain.muting import DEFAULT_INHIBITIONS, Inhibition, Muted, MuteTime, Silence, muted_by

BERLIN = ZoneInfo("Europe/Berlin")
EVERY_DAY = frozenset(range(7))
ALERT = {"account": "main", "job": "ft-1", "rule": "stall", "suffix": "prod-7"}


def a_silence(*matchers: str, starts: float = 0, ends: float = 60) -> Silence:
    return Silence(
        id="s1",
        matchers=tuple(map(parse_matcher, matchers)),
        author="an operator",
        comment="maintenance",
        starts_at=at(starts),
        ends_at=at(ends),
    )


def why(
    labels: dict[str, str],
    *,
    silences: Sequence[Silence] = (),
    inhibitions: Sequence[Inhibition] = (),
    firing: Sequence[dict[str, str]] = (),
    mutes: Sequence[MuteTime] = (),
    now: datetime = NOW,
) -> Muted | None:
    return muted_by(labels, silences=silences, inhibitions=inhibitions, firing=firing, mute_times=mutes, now=now)


def test_a_silence_holds_from_its_start_until_just_before_its_end() -> None:
    silence = a_silence("suffix=prod-*", starts=1, ends=2)
    held = [minute for minute in (0.9, 1, 1.9, 2) if why(ALERT, silences=[silence], now=at(minute))]

    assert held == [1, 1.9]


def test_a_silence_says_who_asked_for_it_why_and_until_when() -> None:
    muted = why(ALERT, silences=[a_silence("suffix=prod-*")])

    assert muted is not None
    assert muted.how == "silence"
    assert muted.why == "silence s1 by an operator until 2026-11-23 11:00 UTC: maintenance"
    assert muted.until == at(60)


def test_a_silence_takes_only_what_all_of_its_matchers_take() -> None:
    assert why(ALERT, silences=[a_silence("suffix=prod-*", "rule=divergence")]) is None


# --- inhibition ---


def test_what_no_inhibition_takes_is_not_compared_with_all_that_fires() -> None:
    looked_at = []

    def firing() -> Iterator[dict[str, str]]:
        for number in range(1000):
            looked_at.append(number)
            yield {"account": "main", "job": f"ft-{number}", "rule": "nan_loss"}

    for rule in ("nan_loss", "stall"):
        told = muted_by(
            {"account": "main", "job": "ft-1", "rule": rule},
            silences=(),
            inhibitions=DEFAULT_INHIBITIONS,
            firing=firing(),
            mute_times=(),
            now=NOW,
        )
        assert told is None
        assert len(looked_at) == (0 if rule == "nan_loss" else 1000)


@pytest.mark.parametrize(
    ("source", "target", "muted"),
    [
        pytest.param("failure", "stall", True, id="a failed job has not also stalled"),
        pytest.param("deleted", "plateau", True, id="nor has a deleted one a plateau"),
        pytest.param("divergence", "overfitting", False, id="what was found about the loss is told whole"),
        pytest.param("divergence", "stall", False, id="a lost loss says nothing of a stall"),
        pytest.param("stall", "failure", False, id="not the other way round"),
    ],
)
def test_the_built_in_inhibitions_are_about_one_job(source: str, target: str, *, muted: bool) -> None:
    of_this = {"account": "main", "job": "ft-1", "rule": source}
    of_another = of_this | {"job": "ft-2"}
    alert = ALERT | {"rule": target}

    assert (why(alert, inhibitions=DEFAULT_INHIBITIONS, firing=[of_this]) is not None) is muted
    assert why(alert, inhibitions=DEFAULT_INHIBITIONS, firing=[of_another]) is None


def test_an_account_out_of_sight_mutes_what_rests_on_silence_of_all_its_jobs() -> None:
    source = {"account": "main", "job": "", "rule": "provider_unreachable"}
    muted = why(ALERT, inhibitions=DEFAULT_INHIBITIONS, firing=[source])

    assert muted == Muted("inhibition", "provider_unreachable fires on main")
    assert why(ALERT | {"account": "other"}, inhibitions=DEFAULT_INHIBITIONS, firing=[source]) is None


def test_two_alerts_never_mute_each_other() -> None:
    wide = Inhibition(
        source=(parse_matcher("rule=stall|plateau"),), target=(parse_matcher("rule=stall|plateau"),), equal=("job",)
    )

    assert why(ALERT, inhibitions=[wide], firing=[ALERT | {"rule": "plateau"}]) is None


# --- mute times ---


def a_mute(start: str, end: str, days: frozenset[int] = EVERY_DAY) -> MuteTime:
    return MuteTime(name="night", days=days, start=time.fromisoformat(start), end=time.fromisoformat(end), zone=BERLIN)


@pytest.mark.parametrize(
    ("mute", "local", "held"),
    [
        pytest.param(a_mute("22:00", "07:00"), "2026-11-23T21:59", False, id="just before"),
        pytest.param(a_mute("22:00", "07:00"), "2026-11-23T22:00", True, id="its first minute"),
        pytest.param(a_mute("22:00", "07:00"), "2026-11-24T00:00", True, id="over midnight"),
        pytest.param(a_mute("22:00", "07:00"), "2026-11-24T07:00", False, id="its end is not in it"),
        pytest.param(a_mute("12:00", "13:00"), "2026-11-23T12:30", True, id="within a day"),
        pytest.param(a_mute("22:00", "07:00", frozenset({4})), "2026-11-28T03:00", True, id="friday night is saturday"),
        pytest.param(a_mute("22:00", "07:00", frozenset({4})), "2026-11-27T03:00", False, id="but not friday morning"),
        pytest.param(a_mute("22:00", "07:00", frozenset({6})), "2026-11-30T03:00", True, id="sunday night is monday"),
        pytest.param(a_mute("00:00", "00:00"), "2026-11-23T15:00", True, id="the same twice is the whole day"),
    ],
)
def test_a_mute_time_is_in_local_time(mute: MuteTime, local: str, *, held: bool) -> None:
    assert mute.holds(datetime.fromisoformat(local).replace(tzinfo=BERLIN)) is held


def test_a_mute_time_keeps_to_the_clock_on_the_wall_when_the_clocks_change() -> None:
    mute = a_mute("22:00", "07:00")
    summer, winter = datetime(2026, 10, 24, 20, 0, tzinfo=UTC), datetime(2026, 10, 25, 21, 0, tzinfo=UTC)

    assert [mute.holds(summer - timedelta(minutes=1)), mute.holds(summer)] == [False, True]
    assert [mute.holds(winter - timedelta(minutes=1)), mute.holds(winter)] == [False, True]


def test_the_hour_that_is_twice_in_autumn_is_muted_twice_and_the_one_that_is_missing_in_spring_never() -> None:
    twice = a_mute("02:00", "03:00")
    autumn, spring = datetime(2026, 10, 25, tzinfo=UTC), datetime(2026, 3, 29, tzinfo=UTC)

    assert [twice.holds(autumn + timedelta(minutes=30 * n)) for n in range(6)] == [True] * 4 + [False] * 2
    assert not any(twice.holds(spring + timedelta(minutes=30 * n)) for n in range(6))


def test_a_silence_is_the_reason_before_an_inhibition_and_that_before_a_mute_time() -> None:
    always = a_mute("00:00", "00:00")
    source = {"account": "main", "job": "ft-1", "rule": "failure"}
    mine = a_silence("suffix=prod-*")

    found = [
        why(ALERT, silences=silences, inhibitions=DEFAULT_INHIBITIONS, firing=firing, mutes=[always])
        for silences, firing in (([mine], [source]), ([], [source]), ([], []))
    ]

    assert [muted.how for muted in found if muted] == ["silence", "inhibition", "mute_time"]
