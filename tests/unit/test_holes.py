"""Rows that can't be made out: when they are waited for, and that nothing is concluded from the others meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fakes import FakeClock, FakeJob, FakeProvider
from tests.memory import Memory
from tests.toys import High, Mean
from watcher.domain.alerts import AlertState, TransitionReason
from watcher.domain.cadence import OVERLAP_STEPS, Pace, from_step
from watcher.domain.cancel_policy import CancelPolicy
from watcher.domain.engine import Fold
from watcher.domain.holes import AGAIN, Holes, Torn, torn
from watcher.domain.life import Life
from watcher.domain.observations import Row, Snapshot, Status, TrainRow
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.gradient import Gradient
from watcher.domain.rules.nan_loss import NanLoss
from watcher.service.book import JobBook, new_book
from watcher.service.config import Selection
from watcher.service.loading import Stored, load_book
from watcher.service.reading import JobReader
from watcher.service.records import JobKey
from watcher.service.visit import Visit

KEY = JobKey("main", "ft-1")
CLOCK = FakeClock()
NOW = CLOCK.now()


# --- what is waited for ---


def take(holes: Holes, after: int = 90, newest: int = 100, start: int = 0, trailing: int = 0) -> bool:
    return holes.take_torn(Torn(1, after, trailing), start, newest, OVERLAP_STEPS)


def test_where_they_are() -> None:
    rows: list[Row | None] = [None, a_row(7, 1.0), None, a_row(8, 1.0), None, None]

    assert torn(rows[:1]) == Torn(count=1, after=0, trailing=1)
    assert torn(rows[:4]) == Torn(count=2, after=7, trailing=0)
    assert torn(rows) == Torn(count=4, after=8, trailing=2)
    assert torn(rows).then(torn(rows[:1])) == Torn(count=5, after=8, trailing=1)
    assert torn(rows).then(None) == Torn(count=4, after=8, trailing=0)


def test_a_whole_answer_leaves_nothing_open() -> None:
    holes = Holes()
    take(holes)
    holes.take_whole()

    assert holes == Holes()


def test_the_same_rows_are_asked_for_again_a_few_times() -> None:
    holes, job = Holes(), Snapshot(job_id="ft-1", at=NOW, status=Status.RUNNING, raw_status="running")
    asked = []
    for number in range(AGAIN + 1):
        take(holes, start=10, newest=500 + 10 * number)
        asked.append(from_step(Pace(train_step=500, holes=holes), job, NOW))

    assert asked == [10] * (AGAIN - 1) + [450, 450]


@pytest.mark.parametrize(
    ("after", "answers", "still_open"),
    [
        pytest.param(10, AGAIN - 1, True, id="old, but asked for again"),
        pytest.param(10, AGAIN, False, id="old, and never came whole"),
        pytest.param(50, 99, True, id="within what is asked for anyway"),
        pytest.param(49, 99, False, id="passed by"),
    ],
)
def test_a_row_that_never_comes_whole_is_given_up(after: int, answers: int, *, still_open: bool) -> None:
    holes = Holes()
    for _ in range(answers):
        take(holes, after=after)

    assert holes.open is still_open


def test_only_other_rows_at_the_end_are_a_sign_of_life() -> None:
    holes = Holes()
    ends = [(90, 0), (90, 1), (90, 1), (90, 2), (91, 2), (91, 2), (95, 0)]

    assert [take(holes, after, trailing=trailing) for after, trailing in ends] == [
        False, True, False, True, True, False, False,
    ]  # fmt: skip


# --- what is concluded of a part ---


def a_row(step: int, loss: float) -> TrainRow:
    return TrainRow(step, step * 10**9, loss)


def fold_of(*losses: float, life: Life | None = None) -> Fold:
    book = new_book(KEY, _snapshot(), Selection(name="all", rules=(High(),), policy=CancelPolicy()), NOW)
    fold = book.fold
    fold.lives = {"high": life} if life else {}
    for step, loss in enumerate(losses, 1):
        fold.observe(a_row(step, loss), NOW)
    return fold


def test_what_is_gone_in_a_part_is_not_known_to_be_gone() -> None:
    fold = fold_of(9.0)
    fold.in_part = True

    assert fold.observe(a_row(2, 1.0), NOW) == []
    assert fold.judge_timed(NOW) == []
    assert (fold.unknown("high"), fold.doubt("high")) == (True, "some rows could not be made out")


def test_the_first_whole_answer_ends_it() -> None:
    fold = fold_of(9.0)
    fold.in_part = True
    fold.observe(a_row(2, 1.0), NOW)
    fold.in_part = False
    (over,) = fold.judge_timed(NOW)

    assert over.reason is TransitionReason.RESOLVED
    assert (fold.unknown("high"), fold.doubt("high")) == (False, "")


def test_a_pending_alert_is_neither_dropped_nor_counted_up_on_a_part() -> None:
    fold = fold_of(9.0, life=Life(sweeps=2))
    fold.judge_timed(NOW)
    fold.in_part = True
    fold.observe(a_row(2, 1.0), NOW)

    assert [fold.judge_timed(NOW) for _ in range(5)] == [[]] * 5
    assert fold.alerts["high", "over"].state is AlertState.PENDING

    fold.observe(a_row(3, 9.0), NOW)
    (told,) = fold.judge_timed(NOW)
    assert told.reason is TransitionReason.FIRST


def test_how_long_a_finding_is_gone_counts_from_the_whole_answer() -> None:
    fold = fold_of(9.0, life=Life(keep_firing_for=timedelta(minutes=5)))
    fold.in_part = True
    fold.observe(a_row(2, 1.0), NOW)
    fold.in_part = False

    assert fold.judge_timed(NOW + timedelta(minutes=6)) == []
    assert fold.judge_timed(NOW + timedelta(minutes=11)) != []


# --- any rows, spoilt in any answer ---

RULES = (Divergence(), NanLoss(), Gradient(), High(limit=6.0), Mean(name="mean"))
SELECTION = Selection(name="all", rules=RULES, policy=CancelPolicy())
losses = st.lists(st.sampled_from([1.0, 9.0, 9.0, float("nan")]), min_size=6, max_size=45)
some_newest = st.lists(st.booleans(), max_size=12).map(lambda bits: [i for i, bit in enumerate(bits) if bit])
"""Of the rows that there are, the newest being 0."""


def _snapshot() -> Snapshot:
    return Snapshot(job_id="ft-1", at=NOW, status=Status.RUNNING, raw_status="running", total_steps=60)


class Course:
    """One job from sweep to sweep, read as the daemon reads it."""

    def __init__(self, course: list[float]) -> None:
        self.rows = [a_row(step, loss) for step, loss in enumerate(course, 1)]
        self.memory, self.provider = Memory(), FakeProvider(CLOCK)
        self.job = self.provider.add(FakeJob("ft-1"))
        self.reader = JobReader(self.provider, self.memory)  # type: ignore[arg-type]
        self.book: JobBook = new_book(KEY, _snapshot(), SELECTION, NOW)

    def sweep(self, seen: int, spoilt: set[int]) -> list[Any]:
        """The job has so many rows, and some of them can't be made out; what is told."""
        self.job.rows = list[Row](self.rows[:seen])
        self.provider.spoils = lambda row: row.step in spoilt
        visit = Visit(self.book, NOW)
        with pytest.raises(StopIteration):  # nothing in it waits
            self.reader.look(visit, _snapshot(), []).send(None)
        visit.finish()
        visit.write(self.memory)  # type: ignore[arg-type]
        visit.committed()
        return visit.transitions

    def restart(self) -> None:
        tail = [o for seq, o in self.memory.observations if seq > self.memory.record.saved_seq]
        stored = Stored(self.memory.record, self.memory.states, tail, self.memory.latest(), [])
        self.book, _ = load_book(stored, SELECTION, NOW)

    def firing(self) -> set[tuple[str, str]]:
        return {(alert.rule, alert.kind) for alert in self.book.fold.firing()}


@settings(deadline=None, max_examples=40)
@given(losses, st.lists(st.tuples(st.integers(0, 9), some_newest, st.booleans()), min_size=3, max_size=8))
def test_nothing_that_holds_with_all_rows_is_over_while_some_cannot_be_made_out(
    course: list[float], sweeps: list[tuple[int, list[int], bool]]
) -> None:
    spoilt_run, whole_run, seen = Course(course), Course(course), 0
    # A row that comes late keeps what fires until the next row: so one comes after all are whole.
    for more, back, again in [*sweeps, (len(course), [], False), (-1, [], False)]:
        seen = len(course) if more < 0 else min(seen + more, len(course) - 1)
        spoilt = {seen - i for i in back if i < seen}
        over = {
            (t.alert.rule, t.alert.kind)
            for t in spoilt_run.sweep(seen, spoilt)
            if t.reason in (TransitionReason.RESOLVED, TransitionReason.ENDED)
        }
        whole_run.sweep(seen, set())
        if spoilt:
            assert over == set()
        if again:
            spoilt_run.restart()

    assert spoilt_run.firing() == whole_run.firing()
