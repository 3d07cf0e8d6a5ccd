"""Which job goes on for one that the service restarted."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from watcher.domain.observations import Snapshot, Status
from watcher.domain.restarts import successor_listed, successor_named

T0 = datetime(2026, 1, 1, tzinfo=UTC)
OLD = "ft-11111111-aaaa-4000-8000-000000000001"
NEW = "ft-22222222-bbbb-4000-8000-000000000002"


def job(job_id: str = NEW, *, after: float = 60, **fields: Any) -> Snapshot:
    given: dict[str, Any] = {"model": "m", "suffix": "s", "user_id": "u", "n_epochs": 3} | fields
    created = T0 + timedelta(seconds=after)
    return Snapshot(job_id=job_id, at=T0, status=Status.PENDING, raw_status="pending", created_at=created, **given)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param(f"Job restarted as {NEW}", NEW, id="the id in the sentence"),
        pytest.param(f"{OLD} restarted, new job id: {NEW}.", NEW, id="not its own id"),
        pytest.param("Job restarted", None, id="no id"),
        pytest.param(f"restarted {OLD}", None, id="its own id alone"),
        pytest.param("restarted as ft-x; drop table", None, id="something that is no id"),
    ],
)
def test_the_log_may_name_it(message: str, expected: str | None) -> None:
    assert successor_named(message, OLD) == expected


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        pytest.param([job()], NEW, id="the one job made then with the same settings"),
        pytest.param([job(after=-60)], NEW, id="made just before the entry was logged"),
        pytest.param([job(n_epochs=None)], NEW, id="what is not known does not speak against it"),
        pytest.param([], None, id="no job"),
        pytest.param([job(OLD)], None, id="never itself"),
        pytest.param([job(after=3600)], None, id="too late"),
        pytest.param([job(after=-600)], None, id="too early"),
        pytest.param([job(suffix="other")], None, id="another suffix"),
        pytest.param([job(n_epochs=4)], None, id="other settings"),
        pytest.param([job(), job("ft-33333333-cccc")], None, id="two that fit: no link is better than a wrong one"),
    ],
)
def test_else_the_list_may_show_it(listed: list[Snapshot], expected: str | None) -> None:
    assert successor_listed(job(OLD, after=-9999), T0, listed, set()) == expected


def test_a_job_that_goes_on_for_another_is_not_taken_twice() -> None:
    assert successor_listed(job(OLD, after=-9999), T0, [job()], {NEW}) is None
