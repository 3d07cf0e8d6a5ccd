"""What every store keeps of jobs, observations, rule states and alerts, and gives back exactly."""

import itertools
import math
from datetime import timedelta, timezone
from typing import Any

import pytest

from tests.stored import JOB, NOW, OTHER_JOB, SUBJECT, a_job, a_snapshot, a_transition, an_alert, at
from watcher.domain.alerts import WATCHER, AlertState, Subject, TransitionReason
from watcher.domain.observations import (
    EvalRow,
    Event,
    Gone,
    Observation,
    Snapshot,
    Status,
    SweepOutcome,
    TrainRow,
    Unreadable,
)
from watcher.domain.rule import SubjectKind
from watcher.service.errors import StoreError
from watcher.service.known import key_of
from watcher.service.ports import Reads, Store, Writes
from watcher.service.records import AlertQuery, JobKey, JobRecord, StateRecord

FULL_JOB = JobRecord(
    key=JOB,
    selection="all",
    snapshot=a_snapshot(suffix="bot", learning_rate=1e-5, best_metric=math.inf, total_price_nano=2**62),
    listed=a_snapshot(status=Status.UNRECOGNISED, raw_status="levitating"),
    first_seen_at=NOW,
    first_running_at=at(1),
    ended_at=at(2),
    closed=True,
    silent=True,
    keep=True,
    gone=True,
    health="broken",
    last_seq=2**53 + 1,
    saved_seq=7,
    feed='{"seen": [1, null, "NaN"], "ü": {"deep": true}}',
    moved='{"seen": [2]}',
    detail_at=at(3),
    updated_at=at(4),
    successor="ft-9",
)


async def save(store: Store, *records: JobRecord) -> None:
    def work(tx: Writes) -> None:
        for record in records:
            tx.save_job(record)

    await store.write(work)


async def append(store: Store, *observations: Observation, first_seq: int = 1, key: JobKey = JOB) -> None:
    await save(store, a_job(key))
    await store.write(lambda tx: tx.append(key, first_seq, observations))


# --- jobs ---


async def test_a_job_comes_back_as_it_was_saved(store: Store) -> None:
    await save(store, FULL_JOB)

    assert await store.read(lambda tx: tx.job(JOB)) == FULL_JOB


async def test_times_that_a_snapshot_compares_without_come_back_too(store: Store) -> None:
    await save(store, a_job(snapshot=a_snapshot(at=at(5), updated_at=at(6), steps_completed=12)))

    found = await store.read(lambda tx: tx.job(JOB))

    assert found is not None
    assert (found.snapshot.at, found.snapshot.updated_at, found.snapshot.steps_completed) == (at(5), at(6), 12)


async def test_saving_again_replaces(store: Store) -> None:
    await save(store, FULL_JOB)
    await save(store, a_job(health="converging", keep=True))

    assert await store.read(lambda tx: tx.jobs()) == [a_job(health="converging", keep=True)]


async def test_saving_a_job_read_before_a_veto_does_not_take_the_veto_away(store: Store) -> None:
    await save(store, a_job())
    before = await store.read(lambda tx: tx.job(JOB))
    assert before is not None
    await store.write(lambda tx: tx.set_keep(JOB, keep=True))

    await save(store, before)

    after = await store.read(lambda tx: tx.job(JOB))
    assert after is not None
    assert after.keep


async def test_a_veto_can_be_taken_back(store: Store) -> None:
    await save(store, a_job(keep=True), a_job(OTHER_JOB, keep=True))

    await store.write(lambda tx: tx.set_keep(JOB, keep=False))

    found = {r.key: r.keep for r in await store.read(lambda tx: tx.jobs())}
    assert found == {JOB: False, OTHER_JOB: True}


