"""What every store forgets, and above all what it does not."""

import math
from typing import Any

import pytest

from tests.stored import JOB, NOW, OTHER_JOB, SUBJECT, a_job, a_snapshot, a_transition, an_alert, an_effect, at
from watcher.domain.alerts import AlertState, Subject
from watcher.domain.groups import Decision
from watcher.domain.observations import EvalRow, Event, Observation, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.service.ports import Store, Writes
from watcher.service.records import AlertQuery, JobKey, OutboxState, StateRecord

KEEP = 10
ACCOUNT = Subject(kind=SubjectKind.ACCOUNT, account="main")


def a_run(rows: int) -> list[Observation]:
    """Losses that fall to step 40 and rise again; step 33 is no number; an eval and an event amid them."""
    seen: list[Observation] = [a_snapshot()]
    for step in range(1, rows + 1):
        loss = math.nan if step == 33 else 1.0 + abs(step - 40)
        seen.append(TrainRow(step, step * 10, loss, 1.0, 1e-5))
    seen.insert(20, EvalRow(19, 195, 2.5))
    seen.insert(30, Event(type="checkpoint_save", at=NOW, message="saved", step=28))
    return [*seen, a_snapshot(steps_completed=rows)]


async def stored(store: Store, key: JobKey = JOB, *, rows: int = 100, **job: Any) -> None:
    def work(tx: Writes) -> None:
        tx.save_job(a_job(key, **{"closed": True, "ended_at": NOW, **job}))
        tx.append(key, 1, a_run(rows))
        tx.save_states(Subject(kind=SubjectKind.JOB, account=key.account, job_id=key.job_id), [STATE])

    await store.write(work)


STATE = StateRecord(rule="divergence", fingerprint="f", state={"rows": 100})


async def left(store: Store, key: JobKey = JOB) -> list[Observation]:
    return [seen for _, seen in await store.read(lambda reads: reads.observations(key))]


async def test_a_closed_job_keeps_its_shape_and_all_that_tells_most(store: Store) -> None:
    await stored(store)
    gone = await store.write(lambda tx: tx.thin(JOB, KEEP))
    seen = await left(store)
    steps = [row.step for row in seen if isinstance(row, TrainRow)]

    assert gone == 100 - len(steps)
    assert steps == [1, 11, 21, 31, 33, 40, 41, 51, 61, 71, 81, 91, 100]
    assert [type(row).__name__ for row in seen if not isinstance(row, TrainRow)] == ["EvalRow", "Event", "Snapshot"]
    assert await store.read(lambda reads: reads.states(SUBJECT)) == []
    assert await store.write(lambda tx: tx.thin(JOB, KEEP + 3)) == 0


async def test_an_open_job_is_never_thinned(store: Store) -> None:
    """Its rules may have to fold all of it again."""
    await stored(store, closed=False)

    assert await store.write(lambda tx: tx.thin(JOB, KEEP)) == 0
    assert len(await left(store)) == 104
    assert await store.read(lambda reads: reads.states(SUBJECT)) == [STATE]
    assert await store.read(lambda reads: reads.ended_jobs(None, at(9), keep_rows=KEEP, limit=9)) == []


async def test_a_short_run_and_one_without_any_number_are_kept_bounded(store: Store) -> None:
    await stored(store, rows=KEEP)
    await store.write(lambda tx: tx.save_job(a_job(OTHER_JOB, closed=True, ended_at=NOW)))
    await store.write(lambda tx: tx.append(OTHER_JOB, 1, [TrainRow(n, n, math.nan, None, None) for n in range(500)]))
    await store.write(lambda tx: tx.thin(OTHER_JOB, KEEP))

    assert await store.write(lambda tx: tx.thin(JOB, KEEP)) == 0
    assert len(await left(store, OTHER_JOB)) == KEEP + 1


