"""The cancel policy on recorded runs: the guards sweep by sweep, and the veto window where steps have a length."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.toys import Crashing, High
from watcher.domain import hindsight
from watcher.domain.cancel_policy import CancelMode, CancelPolicy, Guard
from watcher.domain.hindsight import Verdict
from watcher.domain.observations import EvalRow, Row, TrainRow
from watcher.domain.rehearsal import Outcome, Rehearsal, Timing
from watcher.domain.replay import Recording, Replay, replay
from watcher.domain.rule import Rule

MINUTES = Timing(step_seconds=60, interval=timedelta(minutes=1))
"""A step and a sweep a minute."""


def rehearse(
    losses: Sequence[tuple[float, float]],
    mode: CancelMode = CancelMode.ENFORCE,
    timing: Timing | None = None,
    *,
    rule: Rule | None = None,
    total_steps: int | None = 100,
    **policy: Any,
) -> tuple[Rehearsal, Replay]:
    """A run of (step, loss) under a rule that fires above 5 and can't tell below 0."""
    rows = tuple(TrainRow(step, at, loss) for at, (step, loss) in enumerate(losses, 1))  # type: ignore[arg-type]
    recording = Recording(id="ft-run", rows=rows, total_steps=total_steps)
    rehearsal = Rehearsal(recording, CancelPolicy(mode=mode, **policy), timing or Timing())
    return rehearsal, replay(recording, [rule or High(name="divergence")], None, rehearsal)


def told(rehearsal: Rehearsal) -> list[tuple[Outcome, int, int | None]]:
    return [(p.outcome, p.step, p.ended) for p in rehearsal.proposals]


def series(start: int, *losses: float) -> list[tuple[float, float]]:
    return list(enumerate(losses, start))


# --- the guards ---


@pytest.mark.parametrize(
    ("losses", "cancelled", "guards"),
    [
        pytest.param(series(50, 1, 9, 9), 52, {Guard.CONFIRMATION}, id="in the second sweep"),
        pytest.param(series(50, 1, 9), None, {Guard.CONFIRMATION}, id="one sweep is not enough"),
        pytest.param(series(50, 9, 1, 9, 1, 9), None, {Guard.CONFIRMATION}, id="never two in a row"),
        pytest.param(series(1, 9, 9, 9), 2, {Guard.PROGRESS}, id="from the lower bound on"),
        pytest.param(series(89, 9, 9), 90, {Guard.CONFIRMATION}, id="up to the upper bound"),
        pytest.param(series(90, 9, 9, 9), None, {Guard.CONFIRMATION, Guard.PROGRESS}, id="not beyond it"),
        pytest.param(
            series(50, 9, -1, 9, 9), 53, {Guard.CONFIRMATION, Guard.UNKNOWN}, id="what is unknown is seen twice anew"
        ),
        pytest.param([(50, 9), (49, 9), (50, 9)], 50, {Guard.CONFIRMATION}, id="another attempt is seen twice anew"),
    ],
)
def test_each_row_is_a_sweep_where_a_step_has_no_length(
    losses: list[tuple[float, float]], cancelled: int | None, guards: set[Guard]
) -> None:
    rehearsal, _ = rehearse(losses)

    assert (rehearsal.cancelled.ended if rehearsal.cancelled else None) == cancelled
    assert {no.guard for no in rehearsal.refused} == guards


def test_a_run_on_the_never_list_is_refused_for_as_long_as_it_is_found() -> None:
    rehearsal, _ = rehearse(series(50, 1, 9, 9, 9, 1), never=("ft-*",))

    (no,) = rehearsal.refused
    assert rehearsal.proposals == []
    assert (no.rule, no.guard, no.step, no.until) == ("divergence", Guard.NEVER, 51, 53)
    assert no.reason == "the job is on the never-cancel list (ft-*)"


def test_a_finding_that_may_not_cancel_is_refused_as_such() -> None:
    rehearsal, _ = rehearse(series(50, 9, 9), rule=High(name="divergence", may_cancel=False))

    assert [(no.guard, no.reason) for no in rehearsal.refused] == [(Guard.CAPABILITY, "this rule never cancels")]


def test_a_rule_that_crashed_cancels_nothing() -> None:
    rehearsal, result = rehearse(series(50, 9, 666, 9, 9), rule=Crashing())

    assert result.crashes
    assert rehearsal.cancelled is None


def test_an_unknown_plan_has_no_bounds() -> None:
    assert told(rehearse(series(1, 9, 9), total_steps=None)[0]) == [(Outcome.CANCELLED, 2, 2)]