async def test_jobs_are_newest_first_by_creation_then_by_first_sight(store: Store) -> None:
    def made(name: str, created: float | None, seen: float) -> JobRecord:
        created_at = None if created is None else at(created)
        return a_job(JobKey("main", name), snapshot=a_snapshot(name, created_at=created_at), first_seen_at=at(seen))

    await save(store, made("old", 1, 9), made("late", 2, 5), made("unknown", None, 4), made("early", 2, 3))

    assert [r.key.job_id for r in await store.read(lambda tx: tx.jobs())] == ["unknown", "late", "early", "old"]


async def test_jobs_of_one_account_and_open_ones(store: Store) -> None:
    elsewhere = JobKey("other", "ft-1")
    await save(store, a_job(), a_job(OTHER_JOB, closed=True), a_job(elsewhere))

    def keys(records: list[JobRecord]) -> set[JobKey]:
        return {r.key for r in records}

    assert keys(await store.read(lambda tx: tx.jobs("main"))) == {JOB, OTHER_JOB}
    assert keys(await store.read(lambda tx: tx.jobs(open_only=True))) == {JOB, elsewhere}
    assert keys(await store.read(lambda tx: tx.jobs("main", open_only=True))) == {JOB}
    assert keys(await store.read(lambda tx: tx.find_jobs("ft-1"))) == {JOB, elsewhere}


async def test_what_is_not_there_is_none_or_empty(store: Store) -> None:
    def work(tx: Reads) -> list[Any]:
        return [
            tx.job(JOB),
            tx.alert("x"),
            tx.proposal("x"),
            tx.meta("x"),
            *(tx.jobs(), tx.find_jobs("x"), tx.observations(JOB), tx.row_keys(JOB), tx.states(SUBJECT)),
            *(tx.alerts(AlertQuery()), tx.latest_alerts(SUBJECT), tx.unconsumed(), tx.transitions("x")),
            *(tx.outbox(), tx.proposals(), tx.log(JOB)),
        ]

    assert await store.read(work) == [None] * 4 + [[]] * 12


# --- observations ---

ROWS: list[Observation] = [
    a_snapshot(learning_rate=2e-5, best_metric=-math.inf),
    TrainRow(1, 2**53 + 1, 2.5, 0.25, 1e-5),
    TrainRow(2, 2**63 - 1, None, None, None),
    TrainRow(2**62, 1_795_428_000_123_456_789, math.inf, -math.inf, 5e-324),
    TrainRow(4, 4, -math.inf, math.inf, 0.1 + 0.2),
    TrainRow(5, 5, 0.0, math.inf, None),
    TrainRow(6, 6, 1.7e308, 1.7e308, 1e-5),
    EvalRow(5, 1_795_428_000_123_456_791, 1.5),
    EvalRow(6, 6, None),
    EvalRow(7, 7, math.inf),
    Event(type="epoch_complete", at=NOW, message="épöch\u0000\n", step=3, best_metric=0.5, known=False),
    Gone(NOW),
    Unreadable(NOW),
    SweepOutcome(at=NOW, reason="timeout", unreadable=(("rows", 3, "ft-1"),)),
]


async def test_observations_come_back_exactly_and_in_order(store: Store) -> None:
    await append(store, *ROWS, first_seq=2**40)

    found = await store.read(lambda tx: tx.observations(JOB))

    assert found == list(enumerate(ROWS, 2**40))


@pytest.mark.parametrize("field", ["loss", "grad_norm", "lr"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, 0.0, 1.7976931348623157e308])
async def test_each_number_keeps_what_it_is_whatever_the_others_are(
    store: Store, field: str, value: float | None
) -> None:
    numbers: dict[str, float | None] = {"loss": 1.0, "grad_norm": 2.0, "lr": 3.0, field: value}
    await append(store, TrainRow(1, 1, **numbers), EvalRow(1, 1, value))

    found = [row for _, row in await store.read(lambda tx: tx.observations(JOB))]

    assert isinstance(found[0], TrainRow)
    assert isinstance(found[1], EvalRow)
    assert repr({f: getattr(found[0], f) for f in numbers}) == repr(numbers)
    assert repr(found[1].loss) == repr(value)


