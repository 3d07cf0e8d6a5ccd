"""How long an account's jobs usually wait."""

from datetime import UTC, datetime, timedelta

from tests.stored import a_job
from watcher.service.records import JobRecord
from watcher.service.waits import Waits

T0 = datetime(2026, 1, 1, tzinfo=UTC)


def waited(seconds: float, *, seen_before: bool = True) -> JobRecord:
    record = a_job()
    record.snapshot = type(record.snapshot)(
        job_id="ft-1", at=T0, status=record.snapshot.status, raw_status="running", created_at=T0
    )
    record.first_running_at = T0 + timedelta(seconds=seconds)
    record.first_seen_at = T0 if seen_before else record.first_running_at
    return record


def test_a_few_jobs_are_no_history() -> None:
    waits = Waits()
    for seconds in (10, 20, 30, 40):
        waits.note(waited(seconds))

    assert waits.usual is None


def test_it_is_the_middle_of_the_last_twenty() -> None:
    waits = Waits()
    for seconds in (9999, *range(1, 21)):
        waits.note(waited(seconds))

    assert waits.usual == 10.5


def test_a_job_that_ran_when_it_was_first_seen_tells_nothing() -> None:
    waits = Waits()
    for _ in range(9):
        waits.note(waited(60, seen_before=False))

    assert waits.usual is None