async def test_rows_of_attempts_that_are_over_go_first(store: Store) -> None:
    await stored(store, rows=8)
    await store.write(lambda tx: tx.supersede(JOB, 5, before_seq=1000))
    due = await store.read(lambda reads: reads.ended_jobs(None, NOW, keep_rows=KEEP, limit=9))
    gone = await store.write(lambda tx: tx.thin(JOB, KEEP))

    assert (due, gone) == ([JOB], 5)  # four train rows and the evaluation after them


@pytest.mark.parametrize(
    ("since", "until", "found"),
    [
        pytest.param(None, at(-1), [], id="it ended later"),
        pytest.param(None, NOW, [JOB], id="at the very time"),
        pytest.param(NOW, at(5), [], id="looked at before"),
    ],
)
async def test_jobs_are_due_by_their_end(store: Store, since: Any, until: Any, found: list[JobKey]) -> None:
    await stored(store)

    assert await store.read(lambda reads: reads.ended_jobs(since, until, keep_rows=KEEP, limit=9)) == found


async def test_what_was_told_long_ago_is_forgotten_and_what_waits_is_not(store: Store) -> None:
    firing, over = an_alert(), an_alert("stall", state=AlertState.RESOLVED, ends_at=at(1))

    def work(tx: Writes) -> None:
        tx.enqueue([an_effect("sent"), an_effect("waits", "other"), an_effect("new", "third")], NOW)
        for alert in (firing, over):
            tx.save_alert(alert)
            number = tx.add_transition(a_transition(alert))
            tx.consume([number], NOW)
            tx.add_decisions([(Decision(alert_id=alert.id, receiver="team", at=NOW, what="told", why=""), "k")])
        tx.add_transition(a_transition(over))  # not consumed yet: the router has not seen it
        ids = {row.key: row.id for row in tx.outbox()}
        tx.finish(ids["sent"], NOW)
        tx.finish(ids["new"], at(60))

    await store.write(work)
    forgotten = await store.write(lambda tx: tx.forget(at(30), limit=100))
    again = await store.write(lambda tx: tx.forget(at(30), limit=100))

    assert (forgotten, again) == (3, 0)  # the delivery, and transition and decision of the alert that is over
    kept = await store.read(lambda reads: reads.outbox())
    assert {row.key: row.state for row in kept} == {"waits": OutboxState.DUE, "new": OutboxState.DONE}
    assert len(await store.read(lambda reads: reads.transitions(firing.id))) == 1
    assert len(await store.read(lambda reads: reads.decisions(firing.id))) == 1
    assert [s.transition.alert.id for s in await store.read(lambda reads: reads.unconsumed())] == [over.id]


async def test_the_newest_episode_stays_so_that_the_next_has_another_id(store: Store) -> None:
    """An id that came again would be taken for one that was told: its message would never be sent."""
    episodes = [
        an_alert("provider_unreachable", "auth", n, subject=ACCOUNT, state=AlertState.RESOLVED, ends_at=at(n))
        for n in (1, 2, 3)
    ]
    of_job = an_alert(state=AlertState.RESOLVED, ends_at=at(1))
    again = an_alert(episode=2, state=AlertState.RESOLVED, ends_at=at(2))

    def work(tx: Writes) -> None:
        for alert in (*episodes, of_job, again):
            tx.save_alert(alert)

    await store.write(work)
    await store.write(lambda tx: tx.forget(at(60), limit=100))

    kept = await store.read(lambda reads: reads.alerts(AlertQuery()))
    assert sorted((a.subject.kind.value, a.episode) for a in kept) == [("account", 3), ("job", 1), ("job", 2)]


async def test_forgetting_goes_in_small_steps(store: Store) -> None:
    def work(tx: Writes) -> None:
        tx.enqueue([an_effect(f"k{n}", f"lane{n}") for n in range(5)], NOW)
        for row in tx.outbox():
            tx.finish(row.id, NOW)

    await store.write(work)

    assert [await store.write(lambda tx: tx.forget(at(1), limit=2)) for _ in range(4)] == [2, 2, 1, 0]