async def test_the_log_is_what_was_seen_of_a_job_beside_its_rows(store: Store) -> None:
    await append(store, *ROWS)

    assert await store.read(lambda tx: tx.log(JOB)) == [o for o in ROWS if isinstance(o, Snapshot | Event)]


async def test_observations_after_a_number(store: Store) -> None:
    await append(store, *ROWS)

    assert [seq for seq, _ in await store.read(lambda tx: tx.observations(JOB, after_seq=10))] == [11, 12, 13, 14]


async def test_a_job_is_moved_until_it_is_saved_again(store: Store) -> None:
    await save(store, FULL_JOB, a_job(OTHER_JOB))
    await store.write(lambda tx: tx.move_job(OTHER_JOB, last_seq=1, updated_at=at(1), moved="{}"))
    await store.write(lambda tx: tx.move_job(OTHER_JOB, last_seq=2, updated_at=at(2), moved='{"seen": [3]}'))

    moved = a_job(OTHER_JOB, last_seq=2, updated_at=at(2), moved='{"seen": [3]}')
    assert await store.read(lambda tx: tx.job(OTHER_JOB)) == moved
    assert await store.read(lambda tx: tx.jobs()) == [moved, FULL_JOB]
    await save(store, moved)
    assert await store.read(lambda tx: tx.job(OTHER_JOB)) == moved
    await save(store, a_job(OTHER_JOB, last_seq=2))
    assert await store.read(lambda tx: tx.job(OTHER_JOB)) == a_job(OTHER_JOB, last_seq=2)


async def test_a_job_that_was_never_saved_can_not_be_moved(store: Store) -> None:
    with pytest.raises(StoreError, match="never saved"):
        await store.write(lambda tx: tx.move_job(JOB, last_seq=1, updated_at=NOW, moved="{}"))


async def test_one_transaction_can_save_a_job_and_append_twice(store: Store) -> None:
    def work(tx: Writes) -> list[int]:
        tx.save_job(a_job())
        tx.append(JOB, 1, ROWS[:2])
        tx.append(JOB, 3, ())
        tx.append(JOB, 3, ROWS[2:4])
        return [seq for seq, _ in tx.observations(JOB)]

    assert await store.write(work) == [1, 2, 3, 4]


async def test_a_number_is_given_once(store: Store) -> None:
    await append(store, *ROWS)

    with pytest.raises(StoreError):
        await store.write(lambda tx: tx.append(JOB, 12, ROWS[:2]))

    assert len(await store.read(lambda tx: tx.observations(JOB))) == len(ROWS)


async def test_observations_of_a_job_never_saved_are_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="never saved"):
        await store.write(lambda tx: tx.append(JOB, 1, ROWS))


@pytest.mark.parametrize(
    "row", [TrainRow(2**63, 1, 1.0), TrainRow(1, 2**63, 1.0), EvalRow(-(2**63) - 1, 1, None)], ids=repr
)
async def test_a_number_beyond_64_bits_is_a_fault_of_its_job_alone(store: Store, row: TrainRow | EvalRow) -> None:
    await append(store, ROWS[0])

    with pytest.raises(StoreError, match="can't be stored"):
        await store.write(lambda tx: tx.append(JOB, 2, [row]))

    assert await store.read(lambda tx: tx.observations(JOB)) == [(1, ROWS[0])]


async def test_text_that_is_no_unicode_is_a_store_error(store: Store) -> None:
    with pytest.raises(StoreError, match="can't be stored"):
        await store.write(lambda tx: tx.save_alert(an_alert(reason="half a \ud83d")))


