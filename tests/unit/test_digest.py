"""When a digest is due, and what it says."""

from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from watcher.domain.billing import Meter
from watcher.domain.digest import MOST, AutoCancel, Digest, DigestJob, DigestKind, Standing, compose_digest
from watcher.domain.observations import Status
from watcher.notify.formats import text

BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
PROGRESS = Digest(name="often", receiver="team", kind=DigestKind.PROGRESS)


def at(month: int, day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


def job(name: str = "bot", health: str = "converging", **fields: object) -> DigestJob:
    return DigestJob(name=name, status=Status.RUNNING, raw_status="running", health=health, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("local", "now", "expected"),
    [
        pytest.param(time(8), at(11, 23, 7, 30), at(11, 23, 7), id="today, in winter"),
        pytest.param(time(8), at(11, 23, 6, 59), at(11, 22, 7), id="yesterday"),
        pytest.param(time(8), at(7, 1, 7), at(7, 1, 6), id="in summer"),
        pytest.param(time(2, 30), at(3, 29, 1, 10), at(3, 28, 1, 30), id="an hour that is skipped: not yet"),
        pytest.param(time(2, 30), at(3, 29, 1, 40), at(3, 29, 1, 30), id="an hour that is skipped: once it is over"),
        pytest.param(time(2, 30), at(10, 25, 1, 45), at(10, 25, 0, 30), id="an hour that comes twice: the first one"),
    ],
)
def test_a_daily_one_is_due_at_its_local_time(local: time, now: datetime, expected: datetime) -> None:
    assert Digest(name="d", receiver="team", at=local, zone=BERLIN).slot(now) == expected


def test_one_of_progress_is_due_at_round_times() -> None:
    assert PROGRESS.slot(at(11, 23, 8, 47)) == at(11, 23, 8, 30)


def test_without_a_running_job_there_is_no_progress_to_tell() -> None:
    assert compose_digest(PROGRESS, Standing(since=NOW), "k", NOW) is None


def test_the_worst_job_comes_first_and_many_are_counted() -> None:
    running = [*(job(f"good-{n:02}") for n in range(MOST + 2)), job("bad", "diverging")]

    message = compose_digest(PROGRESS, Standing(since=NOW, running=running), "k", NOW)

    assert message is not None
    assert message.title == "23 jobs in training, 1 not well"
    assert message.items[0].title == "bad: diverging"
    assert message.items[-1].title == "… and 3 more running jobs"
    assert len(message.items) == MOST + 1


def test_a_running_job_shows_progress_time_left_and_curve() -> None:
    running = [job(step=50, planned=200, left=timedelta(hours=2), loss=1.25, sparkline="█▅▂")]

    message = compose_digest(PROGRESS, Standing(since=NOW, running=running), "k", NOW)

    assert message is not None
    shown = text.render(message, heading=True)
    assert "Digest: 1 job in training" in shown
    assert "bot: 25%, 2 h left, converging" in shown
    assert "step 50 of 200, loss 1.25, █▅▂" in shown


def test_a_daily_one_tells_outcomes_prices_and_what_was_saved() -> None:
    done = DigestJob(
        name="old",
        status=Status.COMPLETED,
        raw_status="completed",
        meter=Meter(status=Status.COMPLETED, price_nano=9_840_000_000),
    )
    lost = Meter(status=Status.CANCELLED, price_nano=9_840_000_000, done=50, planned=100)
    unpriced = Meter(status=Status.CANCELLED, done=40, planned=100)
    standing = Standing(
        since=NOW - timedelta(days=1),
        ended=[done],
        cancels=[
            AutoCancel(name="lost", rule="divergence", meter=lost),
            AutoCancel(name="new", rule="nan_loss", meter=unpriced),
        ],
        dead_letters=2,
    )

    message = compose_digest(Digest(name="d", receiver="team"), standing, "k", NOW)

    assert message is not None
    assert message.title == "1 ended, 0 firing, 0 running"
    assert dict(message.facts) == {
        "auto-cancels": "2, 110 steps saved, about $4.92, if every step costs the same; 1 unknown in dollars",
        "dead letters": "2, see watcher outbox list",
    }
    assert [(item.title, item.what) for item in message.items] == [
        (
            "lost: auto-cancelled (divergence)",
            "cancelled at step 50 of 100, 50 steps saved, about $4.92, if every step costs the same",
        ),
        ("new: auto-cancelled (nan_loss)", "cancelled at step 40 of 100, 60 steps saved, 1 unknown in dollars"),
        ("old: completed", "price $9.84 as the API gives it"),
    ]
