"""What programs get over HTTP: the JSON API, the probes, the metrics, and the headers of every answer."""

import json
import math
from collections.abc import AsyncIterator
from datetime import timedelta
from operator import methodcaller
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.samples import HOSTILE_TEXT
from tests.stored import NOW, OTHER_JOB, a_job, a_proposal, a_snapshot, an_alert, an_effect, at
from tests.website import DeafStore, Site, a_training_job, open_site
from watcher.domain.alerts import AlertState, Subject
from watcher.domain.observations import Status
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity
from watcher.service.records import JobKey, ProposalState, Pulse
from watcher.web.families import MOST_VALUES

ONCE_KEYS = {"id", "account", "status", "step", "total_steps", "health", "alerts"}
ALERT_KEYS = {
    "id", "rule", "kind", "subject", "account", "severity", "state", "starts_at", "ends_at", "step", "reason",
}  # fmt: skip


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


async def metrics_of(site: Site) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a scrape under its name and labels."""
    answer = await site.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


# --- jobs ---


async def test_jobs_have_the_keys_of_once(site: Site) -> None:
    await site.save(a_training_job(snapshot=a_snapshot(total_steps=160, suffix="bot"), health="converging"))
    await site.alert(an_alert(step=70, reason="it left"))

    body = await site.json("/api/v1/jobs")

    assert set(body) == {"jobs"}
    (job,) = body["jobs"]
    assert set(job) >= ONCE_KEYS
    assert {key: job[key] for key in ONCE_KEYS - {"alerts"}} == {
        "id": "ft-1",
        "account": "main",
        "status": "running",
        "step": 80,
        "total_steps": 160,
        "health": "converging",
    }
    assert [(alert["rule"], alert["step"]) for alert in job["alerts"]] == [("divergence", 70)]


async def test_terminal_jobs_are_listed_too(site: Site) -> None:
    ended = a_snapshot("ft-2", status=Status.COMPLETED, raw_status="completed")
    await site.save(a_job(), a_job(OTHER_JOB, snapshot=ended, closed=True))

    statuses = {job["id"]: job["status"] for job in (await site.json("/api/v1/jobs"))["jobs"]}

    assert statuses == {"ft-1": "running", "ft-2": "completed"}


async def test_no_jobs_is_an_empty_list(site: Site) -> None:
    assert await site.json("/api/v1/jobs") == {"jobs": []}


async def test_one_job_comes_with_its_alerts_and_no_others(site: Site) -> None:
    other = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-2")
    await site.save(a_job(), a_job(OTHER_JOB))
    await site.alert(an_alert(), an_alert(subject=other))

    job = await site.json("/api/v1/jobs/ft-1")

    assert (job["id"], [alert["subject"] for alert in job["alerts"]]) == ("ft-1", ["ft-1"])


async def test_a_job_that_is_not_watched_is_404(site: Site) -> None:
    answer = await site.get("/api/v1/jobs/ft-9")

    assert (answer.status_code, answer.json()) == (404, {"error": "no such job"})


async def test_an_id_that_two_accounts_have_needs_the_account(site: Site) -> None:
    await site.save(a_job(), a_job(JobKey("research", "ft-1"), health="flat"))

    ambiguous = await site.get("/api/v1/jobs/ft-1")
    chosen = await site.json("/api/v1/jobs/ft-1?account=research")

    assert ambiguous.status_code == 409
    assert sorted(ambiguous.json()["accounts"]) == ["main", "research"]
    assert (chosen["account"], chosen["health"]) == ("research", "flat")


# --- alerts ---


async def test_alerts_have_the_keys_of_the_contract(site: Site) -> None:
    await site.alert(an_alert(step=420, reason="it left"))

    body = await site.json("/api/v1/alerts")

    assert set(body) == {"alerts"}
    (alert,) = body["alerts"]
    assert {key: alert[key] for key in ALERT_KEYS} == {
        "id": an_alert().id,
        "rule": "divergence",
        "kind": "diverged",
        "subject": "ft-1",
        "account": "main",
        "severity": "critical",
        "state": "firing",
        "starts_at": NOW.isoformat(),
        "ends_at": None,
        "step": 420,
        "reason": "it left",
    }


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param("", ["gone", "other", "account", "mine"], id="all, newest first"),
        pytest.param("?firing=1", ["other", "account", "mine"], id="firing"),
        pytest.param("?firing=0", ["gone", "other", "account", "mine"], id="not only firing"),
        pytest.param("?job=ft-1", ["gone", "mine"], id="of a job"),
        pytest.param("?job=ft-1&firing=true", ["mine"], id="firing, of a job"),
        pytest.param("?account=main", ["gone", "other", "account", "mine"], id="of an account"),
        pytest.param("?account=nobody", [], id="of an account that is not there"),
        pytest.param("?limit=1", ["gone"], id="the newest only"),
    ],
)
async def test_alerts_are_filtered(site: Site, query: str, found: list[str]) -> None:
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    other = Subject(kind=SubjectKind.JOB, account="main", job_id="ft-2")
    alerts = [
        an_alert("mine", starts_at=at(0)),
        an_alert("account", subject=account, starts_at=at(1)),
        an_alert("other", subject=other, starts_at=at(2)),
        an_alert("gone", starts_at=at(3), state=AlertState.RESOLVED, ends_at=at(4)),
    ]
    await site.alert(*alerts)

    body = await site.json(f"/api/v1/alerts{query}")

    assert [alert["rule"] for alert in body["alerts"]] == found


@pytest.mark.parametrize(
    "query",
    ["firing=yes", "firing=", "limit=0", "limit=-1", "limit=10001", "limit=99999999999", "limit=٣", "jobs=ft-1"],
)
async def test_a_wrong_filter_is_refused_rather_than_overlooked(site: Site, query: str) -> None:
    answer = await site.get(f"/api/v1/alerts?{query}")

    assert answer.status_code == 400
    assert set(answer.json()) == {"error"}


# --- status ---


async def test_status_tells_of_jobs_alerts_and_outbox(site: Site) -> None:
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    await site.save(a_job(), a_job(OTHER_JOB, closed=True))
    await site.alert(an_alert(), an_alert("auth", subject=account))
    await site.store.write(lambda tx: tx.enqueue([an_effect("a"), an_effect("b", next_at=at(9))], NOW))
    await site.store.write(lambda tx: tx.add_proposal(a_proposal()))

    status = await site.json("/api/v1/status")

    assert (status["jobs"], status["open_jobs"], status["firing"]) == (2, 1, 2)
    assert [alert["rule"] for alert in status["alerts"]] == ["auth"]
    assert (status["outbox"]["due"], status["outbox"]["waiting"], status["outbox"]["dead"]) == (1, 1, 0)
    assert [proposal["job"] for proposal in status["proposals"]] == ["ft-1"]


# --- JSON that every parser takes ---


def strict(text: str) -> Any:
    def refuse(word: str) -> None:
        pytest.fail(f"{word} is not JSON")

    return json.loads(text, parse_constant=refuse)


async def test_a_number_that_is_not_finite_is_null(site: Site) -> None:
    snapshot = a_snapshot(total_steps=160, eta_seconds=math.nan)
    await site.save(a_training_job(losses=[2.0, math.nan, math.inf], snapshot=snapshot))

    (job,) = strict((await site.get("/api/v1/jobs")).text)["jobs"]

    assert (job["loss"], job["eta_seconds"]) == (None, None)


async def test_hostile_text_comes_back_as_data(site: Site) -> None:
    await site.save(a_job(snapshot=a_snapshot(suffix=HOSTILE_TEXT)))

    answer = await site.get("/api/v1/jobs")

    assert answer.headers["content-type"] == "application/json"
    assert strict(answer.content.decode())["jobs"][0]["suffix"] == HOSTILE_TEXT.replace("\ud800", "\ufffd")


# --- probes ---


async def test_healthz_is_ok_while_the_process_makes_progress(site: Site) -> None:
    site.health.blind = ["account main: no useful sweep within 90 s"]

    assert (await site.get("/healthz")).status_code == 200


async def test_healthz_tells_what_is_stuck(site: Site) -> None:
    site.health.stuck = ["the writer thread made no progress for 40 s"]

    answer = await site.get("/healthz")

    assert (answer.status_code, answer.json()) == (503, {"reasons": site.health.stuck})


async def test_readyz_is_ok_without_reasons(site: Site) -> None:
    answer = await site.get("/readyz")

    assert (answer.status_code, answer.json()) == (200, {"reasons": []})


async def test_readyz_tells_every_reason(site: Site) -> None:
    site.health.blind = ["account main: no useful sweep within 90 s", "the store does not write"]

    answer = await site.get("/readyz")

    assert (answer.status_code, answer.json()) == (503, {"reasons": site.health.blind})


# --- metrics ---


async def test_metrics_tell_what_was_counted(site: Site) -> None:
    site.telemetry.sweep("main", None, 1.5, 12)
    site.telemetry.sweep("main", "timeout", 30.0, 0)
    site.telemetry.api_request("main", "metrics", "ok", 0.2)
    site.telemetry.rule("plateau", 0.5)
    site.telemetry.rule("plateau", 0.25)
    site.telemetry.alert("divergence", "first")
    site.telemetry.notification("team", "ok")
    site.telemetry.cancel("requested")
    site.telemetry.fault("rule_crash")

    found = await metrics_of(site)

    assert {
        ("watcher_sweeps_total", (("account", "main"), ("outcome", "ok"))): 1.0,
        ("watcher_sweeps_total", (("account", "main"), ("outcome", "timeout"))): 1.0,
        ("watcher_sweep_duration_seconds_count", ()): 2.0,
        ("watcher_sweep_duration_seconds_sum", ()): 31.5,
        ("watcher_rows_total", ()): 12.0,
        ("watcher_rule_seconds_total", (("rule", "plateau"),)): 0.75,
        ("watcher_api_requests_total", (("account", "main"), ("endpoint", "metrics"), ("outcome", "ok"))): 1.0,
        ("watcher_api_request_duration_seconds_count", (("endpoint", "metrics"),)): 1.0,
        ("watcher_alerts_total", (("reason", "first"), ("rule", "divergence"))): 1.0,
        ("watcher_notifications_total", (("outcome", "ok"), ("receiver", "team"))): 1.0,
        ("watcher_cancels_total", (("outcome", "requested"),)): 1.0,
        ("watcher_faults_total", (("kind", "rule_crash"),)): 1.0,
    }.items() <= found.items()


async def test_metrics_tell_how_the_sweeps_of_each_account_go(site: Site) -> None:
    interval = timedelta(seconds=30)
    site.health.pulses["main"] = Pulse(interval=interval, swept_at=at(2), useful_at=at(1))
    site.health.pulses["dark"] = Pulse(interval=interval, swept_at=at(3), useful_at=at(0))
    site.health.writes = False

    found = await metrics_of(site)

    main, dark = (("account", "main"),), (("account", "dark"),)
    assert {
        ("watcher_sweep_interval_seconds", main): 30.0,
        ("watcher_last_sweep_timestamp_seconds", main): at(2).timestamp(),
        ("watcher_last_sweep_timestamp_seconds", dark): at(3).timestamp(),
        ("watcher_last_successful_sweep_timestamp_seconds", main): at(1).timestamp(),
        ("watcher_last_successful_sweep_timestamp_seconds", dark): at(0).timestamp(),
        ("watcher_store_writable", ()): 0.0,
    }.items() <= found.items()


async def test_metrics_read_the_store_at_each_scrape(site: Site) -> None:
    ended = a_snapshot("ft-2", status=Status.COMPLETED, raw_status="completed")
    odd = a_snapshot("ft-3", status=Status.UNRECOGNISED, raw_status="a word that the API made up")
    await site.save(a_job(), a_job(OTHER_JOB, snapshot=ended, closed=True), a_job(JobKey("main", "ft-3"), snapshot=odd))
    notice = an_alert("completion", "completed", severity=Severity.INFO, notice=True)
    await site.alert(an_alert(), notice)
    await site.store.write(lambda tx: tx.enqueue([an_effect("a"), an_effect("b", next_at=at(9))], NOW))
    by_hand = a_proposal("p2", OTHER_JOB, mode="manual", state=ProposalState.REQUESTED)
    for proposal in (a_proposal(), by_hand):
        await site.store.write(methodcaller("add_proposal", proposal))
    before = await metrics_of(site)
    site.clock.advance(60)

    after = await metrics_of(site)

    assert {
        ("watcher_store_readable", ()): 1.0,
        ("watcher_jobs", (("status", "running"),)): 1.0,
        ("watcher_jobs", (("status", "completed"),)): 0.0,
        ("watcher_jobs", (("status", "unrecognised"),)): 1.0,
        ("watcher_alerts_firing", (("rule", "divergence"), ("severity", "critical"))): 1.0,
        ("watcher_proposals", (("state", "proposed"),)): 1.0,
        ("watcher_proposals", (("state", "requested"),)): 0.0,
        ("watcher_outbox_rows", (("state", "due"),)): 1.0,
        ("watcher_outbox_rows", (("state", "waiting"),)): 1.0,
        ("watcher_outbox_rows", (("state", "claimed"),)): 0.0,
        ("watcher_outbox_rows", (("state", "dead"),)): 0.0,
    }.items() <= after.items()
    assert (before["watcher_outbox_oldest_seconds", ()], after["watcher_outbox_oldest_seconds", ()]) == (0.0, 60.0)
    assert not [name for name, labels in after if name == "watcher_alerts_firing" and ("rule", "completion") in labels]


async def test_metrics_are_told_when_the_store_cannot_be_read() -> None:
    site = Site(DeafStore())
    site.telemetry.fault("store")

    found = await metrics_of(site)

    assert (found["watcher_store_readable", ()], found["watcher_faults_total", (("kind", "store"),)]) == (0.0, 1.0)
    assert ("watcher_outbox_oldest_seconds", ()) not in found


async def test_however_many_words_come_a_label_takes_a_bounded_number_of_values(site: Site) -> None:
    for i in range(MOST_VALUES + 50):
        site.telemetry.notification(f"receiver-{i}", "ok")
    site.telemetry.notification("receiver-0", "ok")

    found = {labels: n for (name, labels), n in (await metrics_of(site)).items() if "notifications_total" in name}

    assert len(found) == MOST_VALUES + 1
    assert found[("outcome", "ok"), ("receiver", "other")] == 50
    assert found[("outcome", "ok"), ("receiver", "receiver-0")] == 2


# --- every answer ---

PATHS = [
    "/",
    "/api/v1/jobs",
    "/api/v1/alerts",
    "/api/v1/status",
    "/api/v1/money",
    "/api/v1/jobs/ft-1",
    "/jobs/ft-1",
    "/healthz",
    "/readyz",
]
STRANGE = ["/nowhere", "/api/v1/nothing", "/api/v1/jobs/", "/static/../app.py", "/static/%2e%2e/app.py", "/jobs"]


@pytest.mark.parametrize("path", [*PATHS, *STRANGE, "/metrics", "/static/watcher.css"])
async def test_every_answer_has_the_headers_that_keep_browsers_safe(site: Site, path: str) -> None:
    await site.save(a_job())

    headers = (await site.get(path)).headers

    policy = dict(part.strip().split(" ", 1) for part in headers["content-security-policy"].split(";"))
    assert (policy["default-src"], policy["frame-ancestors"], policy["base-uri"]) == ("'none'", "'none'", "'none'")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "same-origin"
    assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize("path", STRANGE)
async def test_a_path_that_is_not_there_is_404(site: Site, path: str) -> None:
    assert (await site.get(path)).status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", [*PATHS, "/metrics", "/static/watcher.css"])
async def test_nothing_but_reading_is_allowed(site: Site, method: str, path: str) -> None:
    await site.save(a_job())

    assert (await site.client.request(method, path)).status_code == 405


@pytest.mark.parametrize("path", [path for path in PATHS if path.startswith(("/api", "/jobs")) or path == "/"])
async def test_a_store_that_cannot_be_read_is_503_without_its_details(path: str) -> None:
    answer = await Site(DeafStore()).get(path)

    assert answer.status_code == 503
    assert "can&#39;t be read" in answer.text or "can't be read" in answer.text
    assert "secret" not in answer.text


async def test_an_error_of_ours_is_500_without_its_details(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def ready() -> list[str]:
        raise RuntimeError("secret")

    monkeypatch.setattr(site.health, "ready", ready)

    answer = await site.get("/readyz")

    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
