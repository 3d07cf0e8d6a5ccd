"""Pending, firing, leaving and coming back: the life of an alert beyond firing at once."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.toys import High, stored
from tests.unit.test_engine import SUBJECT
from watcher.domain.alerts import AlertState, TransitionReason
from watcher.domain.engine import Fold
from watcher.domain.life import Life, parse_count
from watcher.domain.observations import TrainRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BAD, GOOD = 9.0, 1.0
FIRST, RESOLVED, AGAIN = TransitionReason.FIRST, TransitionReason.RESOLVED, TransitionReason.AGAIN
PENDING, ENDED = TransitionReason.PENDING, TransitionReason.ENDED


class Days:
    """A fold on a script: each sweep is one row, a minute after the one before."""

    def __init__(self, life: Life) -> None:
        self.fold = Fold.of(SUBJECT, [High()], {"high": life})
        self.step = 0

    def sweep(self, *losses: float) -> list[TransitionReason]:
        """What is told in one sweep that brings these rows."""
        now = NOW + timedelta(minutes=self.step)
        told = []
        for loss in losses:
            self.step += 1
            now = NOW + timedelta(minutes=self.step)
            told += self.fold.observe(TrainRow(self.step, self.step, loss), now)
        told += self.fold.judge_timed(now)
        return [transition.reason for transition in told]


def test_by_default_it_fires_and_ends_at_once() -> None:
    days = Days(Life())

    assert [days.sweep(loss) for loss in (BAD, GOOD, BAD)] == [[FIRST], [RESOLVED], [FIRST]]


def test_it_waits_for_rows_and_fires_with_the_row_that_settled_it() -> None:
    days = Days(Life(rows=3))

    assert days.sweep(BAD, BAD) == [PENDING]
    assert days.fold.firing() == []
    assert days.sweep(BAD) == [FIRST]
    assert [alert.step for alert in days.fold.firing()] == [3]


def test_it_waits_for_sweeps() -> None:
    days = Days(Life(sweeps=2))

    assert days.sweep(BAD, BAD, BAD) == [PENDING]
    assert days.sweep(BAD) == [FIRST]


def test_it_waits_for_time() -> None:
    days = Days(Life(time=timedelta(minutes=2)))

    assert [days.sweep(BAD) for _ in range(3)] == [[PENDING], [], [FIRST]]


@pytest.mark.parametrize("life", [Life(rows=3), Life(sweeps=3), Life(time=timedelta(minutes=5))])
def test_what_does_not_last_is_never_told(life: Life) -> None:
    days = Days(life)

    assert days.sweep(BAD) == [PENDING]
    assert days.sweep(GOOD) == [ENDED]
    assert days.sweep(BAD) == [PENDING]
    assert days.fold.firing() == []


def test_it_keeps_firing_until_its_finding_was_gone_for_long_enough() -> None:
    days = Days(Life(keep_firing_for=timedelta(minutes=2)))

    assert [days.sweep(loss) for loss in (BAD, GOOD, GOOD, BAD, GOOD, GOOD)] == [[FIRST], [], [], [], [], []]
    assert days.sweep(GOOD) == [RESOLVED]


def test_within_its_grace_it_goes_on_as_the_same_episode() -> None:
    days = Days(Life(grace=timedelta(minutes=5)))
    days.sweep(BAD)
    (first,) = days.fold.firing()
    days.sweep(GOOD)

    assert days.sweep(BAD) == [AGAIN]
    (again,) = days.fold.firing()
    assert (again.id, again.episode, again.starts_at, again.ends_at) == (first.id, 1, first.starts_at, None)


def test_after_its_grace_it_is_another_episode() -> None:
    days = Days(Life(grace=timedelta(minutes=2)))
    days.sweep(BAD)
    for _ in range(3):
        days.sweep(GOOD)

    assert days.sweep(BAD) == [FIRST]
    assert [alert.episode for alert in days.fold.firing()] == [2]


def test_a_pending_alert_waits_on_over_a_restart_of_the_program() -> None:
    life = Life(time=timedelta(minutes=3))
    before = Days(life)
    before.sweep(BAD)
    after = Days(life)
    after.fold.adopt(before.fold.alerts.values(), NOW)
    after.fold.load(stored(before.fold))
    after.step = 3

    assert [alert.state for alert in after.fold.alerts.values()] == [AlertState.PENDING]
    assert after.sweep(BAD) == [FIRST]


def test_the_end_of_watching_ends_what_is_pending_too() -> None:
    days = Days(Life(rows=3))
    days.sweep(BAD)

    assert [transition.reason for transition in days.fold.close(NOW, "over")] == [ENDED]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3 rows", (3, 0)), ("1 row", (1, 0)), ("2 sweeps", (0, 2)), ("10m", None), ("rows", None)],
)
def test_counts_are_read(text: str, expected: tuple[int, int] | None) -> None:
    assert parse_count(text) == expected