def test_nothing_follows_a_cancel() -> None:
    assert told(rehearse(series(50, 9, 9, 1, 9, 9))[0]) == [(Outcome.CANCELLED, 51, 51)]


# --- modes ---


def test_observe_says_it_once_for_each_episode() -> None:
    rehearsal, _ = rehearse(series(50, 9, 9, 9, 1, 9, 9), CancelMode.OBSERVE)

    assert told(rehearsal) == [(Outcome.OBSERVED, 51, 51), (Outcome.OBSERVED, 55, 55)]


def test_off_says_nothing() -> None:
    rehearsal, _ = rehearse(series(50, 9, 9, 9), CancelMode.OFF)

    assert (rehearsal.proposals, rehearsal.refused) == ([], [])


def test_a_window_without_a_length_is_over_at_once() -> None:
    assert told(rehearse(series(50, 9, 9, 1), CancelMode.PROPOSE)[0]) == [(Outcome.CANCELLED, 51, 51)]


# --- time ---


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        pytest.param([9] * 9, [(Outcome.CANCELLED, 51, 56)], id="cancelled when it is over"),
        pytest.param([9] * 5, [(Outcome.OPEN, 51, None)], id="the recording ends before it does"),
        pytest.param([9, 1, 1, 1, 1, 1, 1], [(Outcome.WITHDRAWN, 51, 53)], id="withdrawn when it recovers"),
        pytest.param(
            [9, 1, 9, 9, 9, 9, 9, 9, 9, 9],
            [(Outcome.WITHDRAWN, 51, 53), (Outcome.CANCELLED, 55, 60)],
            id="and proposed again, with a whole window",
        ),
        pytest.param(
            [9, -1, 9, 9, 9, 9, 9], [(Outcome.CANCELLED, 51, 56)], id="what is not known for a while is waited for"
        ),
        pytest.param(
            [9, 9, 9, -1, -1, 9, 9, 9], [(Outcome.CANCELLED, 51, 58)], id="beyond the window until it is seen twice"
        ),
    ],
)
def test_a_window_in_time(after: list[float], expected: list[tuple[Outcome, int, int | None]]) -> None:
    losses = series(50, 9, 9, *after)
    rehearsal, _ = rehearse(losses, CancelMode.PROPOSE, MINUTES, veto_window=timedelta(minutes=5))

    assert told(rehearsal) == expected


def test_withdrawals_and_ends_say_why() -> None:
    window = timedelta(minutes=5)
    recovered, _ = rehearse(series(50, 9, 9, 1, 1), CancelMode.PROPOSE, MINUTES, veto_window=window)
    leaves, _ = rehearse(series(87, 9, 9, 9, 9, 9, 9, 9), CancelMode.PROPOSE, MINUTES, veto_window=window)
    cut, _ = rehearse(series(50, 9, 9, 9), CancelMode.PROPOSE, MINUTES, veto_window=window)

    assert recovered.proposals[0].detail == "the rule does not find it any more"
    assert leaves.proposals[0].detail == "step 91 of 100 is 91 %, outside 2–90 %"
    assert cut.proposals[0].detail == "the recording ends before its veto window did"


def test_another_episode_between_two_sweeps_withdraws() -> None:
    slow = Timing(step_seconds=60, interval=timedelta(minutes=4))
    losses = series(1, 9, 9, 9, 9, 9, 9, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9)
    rehearsal, _ = rehearse(losses, CancelMode.PROPOSE, slow, veto_window=timedelta(minutes=30))

    assert told(rehearsal)[0] == (Outcome.WITHDRAWN, 5, 9)
    assert rehearsal.proposals[0].detail == "another episode has begun since"


def test_sweeps_come_at_whole_multiples_of_their_interval() -> None:
    tens = Timing(step_seconds=6, interval=timedelta(minutes=1))
    losses = [(step, 9.0 if step > 14 else 1.0) for step in range(1, 60)]

    # Sweeps after the steps 1, 11, 21, 31, …: the second that sees it is the one at 31.
    assert told(rehearse(losses, timing=tens)[0]) == [(Outcome.CANCELLED, 31, 31)]


def test_rows_of_one_moment_are_judged_together() -> None:
    rows: tuple[Row, ...] = (TrainRow(50, 1, 9.0), EvalRow(50, 1, 1.0), TrainRow(51, 2, 9.0), TrainRow(52, 3, 1.0))
    recording = Recording(id="r", rows=rows)
    rehearsal = Rehearsal(recording, CancelPolicy(mode=CancelMode.ENFORCE), MINUTES)
    replay(recording, [High(name="divergence")], None, rehearsal)

    assert told(rehearsal) == [(Outcome.CANCELLED, 51, 51)]
    assert [p.rows for p in rehearsal.proposals] == [3]


