"""Retention over months: the database stays small, and nothing that is still to be judged or told is touched."""

import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from tests.fakes import FakeClock
from tests.stored import a_job, an_alert, an_effect
from watcher.domain.alerts import AlertState
from watcher.domain.groups import Decision
from watcher.domain.observations import TrainRow
from watcher.service.bookstate import BookState, packed
from watcher.service.ports import Writes
from watcher.service.records import JobKey
from watcher.service.retention import Retention, RetentionPolicy
from watcher.service.shown import shown_of
from watcher.store.sqlite import SqliteStore, open_store

DAY = timedelta(days=1)
POLICY = RetentionPolicy(rows=5 * DAY, keep_rows=10, history=10 * DAY)
ROWS = 300


def a_day(store: SqliteStore, clock: FakeClock, day: int) -> None:
    """Two jobs that ended today, with what was told of them."""

    def work(tx: Writes) -> None:
        now = clock.now()
        for name in ("a", "b"):
            key = JobKey("main", f"ft-{day}-{name}")
            tx.save_job(a_job(key, closed=True, ended_at=now))
            tx.append(key, 1, [TrainRow(step, step, 1.0 / step, 1.0, 1e-5) for step in range(1, ROWS + 1)])
            alert = an_alert(episode=day, state=AlertState.RESOLVED, starts_at=now, ends_at=now)
            tx.enqueue([an_effect(f"{day}-{name}", name, payload="x" * 2000, next_at=now)], now)
            tx.add_decisions([(Decision(alert_id=alert.id, receiver="team", at=now, what="told", why=""), "k")])
        for row in tx.claim(now):
            tx.finish(row.id, now)

    store.write_now(work)


async def test_the_database_grows_with_the_days_it_keeps_and_not_with_all_there_were(tmp_path: Path) -> None:
    clock, sizes = FakeClock(), []
    with open_store(tmp_path / "watcher.db") as store:
        retention = Retention(store, clock, POLICY)
        for day in range(60):
            a_day(store, clock, day)
            clock.advance(DAY.total_seconds())
            await retention.run()
            sizes.append(_size(store))
        rows = [len(store.read_now(lambda r, key=key: r.row_keys(key))) for key in _jobs(store)]  # type: ignore[misc]
        outbox = store.read_now(lambda reads: reads.outbox(limit=10_000))

    assert len(rows) == 120
    assert sorted(set(rows)) == [2, 10 + 1, ROWS]  # first and last; thinned, with the last beside the even ones; whole
    assert rows.count(ROWS) == 2 * 4
    assert rows.count(11) == 2 * 5
    assert len(outbox) == 2 * 10
    whole, left = (sizes[4] - sizes[0]) / 4, (sizes[-1] - sizes[29]) / 30  # bytes a day, before anything goes and after
    assert left < whole / 8  # what is left of a job is a small part of it


async def test_a_job_at_rest_keeps_what_is_shown_of_it_in_less_room(tmp_path: Path) -> None:
    clock, key = FakeClock(), JobKey("main", "ft-1")
    state = BookState(last_loss=0.5, best_eval=1.0, best_eval_step=200, price_nano=5, events=["e" * 16] * 20)
    for step in range(1, ROWS + 1):
        row = TrainRow(step, step * 10**9, 1.0 / step, 1.0, 1e-5)
        state.curve.add(row.loss)
        state.pace.take([row], clock.now())
        state.feed.train = row
        state.ticks.append((step, row.at_ns))
        del state.ticks[:-30]
    with open_store(tmp_path / "watcher.db") as store:
        store.write_now(lambda tx: tx.save_job(a_job(key, closed=True, ended_at=clock.now(), feed=packed(state))))
        store.write_now(lambda tx: tx.append(key, 1, [TrainRow(n, n, 1.0, None, None) for n in range(ROWS)]))
        before = store.read_now(lambda reads: reads.job(key))
        clock.advance((POLICY.rows + DAY).total_seconds())
        await Retention(store, clock, POLICY).run()
        after = store.read_now(lambda reads: reads.job(key))

    assert before is not None
    assert after is not None
    assert shown_of(after) == shown_of(before)
    assert len(after.feed or "") < len(before.feed or "") * 0.75


