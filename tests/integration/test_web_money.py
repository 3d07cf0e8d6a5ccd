"""Money over HTTP: of one job, and of a month."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.stored import NOW, OTHER_JOB, a_job, a_snapshot
from tests.website import Site, a_training_job, open_site
from watcher.domain.observations import Status

PRICED = a_snapshot(total_steps=160, total_price_nano=12_400_000_000)


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        done = a_snapshot("ft-2", status=Status.COMPLETED, raw_status="completed", total_price_nano=4_000_000_000)
        await opened.save(a_training_job(snapshot=PRICED), a_job(OTHER_JOB, snapshot=done, ended_at=NOW))
        yield opened


async def test_a_job_carries_its_money(site: Site) -> None:
    money = (await site.json("/api/v1/jobs/ft-1"))["money"]

    assert money["spent"] == {"dollars": "6.20", "assumes": ["if every step costs the same"], "missing": None}
    assert money["at_stake"]["dollars"] == "6.20"
    assert money["refund"]["state"] == "nothing due"


async def test_a_jobs_page_tells_it_as_messages_do(site: Site) -> None:
    page = (await site.get("/jobs/ft-1")).text

    assert "about $6.20 of $12.40, if every step costs the same" in page
    assert "had it failed by itself, nothing would be billed" in page


async def test_a_month_has_jobs_and_totals(site: Site) -> None:
    found = await site.json("/api/v1/money")

    assert (found["month"], [job["id"] for job in found["jobs"]]) == ("2026-11", ["ft-2", "ft-1"])
    assert found["totals"]["spent"]["dollars"] == "10.20"
    assert await site.json("/api/v1/money?month=2026-11&account=main") == found | {"account": "main"}
    assert (await site.json("/api/v1/money?month=2026-10"))["jobs"] == []


@pytest.mark.parametrize(
    ("query", "status"),
    [
        pytest.param("month=2026-13", 400, id="no month"),
        pytest.param("month=november", 400, id="not a number"),
        pytest.param("when=2026-11", 400, id="an unknown parameter"),
        pytest.param("account=nobody", 404, id="no such account"),
    ],
)
async def test_what_is_not_understood_is_refused(site: Site, query: str, status: int) -> None:
    answer = await site.get(f"/api/v1/money?{query}")

    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