async def test_superseded_rows_are_gone_from_observations_and_not_from_keys(store: Store) -> None:
    rows: list[Observation] = [TrainRow(1, 10, 1.0), TrainRow(2, 20, 1.0), EvalRow(2, 21, 1.0), TrainRow(3, 30, 1.0)]
    event = Event(type="training_restarted", at=NOW, step=2)
    await append(store, *rows, event, TrainRow(2, 40, 1.0))
    await append(store, TrainRow(3, 30, 1.0), key=OTHER_JOB)

    await store.write(lambda tx: tx.supersede(JOB, 2, before_seq=6))

    assert await store.read(lambda tx: tx.observations(JOB)) == [(1, rows[0]), (5, event), (6, TrainRow(2, 40, 1.0))]
    assert len(await store.read(lambda tx: tx.observations(OTHER_JOB))) == 1
    assert sorted(await store.read(lambda tx: tx.row_keys(JOB, from_step=2))) == [(~2, 21), (2, 20), (2, 40), (3, 30)]
    assert sorted(await store.read(lambda tx: tx.row_keys(JOB, from_step=1, before=3))) == [
        (~2, 21),
        (1, 10),
        (2, 20),
        (2, 40),
    ]


@pytest.mark.parametrize("first", [1, 127, 128, 300])
async def test_keys_are_found_wherever_they_lie_in_a_long_history(store: Store, first: int) -> None:
    """A first look, then polls with rows that were held up and with what is no row, then an attempt that goes back."""
    polls: list[list[Observation]] = [[TrainRow(step, step, 1.0) for step in range(first)]]
    for begin in range(first, first + 300, 10):
        new = [TrainRow(step, step, 1.0) for step in range(begin, begin + 10)]
        polls.append(
            [*new, EvalRow(begin, begin, 1.0), TrainRow(max(0, begin - 150), -begin, 1.0), Event(type="x", at=NOW)]
        )
    polls.append([TrainRow(step, step + 10_000, 1.0) for step in range(first + 40, first + 90)])
    seq = 1
    for poll in polls:
        await append(store, *poll, first_seq=seq)
        seq += len(poll)
    await append(store, TrainRow(first, 1, 1.0), key=OTHER_JOB)

    rows = [row for poll in polls for row in poll if isinstance(row, TrainRow | EvalRow)]
    starts = (0, first + 20, first + 60, first + 280, first + 299, first + 300)
    for start, end in itertools.product(starts, (None, *starts)):
        found = await store.read(lambda tx, start=start, end=end: tx.row_keys(JOB, from_step=start, before=end))  # type: ignore[misc]
        wanted = [key_of(row) for row in rows if row.step >= start and (end is None or row.step < end)]
        assert sorted(found) == sorted(wanted)


# --- rule states, alerts, transitions ---


async def test_states_are_replaced_whole(store: Store) -> None:
    first = [
        StateRecord(rule="b", fingerprint="1", state={"n": [1.5]}),
        StateRecord(rule="a", fingerprint="2", state=None),
    ]
    second = [StateRecord(rule="a", fingerprint="3", state=[])]
    await store.write(lambda tx: tx.save_states(SUBJECT, first))
    await store.write(lambda tx: tx.save_states(WATCHER, first))

    assert await store.read(lambda tx: tx.states(SUBJECT)) == first

    await store.write(lambda tx: tx.save_states(SUBJECT, second))

    assert await store.read(lambda tx: tx.states(SUBJECT)) == second

    await store.write(lambda tx: tx.save_states(SUBJECT, []))

    assert await store.read(lambda tx: tx.states(SUBJECT)) == []
    assert await store.read(lambda tx: tx.states(WATCHER)) == first


async def test_an_alert_is_saved_again_under_its_id(store: Store) -> None:
    full = an_alert(
        ends_at=at(1),
        step=2**53 + 1,
        onset=3,
        reason="r",
        evidence=(("a", "1"), ("b", "2")),
        notice=True,
        may_cancel=True,
    )
    await store.write(lambda tx: tx.save_alert(an_alert()))
    await store.write(lambda tx: tx.save_alert(full))

    assert await store.read(lambda tx: tx.alert(full.id)) == full
    assert await store.read(lambda tx: tx.alerts(AlertQuery())) == [full]


async def test_a_time_in_another_zone_is_the_same_moment(store: Store) -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    await store.write(lambda tx: tx.save_alert(an_alert(starts_at=there)))

    found = await store.read(lambda tx: tx.alerts(AlertQuery()))

    assert [a.starts_at.isoformat() for a in found] == [NOW.isoformat()]


