"""What programs read over HTTP beside jobs and alerts: cancels with a countdown, silences, receivers, audit, health."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.doors import ALERT, seed
from tests.rich import fill
from tests.stored import JOB, NOW, a_proposal, an_effect, at
from tests.website import DeafStore, Site, open_site
from watcher.service.consent import Person
from watcher.service.people import add_silence
from watcher.service.ports import Writes
from watcher.service.records import Act, ProposalState


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


async def proposals(site: Site, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await site.json(f"/api/v1/proposals{query}"))["proposals"]
    return found


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        pytest.param({"announced_at": NOW, "deadline_at": at(15)}, 600.0, id="the window runs"),
        pytest.param({"announced_at": NOW, "deadline_at": at(3)}, 0.0, id="the deadline is over"),
        pytest.param({}, None, id="nobody was told yet"),
        pytest.param({"announced_at": NOW, "deadline_at": at(15), "frozen_at": at(1)}, None, id="frozen"),
        pytest.param({"announced_at": NOW, "deadline_at": at(15), "approved_at": at(1)}, None, id="approved"),
        pytest.param({"deadline_at": at(15), "state": ProposalState.REQUESTED}, None, id="requested"),
    ],
)
async def test_a_proposal_counts_down_while_its_window_runs(
    site: Site, changes: dict[str, Any], left: float | None
) -> None:
    await site.store.write(lambda tx: tx.add_proposal(a_proposal(detail="the API can't be seen", **changes)))
    site.clock.advance(300)

    (proposal,) = await proposals(site)

    assert proposal["seconds_left"] == left
    assert proposal["frozen_reason"] == ("the API can't be seen" if "frozen_at" in changes else None)
    assert (proposal["job"], proposal["state"]) == (JOB.job_id, changes.get("state", "proposed"))


async def test_lists_are_filtered_and_bounded(site: Site) -> None:
    await site.store.write(seed)
    await site.store.write(fill)

    assert [p["id"] for p in await proposals(site, "?state=proposed")] == ["p2"]
    assert {p["job"] for p in await proposals(site, "?job=ft-1")} == {"ft-1"}
    assert await proposals(site, "?account=nobody") == []
    assert len(await proposals(site, "?limit=2")) == 2
    assert len((await site.json("/api/v1/silences?limit=1"))["silences"]) == 1


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/proposals?state=maybe",
        "/api/v1/proposals?states=proposed",
        "/api/v1/proposals?job=a&job=b",
        "/api/v1/audit?limit=0",
        "/api/v1/silences?past=perhaps",
        "/api/v1/receivers?x=1",
        "/api/v1/health?x=1",
        "/api/v1/jobs?limit=1",
        "/api/v1/jobs/ft-1?accounts=main",
    ],
)
async def test_what_can_not_be_meant_is_refused_rather_than_overlooked(site: Site, path: str) -> None:
    answer = await site.get(path)

    assert (answer.status_code, set(answer.json())) == (400, {"error"})


async def test_silences_that_are_over_follow_on_request_the_last_first(site: Site) -> None:
    def add(tx: Writes) -> None:
        for name, minutes in (("old", 10), ("older", 5), ("long", 90), ("short", 60)):
            add_silence(tx, [f"rule={name}"], at(minutes) - NOW, author="Ada", comment="why", now=NOW)

    await site.store.write(add)
    site.clock.advance(1800)

    def rules(body: Any) -> list[str]:
        return [silence["matchers"][0] for silence in body["silences"]]

    assert rules(await site.json("/api/v1/silences")) == ["rule=short", "rule=long"]
    everything = await site.json("/api/v1/silences?past=1")
    assert rules(everything) == ["rule=short", "rule=long", "rule=old", "rule=older"]
    assert [silence["active"] for silence in everything["silences"]] == [True, True, False, False]


async def test_an_alert_comes_with_its_history_and_what_became_of_its_messages(site: Site) -> None:
    await site.store.write(seed)
    await site.store.write(fill)

    story = await site.json(f"/api/v1/alerts/{ALERT.id}")
    missing = await site.get("/api/v1/alerts/nope")

    assert (story["alert"]["id"], story["acknowledged"]["acknowledged_by"]) == (ALERT.id, "Ada")
    assert [step["reason"] for step in story["transitions"]] == ["first"]
    results = {d["key"]: (d["state"], d["error"]) for told in story["decisions"] for d in told["deliveries"]}
    assert results["k-1"] == ("done", "")
    assert results["k-2"] == ("due", "json: answered 503")
    assert results["k-3"] == ("dead", "json: answered 410")
    assert (missing.status_code, missing.json()) == (404, {"error": "no such alert"})


async def test_receivers_come_with_the_last_result_of_each_target(site: Site) -> None:
    def give_up(tx: Writes) -> None:
        tx.enqueue([an_effect("k-1", lane="gone")], NOW)
        for row in tx.claim(NOW):
            tx.park(row.id, at(1), "json: answered 410")

    await site.store.write(give_up)

    body = await site.json("/api/v1/receivers")

    assert set(body) == {"receivers", "gone"}
    (gone,) = body["gone"]
    assert (gone["receiver"], gone["id"], gone["last"], gone["error"]) == (
        "team",
        "gone",
        "gave up",
        "json: answered 410",
    )
    assert gone["failed_at"] == at(1).isoformat()


async def test_the_audit_tells_who_did_what_by_which_way_when_and_why_the_newest_first(site: Site) -> None:
    ada, bob = Person("Ada", "page", "it warms up"), Person("Bob", "api")
    await site.store.write(lambda tx: tx.add_audit(ada.audit(Act.VETO, JOB, NOW, outcome="vetoed", proposal_id="p1")))
    await site.store.write(lambda tx: tx.add_audit(bob.audit(Act.LIFT, JOB, at(1), outcome="lifted")))

    newest, oldest = (await site.json("/api/v1/audit"))["audit"]

    assert (newest["who"], newest["what"], newest["proposal"]) == ("Bob", "lift", None)
    assert oldest == {
        "at": NOW.isoformat(),
        "who": "Ada",
        "via": "page",
        "what": "veto",
        "why": "it warms up",
        "account": "main",
        "job": "ft-1",
        "proposal": "p1",
        "outcome": "vetoed",
    }


async def test_health_tells_how_the_watcher_is_and_is_no_probe(site: Site) -> None:
    site.health.blind = ["account main: no useful sweep within 90 s"]

    health = await site.json("/api/v1/health")

    assert (health["alive"], health["ready"], health["reasons"]) == (True, False, site.health.blind)
    assert (health["at"], health["orders"], health["streams"], health["failed_logins"]) == (
        NOW.isoformat(),
        False,
        0,
        0,
    )
    assert set(health["outbox"]) >= {"due", "dead"}


async def test_one_job_comes_with_its_curve_events_checkpoints_and_cancels(site: Site) -> None:
    await site.store.write(seed)
    await site.store.write(fill)

    job = await site.json("/api/v1/jobs/ft-1")

    series = job["curve"]["series"]
    assert set(series) == {"train", "smoothed", "eval", "learning_rate", "grad_norm"}
    assert series["eval"] == [[100, 200, 300], [2.0, 3.0, 4.0]]
    assert job["curve"]["bad"] == [200]
    assert [event["type"] for event in job["events"]] == ["early_stopped", "checkpoint_save"]
    assert [checkpoint["from_checkpoint"] for checkpoint in job["checkpoints"]] == ["ft-1:200"]
    assert {p["id"] for p in job["proposals"]} > {"p1"}


@pytest.mark.parametrize("name", ["proposals", "silences", "receivers", "alerts/x", "audit", "health", "jobs/ft-1"])
async def test_a_store_that_can_not_be_read_is_told_without_its_details(name: str) -> None:
    site = Site(DeafStore())
    answer = await site.get(f"/api/v1/{name}")
    await site.client.aclose()

    assert (answer.status_code, "secret" in answer.text) == (503, False)
