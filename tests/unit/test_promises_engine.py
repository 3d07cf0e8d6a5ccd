"""Promises of the spine, tried on whatever Hypothesis thinks of."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.memory import Memory
from tests.stored import NOW, an_effect
from tests.toys import Crashing, High, Trace, stored
from watcher.domain.alerts import Subject, TransitionReason
from watcher.domain.cancel_policy import CancelMode, CancelPolicy, Evidence, refusals
from watcher.domain.engine import Fold
from watcher.domain.feed import arrival_order
from watcher.domain.life import Life
from watcher.domain.observations import EvalRow, Row, Snapshot, Status, TrainRow
from watcher.domain.rule import Rule, SubjectKind
from watcher.domain.rules.divergence import Divergence
from watcher.domain.rules.nan_loss import NanLoss
from watcher.domain.rules.stall import Stall
from watcher.domain.verdicts import Finding, Severity
from watcher.service.book import new_book
from watcher.service.bookstate import packed, unpacked
from watcher.service.config import Selection
from watcher.service.known import KnownRows, RowKey
from watcher.service.loading import Stored, load_book
from watcher.service.ports import Writes
from watcher.service.records import JobKey, OutboxState
from watcher.service.visit import Visit
from watcher.store.sqlite import SqliteStore, open_store

SUBJECT = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-1")
WHEN = datetime(2026, 11, 23, tzinfo=UTC)
GOOD, BAD, UNKNOWN, CRASH = 1.0, 9.0, -1.0, 666.0
losses = st.lists(st.sampled_from([GOOD, BAD, UNKNOWN]), max_size=40)


def a_row(step: int, loss: float | None, at: int | None = None) -> TrainRow:
    return TrainRow(step, (at if at is not None else step) * 10**9, loss)


# --- alerts ---


@given(losses, st.lists(st.integers(1, 40), max_size=3))
def test_firing_and_resolved_alternate(course: list[float], restarts: list[int]) -> None:
    fold, told = Fold.of(SUBJECT, [High(), High(name="other", limit=3)]), []
    kept = list[TrainRow]()
    for step, loss in enumerate(course, 1):
        if step in restarts:
            kept = kept[: step // 2]
            fold.restart(step // 2, kept)
        row = a_row(step, loss)
        kept.append(row)
        told += fold.observe(row, WHEN)
        told += fold.judge_all(WHEN)

    for rule in ("high", "other"):
        reasons = [t.reason for t in told if t.alert.rule == rule]
        assert reasons[:1] in ([], [TransitionReason.FIRST])
        assert all(one is not other for one, other in pairwise(reasons))


@given(losses, st.integers(1, 40))
def test_not_knowing_never_resolves_and_never_agrees_to_a_cancel(course: list[float], unknown_from: int) -> None:
    fold = Fold.of(SUBJECT, [High()])
    for step, loss in enumerate(course, 1):
        value = UNKNOWN if step >= unknown_from else loss
        told = fold.observe(a_row(step, value), WHEN)
        fold.confirm()
        if value == UNKNOWN:
            assert told == []
            assert fold.finding(("high", "over")) is None
            evidence = replace(_EVIDENCE, finding=None, unknown=True, confirmations=9)
            assert refusals(CancelPolicy(mode=CancelMode.ENFORCE), evidence)


_FINDING = Finding(kind="over", severity=Severity.CRITICAL, reason="x", may_cancel=True)
_SNAPSHOT = Snapshot(job_id="ft-1", at=WHEN, status=Status.RUNNING, raw_status="running", total_steps=100)
_EVIDENCE = Evidence(
    finding=_FINDING,
    confirmations=2,
    fresh=True,
    snapshot=_SNAPSHOT,
    step=50,
    vetoed=False,
    cancels_last_hour=0,
    kill_switch=False,
)


@given(
    st.builds(
        Evidence,
        finding=st.sampled_from([None, _FINDING, replace(_FINDING, may_cancel=False)]),
        unknown=st.booleans(),
        confirmations=st.integers(0, 3),
        fresh=st.booleans(),
        snapshot=st.sampled_from(list(Status)).map(lambda s: replace(_SNAPSHOT, status=s)),
        step=st.none() | st.integers(0, 120),
        vetoed=st.booleans(),
        cancels_last_hour=st.integers(0, 6),
        kill_switch=st.booleans(),
    ),
    st.builds(CancelPolicy, mode=st.sampled_from(CancelMode), max_per_hour=st.integers(0, 4)),
)
def test_the_policy_agrees_only_when_everything_is_in_order(seen: Evidence, policy: CancelPolicy) -> None:
    if refusals(policy, seen):
        return
    assert seen.cancels_last_hour < policy.max_per_hour
    assert policy.mode is not CancelMode.OFF
    assert seen.finding is not None
    assert seen.finding.may_cancel
    assert seen.fresh
    assert seen.confirmations >= 2
    assert seen.snapshot.status is Status.RUNNING
    assert seen.step is not None
    assert 2 <= seen.step <= 90
    assert (seen.unknown, seen.vetoed, seen.kill_switch) == (False, False, False)


LIVES = {
    "high": Life(rows=3, grace=timedelta(minutes=1)),
    "other": Life(keep_firing_for=timedelta(seconds=45)),
}
seen = st.lists(
    st.one_of(
        st.builds(a_row, st.integers(1, 30), st.sampled_from([GOOD, BAD, UNKNOWN, CRASH])),
        st.builds(EvalRow, st.integers(1, 30), st.just(0), st.sampled_from([GOOD, float("nan")])),
        st.just(_SNAPSHOT),
    ),
    max_size=25,
)


@settings(max_examples=40)
@given(st.lists(st.tuples(seen, st.booleans()), max_size=4), st.integers(0, 4))
def test_many_at_once_are_told_as_if_they_came_one_by_one(portions: list[tuple[list[Any], bool]], restart: int) -> None:
    rules: list[Rule] = [High(), High(name="other", limit=3), Crashing(), NanLoss(), Trace(), Stall()]
    one, many = Fold.of(SUBJECT, rules, LIVES), Fold.of(SUBJECT, rules, LIVES)
    for number, (portion, in_part) in enumerate(portions):
        now = WHEN + timedelta(seconds=30 * number)
        one.in_part = many.in_part = in_part
        if number == restart:
            one.restart(10, [])
            many.restart(10, [])
        told = [t for observation in portion for t in one.observe(observation, now)]

        assert many.observe_all(portion, now) == told
        assert many.judge_timed(now) == one.judge_timed(now)
        assert stored(many) == stored(one)
        assert (list(many.alerts.items()), many.last_step) == (list(one.alerts.items()), one.last_step)
        assert sorted(many.held()) == sorted(one.held())
    assert {crash.rule for crash in many.crashes} == {crash.rule for crash in one.crashes}


# --- replaying a history ---


RULES = (Divergence(), NanLoss(), High(limit=6.0))
SELECTION = Selection(name="all", rules=RULES, policy=CancelPolicy())


def live(rows: Sequence[Row], cuts: Sequence[int], restarts: set[int], overlap: int) -> list[Any]:
    """The rows in portions, each with some of the rows before it again, and a new process after some portions."""
    memory, key = Memory(), JobKey("main", "ft-1")
    book = new_book(key, replace(_SNAPSHOT, total_steps=60), SELECTION, WHEN)
    now, start = WHEN, 0
    known = set[RowKey]()
    _commit(book, memory, [], now)
    for number, end in enumerate([*sorted(cuts), len(rows)]):
        now += timedelta(seconds=30)
        portion = list(rows[max(0, start - overlap) : end])
        known.update(book.known)
        _commit(book, memory, portion, now)
        start = max(start, end)
        if number in restarts:
            tail = [o for seq, o in memory.observations if seq > memory.record.saved_seq]
            known.update(book.known)
            book, told = load_book(Stored(memory.record, memory.states, tail, memory.latest(), []), SELECTION, now)
            book.known = KnownRows(known)
            assert told == []
    return [*memory.told, sorted((a.rule, a.kind, a.state.value) for a in memory.latest())]


def _commit(book: Any, memory: Memory, portion: list[Row], now: datetime) -> None:
    visit = Visit(book, now)
    visit.take_listed(replace(_SNAPSHOT, total_steps=60))
    fresh = book.known.unseen(portion)
    visit.take_rows(fresh, [o for _, o in memory.observations] if visit.wants_history(fresh) else [])
    visit.finish()
    if visit.changed:
        visit.write(memory)  # type: ignore[arg-type]
        visit.committed()
        # However little was written: a new process would have the state that this one has.
        assert packed(unpacked(memory.record)) == packed(book.state)


attempts = st.lists(
    st.tuples(st.integers(1, 60), st.lists(st.sampled_from([1.0, 2.0, 9.0, float("nan")]), min_size=1, max_size=25)),
    min_size=1,
    max_size=3,
)


def history(course: list[tuple[int, list[float]]]) -> list[Row]:
    """Attempts one after the other, each from a step that the one before had reached, as the API logs them."""
    rows, at, reached = list[Row](), 0, 0
    for begin, values in course:
        step = min(begin, reached + 1) if rows else 1
        for value in values:
            at += 1
            rows.append(a_row(step, value * (1 + 0.001 * (at % 7)), at))
            reached, step = step, step + 1
    return arrival_order(rows)


@settings(deadline=None, max_examples=150)
@given(
    attempts,
    st.lists(st.integers(0, 75), max_size=12),
    st.sets(st.integers(0, 12)),
    st.integers(0, 20),
)
def test_portions_restarts_and_repetitions_change_no_alert(
    course: list[tuple[int, list[float]]], cuts: list[int], restarts: set[int], overlap: int
) -> None:
    rows = history(course)
    every_row = list(range(1, len(rows)))

    assert live(rows, [min(cut, len(rows)) for cut in cuts], restarts, overlap) == live(rows, every_row, set(), 0)


# --- the outbox ---


steps = st.lists(
    st.tuples(
        st.sampled_from(["enqueue", "claim", "finish", "retry", "park", "release", "requeue", "readdress", "fail"]),
        st.integers(0, 9),
    ),
    max_size=40,
)


class Box:
    """An outbox, what was committed to it, and what was recorded as delivered."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.committed: set[str] = set()
        self.delivered: list[str] = []
        self.now = NOW

    def act(self, action: str, number: int) -> None:
        """One step. Those on a claimed row take one of them, where there is any."""
        self.now += timedelta(seconds=1)
        if action in ("finish", "retry", "park", "readdress"):
            self.store.write_now(lambda tx: self._on_claimed(tx, action, number))
        elif action == "enqueue":
            self.store.write_now(lambda tx: tx.enqueue([an_effect(f"k{number}", f"lane{number % 3}")], self.now))
            self.committed.add(f"k{number}")
        elif action == "fail":
            with pytest.raises(_NotCommittedError):
                self.store.write_now(lambda tx: self._fail(tx, number))
        else:
            self.store.write_now(lambda tx: self._on_all(tx, action, number))

    def _on_claimed(self, tx: Writes, action: str, number: int) -> None:
        claimed = tx.outbox(states=[OutboxState.CLAIMED])
        if not claimed:
            return
        row = claimed[number % len(claimed)]
        if action == "finish":
            tx.finish(row.id, self.now)
            self.delivered.append(row.key)
        elif action == "retry":
            tx.retry(row.id, self.now + timedelta(seconds=number), "503")
        elif action == "park":
            tx.park(row.id, self.now, "410")
        else:
            tx.readdress(row.id, [f"t{number}", f"t{number + 1}"])

    def _on_all(self, tx: Writes, action: str, number: int) -> None:
        if action == "claim":
            tx.claim(self.now, busy_lanes=[f"lane{number % 3}"])
        elif action == "release":
            tx.release_claims()
        else:
            for dead in tx.outbox(states=[OutboxState.DEAD])[:1]:
                tx.requeue(dead.id, self.now)

    def _fail(self, tx: Writes, number: int) -> None:
        tx.enqueue([an_effect(f"x{number}")], self.now)
        tx.release_claims()
        raise _NotCommittedError


class _NotCommittedError(Exception):
    """The transaction is rolled back."""


@settings(deadline=None, max_examples=30)
@given(steps)
def test_the_outbox_never_loses_a_committed_row(script: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as place, open_store(Path(place) / "watcher.db") as store:
        box = Box(store)
        for action, number in script:
            box.act(action, number)
            rows = {row.key: row for row in store.read_now(lambda reads: reads.outbox())}
            done = {key for key, row in rows.items() if row.state is OutboxState.DONE}

            assert box.committed <= set(rows)
            for key in done - set(box.delivered):
                assert any(other.startswith(f"{key}:") for other in rows)
        assert len(box.delivered) == len(set(box.delivered))