@pytest.mark.parametrize(
    ("gap", "cancelled"),
    [
        pytest.param(timedelta(seconds=30), 61, id="ten rows in the window"),
        pytest.param(timedelta(minutes=1), 56, id="five rows in the window"),
        pytest.param(timedelta(minutes=10), 51, id="a window shorter than the time between two rows"),
    ],
)
def test_rows_that_have_a_time_are_taken_by_it(gap: timedelta, cancelled: int) -> None:
    nanoseconds = int(gap.total_seconds() * 10**9)
    rows = tuple(TrainRow(50 + i, 1_800_000_000 * 10**9 + i * nanoseconds, 9.0) for i in range(20))
    recording = Recording(id="r", rows=rows, total_steps=100, timed=True)
    policy = CancelPolicy(mode=CancelMode.PROPOSE, veto_window=timedelta(minutes=5))
    rehearsal = Rehearsal(recording, policy, Timing(interval=timedelta(seconds=30), step_seconds=1))
    replay(recording, [High(name="divergence")], None, rehearsal)

    assert told(rehearsal) == [(Outcome.CANCELLED, 51, cancelled)]


@pytest.mark.parametrize("step", [10**300, 1e308, 0.001])
def test_steps_that_are_no_steps_end_too(step: float) -> None:
    losses = [(step * i, 9.0) for i in range(1, 4)] if step < 10 else [(1, 9.0), (step, 9.0), (1, 9.0)]
    rehearsal, _ = rehearse(losses, CancelMode.PROPOSE, Timing(step_seconds=1e9), total_steps=None)

    assert len(rehearsal.proposals) <= 1


# --- promises ---

RUNS = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from([1.0, 9.0, 9.0, 9.0, -1.0])).map(lambda pair: (pair[0], pair[1])),
    max_size=30,
)
"""How many steps on, and the loss: 0 repeats a step or begins another attempt."""
TIMINGS = st.sampled_from([Timing(), MINUTES, Timing(step_seconds=10, interval=timedelta(seconds=25))])


def steps_of(run: list[tuple[int, float]]) -> list[tuple[float, float]]:
    found, step = list[tuple[float, float]](), 0
    for more, loss in run:
        step = step + more if more else max(0, step - 4)
        found.append((step, loss))
    return found


@settings(max_examples=30, deadline=None)
@given(run=RUNS, mode=st.sampled_from(CancelMode), timing=TIMINGS, plan=st.sampled_from([None, 20, 60]))
def test_promises_of_every_mode(
    run: list[tuple[int, float]], mode: CancelMode, timing: Timing, plan: int | None
) -> None:
    losses = steps_of(run)
    rehearsal, _ = rehearse(losses, mode, timing, total_steps=plan, veto_window=timedelta(minutes=3))
    outcomes = [p.outcome for p in rehearsal.proposals]

    acts = mode in (CancelMode.PROPOSE, CancelMode.ENFORCE)
    assert acts or Outcome.CANCELLED not in outcomes
    assert outcomes.count(Outcome.CANCELLED) <= 1
    assert mode is CancelMode.OBSERVE or Outcome.OBSERVED not in outcomes
    cancel = rehearsal.cancelled
    if cancel is not None:
        assert cancel is rehearsal.proposals[-1]
        assert cancel.ended is not None
        assert plan is None or 0.02 <= cancel.ended / plan <= 0.9
        for verdict in Verdict:
            worth = hindsight.worth(verdict, cancel.ended, plan, None)
            assert (worth.steps_saved or 0) + (worth.steps_lost or 0) <= (plan or cancel.ended)


@settings(max_examples=30, deadline=None)
@given(run=RUNS, plan=st.sampled_from([None, 20, 60]))
def test_enforce_without_the_second_sweep_is_the_cancel_of_the_contract(
    run: list[tuple[int, float]], plan: int | None
) -> None:
    rehearsal, result = rehearse(steps_of(run), total_steps=plan)

    # The first row at which nothing was missing but another sweep, if that.
    agreed = [no.step for no in rehearsal.refused if no.guard is Guard.CONFIRMATION]
    agreed += [rehearsal.cancelled.step] if rehearsal.cancelled else []
    assert agreed[:1] == ([result.cancel.step] if result.cancel else [])
