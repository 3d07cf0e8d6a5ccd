"""The fold over one subject: what fires, what resolves, what is kept over a restart."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.toys import Crashing, High, High2, Quiet, Trace, stored
from watcher.domain.alerts import AlertState, Subject, TransitionReason
from watcher.domain.cells import fingerprint
from watcher.domain.engine import Fold
from watcher.domain.observations import EvalRow, Event, TrainRow
from watcher.domain.rule import SubjectKind

NOW = datetime(2026, 11, 23, tzinfo=UTC)
SUBJECT = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-1")
KEY = ("high", "over")


def row(step: int, loss: float) -> TrainRow:
    return TrainRow(step, step * 10**9, loss)


def a_fold(*rules: Any) -> Fold:
    return Fold.of(SUBJECT, rules or (High(),))


def feed(fold: Fold, *losses: float, start: int = 1) -> list[str]:
    told = []
    for step, loss in enumerate(losses, start):
        told += [t.reason.value for t in fold.observe(row(step, loss), NOW)]
    return told


@pytest.mark.parametrize(
    ("losses", "told"),
    [
        pytest.param([1, 1], [], id="nothing is told of a good run"),
        pytest.param([1, 9, 9, 9], ["first"], id="a breach that lasts is told once"),
        pytest.param([9, 1], ["first", "resolved"], id="it ends when the rule is clear"),
        pytest.param([9, -1, -1], ["first"], id="not knowing ends nothing"),
        pytest.param([-1, -1], [], id="not knowing begins nothing"),
        pytest.param([9, -1, 9], ["first"], id="not knowing in between is no new episode"),
        pytest.param([9, 1, 9, 1], ["first", "resolved"] * 2, id="a second episode is told again"),
    ],
)
def test_what_is_told(losses: list[float], told: list[str]) -> None:
    assert feed(a_fold(), *losses) == told


def test_an_alert_carries_what_its_finding_said_when_it_fired() -> None:
    fold = a_fold()
    feed(fold, 1, 9, 10)

    (alert,) = fold.firing()
    assert (alert.step, alert.onset, alert.episode, alert.may_cancel) == (2, 2, 1, True)
    assert "step 2" in alert.reason


def test_episodes_have_ids_of_their_own_that_do_not_depend_on_the_process() -> None:
    one, other = a_fold(), a_fold()
    feed(one, 9, 1, 9)
    feed(other, 9)
    first = other.alerts[KEY].id

    assert one.alerts[KEY].id != first
    assert one.alerts[KEY].episode == 2


def test_history_is_folded_without_a_word_and_judged_at_its_end() -> None:
    fold = a_fold()
    fold.observe_silently([row(1, 9), row(2, 1), row(3, 9)])

    assert fold.firing() == []
    assert [t.alert.step for t in fold.judge_all(NOW)] == [3]


def test_a_rule_that_watches_time_is_not_judged_in_the_middle_of_a_sweep() -> None:
    fold = a_fold(Quiet())
    old = Event(type="x", at=datetime(2026, 1, 1, tzinfo=UTC))

    assert fold.observe(old, NOW) == []
    assert fold.judge_all(NOW, timed=False) == []
    assert len(fold.judge_timed(NOW)) == 1


# --- crashes ---


def test_a_rule_that_raises_is_unknown_and_the_others_go_on() -> None:
    fold = a_fold(Crashing(), High())
    told = feed(fold, 9, 666, 1)

    assert told == ["first", "first", "resolved"]
    assert fold.unknown("crashing")
    assert [alert.rule for alert in fold.firing()] == ["crashing"]
    assert [(c.rule, type(c.error)) for c in fold.crashes] == [("crashing", ZeroDivisionError)]


def test_the_state_of_a_crashed_rule_is_not_trusted() -> None:
    fold = a_fold(Crashing(), High())
    feed(fold, 666)

    assert [rule for rule, _, _ in fold.dump()] == ["high"]
    assert fold.finding(("crashing", "bad")) is None


# --- attempts ---


def test_a_new_attempt_holds_what_fired_until_it_has_passed_that_step() -> None:
    fold = a_fold()
    feed(fold, 1, 1, 1, 9)
    fold.restart(2, [row(1, 1)])

    assert feed(fold, 1, 1, 1, start=2) == []
    assert fold.last_step == 4
    assert feed(fold, 1, start=5) == ["resolved"]


def test_a_hold_is_kept_over_a_restart() -> None:
    fold = a_fold()
    feed(fold, 1, 1, 1, 9)
    fold.restart(2, [row(1, 1)])
    feed(fold, 1, start=2)
    other = a_fold()
    other.adopt(fold.alerts.values(), NOW)
    other.hold(fold.held())
    other.load(stored(fold))

    assert feed(other, 1, 1, start=3) == []
    assert feed(other, 1, start=5) == ["resolved"]


def test_an_attempt_that_finds_it_again_is_the_same_alert() -> None:
    fold = a_fold()
    feed(fold, 1, 9)
    fold.restart(1, [])

    assert feed(fold, 9, 9) == []
    assert fold.held() == []


def test_what_fired_before_the_step_is_judged_as_ever() -> None:
    fold = a_fold()
    feed(fold, 9, 9, 9, 9)
    fold.restart(3, [row(1, 9), row(2, 9)])

    assert feed(fold, 1, start=3) == ["resolved"]


def test_rows_are_folded_again_only_up_to_the_step() -> None:
    fold = a_fold(Trace())
    feed(fold, 1, 1, 1)
    fold.restart(2, [row(1, 1)])
    feed(fold, 1, start=2)

    assert fold.cells[0].state.seen == ["TrainRow:1", "TrainRow:2"]


# --- confirmations ---


def test_a_finding_is_confirmed_by_each_fresh_sweep_and_begins_anew_when_it_ends() -> None:
    fold = a_fold()
    feed(fold, 9)
    fold.confirm()
    fold.confirm()
    assert fold.confirmations == {KEY: 2}

    feed(fold, 1, start=2)
    assert fold.confirmations == {}
    feed(fold, 9, start=3)
    fold.confirm()

    assert fold.confirmations == {KEY: 1}


def test_a_sweep_that_does_not_know_is_no_confirmation() -> None:
    fold = a_fold()
    feed(fold, 9)
    fold.confirm()
    feed(fold, -1, start=2)
    fold.confirm()

    assert fold.confirmations == {}


# --- states ---


def test_a_state_comes_back_as_it_was() -> None:
    fold, other = a_fold(), a_fold()
    feed(fold, 9)
    other.adopt(fold.alerts.values(), NOW)

    assert other.load(stored(fold)) == set()
    assert feed(other, 9, 1, start=2) == ["resolved"]


@pytest.mark.parametrize(
    "rule",
    [pytest.param(High2(), id="another version"), pytest.param(High(limit=4), id="other settings")],
)
def test_a_changed_rule_is_unknown_until_it_was_rebuilt(rule: High) -> None:
    fold, other = a_fold(), a_fold(rule)
    feed(fold, 9)
    other.adopt(fold.alerts.values(), NOW)

    assert other.load(stored(fold)) == {"high"}
    assert feed(other, 1, start=2) == []
    assert other.unknown("high")
    other.confirmations[KEY] = 5
    other.rebuild({"high"}, [row(1, 9), row(2, 1)])

    assert other.confirmations == {}
    assert [t.reason for t in other.judge_all(NOW)] == [TransitionReason.RESOLVED]


@pytest.mark.parametrize(
    "state",
    [[1], "x", 5, {"verdict": {"findings": [{"kind": 1}]}}, {"verdict": {"findings": 3}}],
    ids=["a list", "a word", "a number", "a finding without its fields", "no list of findings"],
)
def test_a_stored_state_that_does_not_fit_is_rebuilt(state: object) -> None:
    assert a_fold().load([("high", fingerprint(High()), state)]) == {"high"}


def test_the_fingerprint_names_version_and_every_setting() -> None:
    marks = [fingerprint(rule) for rule in (High(), High2(), High(limit=4), High(kind="x"), High(name="y"))]

    assert len(set(marks)) == len(marks)
    assert fingerprint(High()) == fingerprint(High(limit=5.0))


# --- the end ---


def test_alerts_of_a_rule_that_is_not_configured_any_more_are_over() -> None:
    fold = a_fold()
    feed(fold, 9)
    other = a_fold(Trace())
    told = other.adopt(fold.alerts.values(), NOW)

    assert [(t.alert.rule, t.alert.state) for t in told] == [("high", AlertState.RESOLVED)]
    assert "configuration" in told[0].note


def test_nothing_fires_on_a_subject_that_is_closed() -> None:
    fold = a_fold()
    feed(fold, 9)

    assert len(fold.close(NOW, "over")) == 1
    assert fold.firing() == []
    assert fold.close(NOW, "over") == []


@pytest.mark.parametrize(
    ("seen", "step"),
    [
        pytest.param([row(3, 1), EvalRow(5, 1, 1.0)], 5, id="the newest of both kinds"),
        pytest.param([row(3, 1), row(2, 1)], 3, id="a row out of order takes nothing back"),
        pytest.param([], None, id="none before the first"),
    ],
)
def test_the_last_step(seen: Sequence[Any], step: int | None) -> None:
    fold = a_fold()
    fold.observe_silently(seen)

    assert fold.last_step == step


def test_what_each_rule_takes_is_put_down_to_it() -> None:
    fold = a_fold(High(), Crashing(), High(name="other"))
    ticks = iter(range(100))
    fold.tick = lambda: next(ticks)

    fold.observe(row(1, 666), NOW)  # the second one crashes; its time counts all the same
    fold.observe_silently([row(2, 1)])
    fold.judge_all(NOW)

    assert fold.spent == {"high": 3, "crashing": 3, "other": 3}