async def test_alerts_by_query(store: Store) -> None:
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    old = an_alert(state=AlertState.RESOLVED)
    new = an_alert(episode=2, starts_at=at(1))
    whole = an_alert("provider_unreachable", "auth", subject=account, starts_at=at(2))
    watcher = an_alert("watcher_fault", "store", subject=WATCHER, starts_at=at(3))

    def save_all(tx: Writes) -> None:
        for alert in (whole, old, watcher, new):
            tx.save_alert(alert)

    await store.write(save_all)

    async def ask(**query: Any) -> list[Any]:
        return await store.read(lambda tx: tx.alerts(AlertQuery(**query)))

    assert await ask() == [watcher, whole, new, old]
    assert await ask(limit=2) == [watcher, whole]
    assert await ask(account="main") == [whole, new, old]
    assert await ask(job_id="ft-1") == [new, old]
    assert await ask(firing_only=True, job_id="ft-1") == [new]
    assert await ask(since=at(2)) == [watcher, whole]


async def test_the_latest_alert_of_each_rule_and_kind(store: Store) -> None:
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    first, second = an_alert(state=AlertState.RESOLVED), an_alert(episode=10)
    other_kind, other_rule = an_alert(kind="stuck"), an_alert("nan_loss", "train", 3)

    def save_all(tx: Writes) -> None:
        for alert in (second, first, other_kind, other_rule, an_alert(episode=99, subject=account)):
            tx.save_alert(alert)

    await store.write(save_all)

    found = await store.read(lambda tx: tx.latest_alerts(SUBJECT))

    assert {a.id for a in found} == {second.id, other_kind.id, other_rule.id}
    assert len(found) == 3


async def test_a_transition_keeps_the_alert_as_it_was(store: Store) -> None:
    firing = an_alert(evidence=(("loss", "5.31"),), step=420)
    resolved = an_alert(evidence=(("loss", "5.31"),), step=420, state=AlertState.RESOLVED, ends_at=at(1))
    first = a_transition(firing, note="told")
    last = a_transition(resolved, reason=TransitionReason.RESOLVED, at=at(1))
    facts = {"model": "m", "price": None, "losses": [1.5]}
    one = await store.write(lambda tx: tx.add_transition(first, facts))
    two = await store.write(lambda tx: tx.add_transition(last))

    found = await store.read(lambda tx: tx.transitions(firing.id))

    assert [(f.id, f.transition, f.facts) for f in found] == [(one, first, facts), (two, last, None)]
    assert one < two


async def test_unconsumed_transitions_come_oldest_first_and_once(store: Store) -> None:
    ids = await store.write(lambda tx: [tx.add_transition(a_transition(at=at(-n))) for n in range(5)])

    await store.write(lambda tx: tx.consume([ids[1], ids[3]], NOW))
    await store.write(lambda tx: tx.consume([], NOW))

    assert [t.id for t in await store.read(lambda tx: tx.unconsumed())] == [ids[0], ids[2], ids[4]]
    assert [t.id for t in await store.read(lambda tx: tx.unconsumed(2))] == [ids[0], ids[2]]
    assert len(await store.read(lambda tx: tx.transitions(an_alert().id))) == 5


async def test_meta_is_replaced(store: Store) -> None:
    await store.write(lambda tx: tx.set_meta("a", "1"))
    await store.write(lambda tx: tx.set_meta("a", "2"))

    assert await store.read(lambda tx: tx.meta("a")) == "2"


def test_every_field_of_a_job_is_tried() -> None:
    """A field that is added to the record and forgotten in the store fails here."""
    plain = a_job()

    assert [f for f in JobRecord.__slots__ if f != "key" and getattr(FULL_JOB, f) == getattr(plain, f)] == [
        "selection",
        "first_seen_at",
    ]
    assert isinstance(FULL_JOB.snapshot, Snapshot)