async def test_a_job_whose_state_cannot_be_read_is_thinned_all_the_same(tmp_path: Path) -> None:
    clock, key = FakeClock(), JobKey("main", "ft-1")
    with open_store(tmp_path / "watcher.db") as store:
        store.write_now(lambda tx: tx.save_job(a_job(key, closed=True, ended_at=clock.now(), feed='{"curve": 7}')))
        store.write_now(lambda tx: tx.append(key, 1, [TrainRow(n, n, 1.0, None, None) for n in range(ROWS)]))
        clock.advance((POLICY.rows + DAY).total_seconds())
        await Retention(store, clock, POLICY).run()

        assert len(store.read_now(lambda reads: reads.row_keys(key))) == POLICY.keep_rows + 1


async def test_a_job_that_is_closed_late_is_thinned_all_the_same(tmp_path: Path) -> None:
    clock, key = FakeClock(), JobKey("main", "ft-late")
    ended = clock.now()
    with open_store(tmp_path / "watcher.db") as store:
        retention = Retention(store, clock, POLICY)

        def work(tx: Writes, *, closed: bool) -> None:
            tx.save_job(a_job(key, closed=closed, ended_at=ended))

        store.write_now(lambda tx: work(tx, closed=False))
        store.write_now(lambda tx: tx.append(key, 1, [TrainRow(n, n, 1.0, None, None) for n in range(ROWS)]))
        clock.advance((POLICY.rows + DAY).total_seconds())
        await retention.run()
        before = len(store.read_now(lambda reads: reads.row_keys(key)))
        store.write_now(lambda tx: work(tx, closed=True))
        clock.advance(DAY.total_seconds())
        await retention.run()
        after = len(store.read_now(lambda reads: reads.row_keys(key)))

    assert (before, after) == (ROWS, 11)


async def test_a_clock_that_was_ahead_hides_no_job_from_it(tmp_path: Path) -> None:
    clock, key = FakeClock(), JobKey("main", "ft-1")
    with open_store(tmp_path / "watcher.db") as store:
        store.write_now(lambda tx: tx.save_job(a_job(key, closed=True, ended_at=clock.now())))
        store.write_now(lambda tx: tx.append(key, 1, [TrainRow(n, n, 1.0, None, None) for n in range(ROWS)]))
        ahead = FakeClock()
        with open_store(tmp_path / "elsewhere.db") as elsewhere:
            ahead.advance(1000 * DAY.total_seconds())
            await Retention(elsewhere, ahead, POLICY).run()
            mark = elsewhere.read_now(lambda reads: reads.meta("retention:thinned_until"))
        assert mark is not None
        store.write_now(lambda tx: tx.set_meta("retention:thinned_until", mark))
        clock.advance((POLICY.rows + DAY).total_seconds())
        await Retention(store, clock, POLICY).run()

        assert len(store.read_now(lambda reads: reads.row_keys(key))) == POLICY.keep_rows + 1


async def test_what_waits_for_a_dead_receiver_outlives_its_history(tmp_path: Path) -> None:
    clock = FakeClock()
    with open_store(tmp_path / "watcher.db") as store:
        store.write_now(lambda tx: tx.enqueue([an_effect("waits")], clock.now()))
        clock.advance((POLICY.history * 3).total_seconds())
        await Retention(store, clock, POLICY).run()

        assert [row.key for row in store.read_now(lambda reads: reads.outbox())] == ["waits"]


def _jobs(store: SqliteStore) -> list[JobKey]:
    return [record.key for record in store.read_now(lambda reads: reads.jobs())]


def _size(store: SqliteStore) -> int:
    """Bytes of the file, with everything that is still in its log: what is free inside is used again."""
    with closing(sqlite3.connect(store.path)) as file:
        file.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return store.path.stat().st_size
