"""What people get over HTTP: the page of all jobs, the page of one, and what neither ever does with hostile text."""

import math
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.fakes import FakeTarget
from tests.samples import HOSTILE_TEXT
from tests.stored import (
    JOB,
    NOW,
    OTHER_JOB,
    a_job,
    a_proposal,
    a_snapshot,
    a_transition,
    an_alert,
    an_effect,
    at,
)
from tests.website import DeafStore, Site, a_training_job, open_site
from watcher import __version__
from watcher.domain.alerts import Alert, AlertState, Subject
from watcher.domain.groups import Decision
from watcher.domain.matching import Matcher
from watcher.domain.muting import Silence
from watcher.domain.observations import EvalRow, Event, Observation, Status, TrainRow
from watcher.domain.rule import SubjectKind
from watcher.domain.verdicts import Severity
from watcher.service.ports import Writes
from watcher.service.records import Ack, Act, Audit, JobKey, JobRecord, ProposalState, Pulse
from watcher.web.curve import MOST
from watcher.web.joblist import MOST_ALERTS, MOST_JOBS

ALERT = an_alert().id
OTHERS = ("/alerts", f"/alerts/{ALERT}", "/proposals", "/silences", "/receivers", "/watcher")
"""Pages beside those of jobs."""


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with open_site(tmp_path) as opened:
        yield opened


class Page(HTMLParser):
    """A page taken apart: its text on one line, its tags with the names of their attributes, and its links."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.shape: list[tuple[str, tuple[str, ...]]] = []
        self.links: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shape.append((tag, tuple(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


async def page_of(site: Site, path: str = "/") -> Page:
    answer = await site.get(path)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    return Page(answer.text)


# --- all jobs ---


async def test_a_deleted_job_has_no_time_left(site: Site) -> None:
    snapshot = a_snapshot(suffix="support-bot", total_steps=160, started_at=at(-60), eta_seconds=5400)
    await site.save(a_training_job(snapshot=snapshot, gone=True))

    assert "left" not in (await page_of(site)).text.partition("support-bot")[2]
    assert "left about" not in (await page_of(site, "/jobs/ft-1?account=main")).text


async def test_a_job_is_shown_with_status_health_progress_loss_and_price(site: Site) -> None:
    snapshot = a_snapshot(
        suffix="support-bot", model="org/Base-8B", total_steps=160, total_price_nano=12_400_000_000,
        created_at=at(-90), started_at=at(-60), eta_seconds=5400,
    )  # fmt: skip
    await site.save(a_training_job(snapshot=snapshot, health="converging"))

    page = await page_of(site)

    for part in (
        "support-bot org/Base-8B · main",
        "1 h 30 min ago created",
        "converging running",
        "50 % · 80 of 160 about 30 min left",
        "loss 1.2",
        "about $6.20 of $12.40",
        "1 job, 1 open 0 alerts firing about $6.20 spent on open jobs",
        "as of 10:00:00 UTC",
    ):
        assert part in page.text
    assert ("polyline", ("points",)) in page.shape
    assert "/jobs/ft-1?account=main" in page.links


async def test_a_job_without_plan_rows_or_price_invents_nothing(site: Site) -> None:
    await site.save(a_job(snapshot=a_snapshot(status=Status.QUEUED, raw_status="queued")))

    page = await page_of(site)

    assert "ft-1 main" in page.text
    assert "waiting queued no steps yet no loss yet" in page.text
    assert "progress" not in {tag for tag, _ in page.shape}
    assert not [names for tag, names in page.shape if tag == "svg" and "preserveaspectratio" in names]
    assert not re.search(r"None|\bnan\b|\$", page.text)


async def test_a_loss_that_is_not_a_number_is_said_and_marked(site: Site) -> None:
    await site.save(a_training_job(losses=[2.0, 1.5, math.nan, math.nan], health="broken"))

    page = await page_of(site)

    assert "loss is not a number" in page.text
    assert ("line", ("class", "x1", "x2", "y1", "y2")) in page.shape


async def test_firing_alerts_stand_on_top_with_their_reasons_worst_first(site: Site) -> None:
    account = Subject(kind=SubjectKind.ACCOUNT, account="main")
    watcher = Subject(kind=SubjectKind.WATCHER)
    alerts = [
        an_alert("plateau", severity=Severity.WARNING, reason="No progress since step 210.", starts_at=at(-1)),
        an_alert("divergence", reason="The loss has left its past.", step=420, starts_at=at(-6)),
        an_alert("provider_unreachable", subject=account, reason="The key is refused.", starts_at=at(-20)),
        an_alert("watcher_fault", subject=watcher, reason="The clock was set.", starts_at=at(-30)),
        an_alert("gradient", reason="Was high.", state=AlertState.RESOLVED, ends_at=NOW),
        an_alert("completion", reason="Done.", notice=True),
    ]
    await site.save(a_training_job(snapshot=a_snapshot(suffix="support-bot")))
    await site.alert(*alerts)

    text = (await page_of(site)).text

    assert (
        "Firing critical divergence diverged on support-bot step 420 · began 6 min ago The loss has left its past."
        in text
    )
    assert "critical provider_unreachable diverged on account main began 20 min ago The key is refused." in text
    assert "critical watcher_fault diverged on the watcher itself began 30 min ago The clock was set." in text
    assert text.index("The clock was set.") < text.index("warning plateau diverged on support-bot")
    assert "4 alerts firing" in text
    assert "Was high." not in text
    assert "Done." not in text


async def test_jobs_that_run_come_first_and_the_worst_of_them_on_top(site: Site) -> None:
    def job(name: str, minutes: float, status: Status = Status.RUNNING) -> None:
        snapshot = a_snapshot(name, created_at=at(minutes), status=status, raw_status=status.value)
        records.append(a_job(JobKey("main", name), snapshot=snapshot))

    def alert(name: str, severity: Severity) -> None:
        subject = Subject(kind=SubjectKind.JOB, account="main", job_id=name)
        alerts.append(an_alert(subject=subject, severity=severity))

    records, alerts = list[JobRecord](), list[Alert]()
    job("ft-new", 9)
    job("ft-old", 1)
    job("ft-ended", 10, Status.COMPLETED)
    job("ft-warned", 0)
    job("ft-burning", -1)
    alert("ft-warned", Severity.WARNING)
    alert("ft-burning", Severity.CRITICAL)
    alert("ft-ended", Severity.CRITICAL)
    await site.save(*records)
    await site.alert(*alerts)

    text = (await page_of(site)).text.split("Age ", 1)[1]

    assert re.findall(r"ft-\w+", text) == ["ft-burning", "ft-warned", "ft-new", "ft-old", "ft-ended"]


async def test_without_jobs_the_page_says_so(site: Site) -> None:
    assert "No jobs yet." in (await page_of(site)).text


async def test_the_page_says_what_cannot_be_seen(site: Site) -> None:
    site.health.blind = ["account research: no useful sweep within 90 s (auth)"]

    text = (await page_of(site)).text

    assert "Not everything can be seen or delivered account research: no useful sweep within 90 s (auth)" in text


async def test_the_outbox_is_told_when_it_is_not_empty(site: Site) -> None:
    await site.store.write(lambda tx: tx.enqueue([an_effect("a"), an_effect("b", "other")], NOW))
    await site.store.write(lambda tx: [tx.park(row.id, NOW, "gone") for row in tx.claim(NOW)[:1]])  # type: ignore[func-returns-value]

    assert "1 to deliver 1 undeliverable" in (await page_of(site)).text


async def test_a_very_long_list_is_cut_and_counted(site: Site) -> None:
    await site.save(*(a_job(JobKey("main", f"ft-{i}"), snapshot=a_snapshot(f"ft-{i}")) for i in range(MOST_JOBS + 3)))
    await site.alert(*(an_alert(f"rule-{i}") for i in range(MOST_ALERTS + 2)))

    text = (await page_of(site)).text

    assert "And 3 older ones:" in text
    assert "And 2 more:" in text


async def test_a_store_that_cannot_be_read_is_a_page_that_says_so() -> None:
    answer = await Site(DeafStore()).get("/")

    page = Page(answer.text)

    assert answer.status_code == 503
    assert "I can't see The store can't be read now; the log of the watcher says why." in page.text
    assert ("meta", ("http-equiv", "content")) in page.shape  # it comes back by itself


# --- one job ---


async def test_the_page_of_a_job_has_facts_alerts_with_evidence_and_proposals(site: Site) -> None:
    snapshot = a_snapshot(suffix="support-bot", method="sft", learning_rate=1e-5, n_epochs=3, total_steps=160)
    alert = an_alert(step=70, onset=50, reason="It left.", evidence=(("loss", "5.31, was 0.84"),), starts_at=at(-6))
    past = an_alert("gradient", state=AlertState.RESOLVED, starts_at=at(-9), ends_at=at(-2), severity=Severity.WARNING)
    notice = an_alert("completion", "completed", severity=Severity.INFO, notice=True, starts_at=at(-3))
    await site.save(a_training_job(snapshot=snapshot, health="diverging", keep=True))
    await site.alert(alert, past, notice)
    await site.store.write(lambda tx: tx.add_proposal(a_proposal(reason="Seen in two sweeps.", proposed_at=at(-5))))

    text = (await page_of(site, "/jobs/ft-1?account=main")).text

    for part in (
        "support-bot diverging running",
        "progress 50 % · 80 of 160 loss 1.2",
        "critical divergence diverged step 70, onset 50 · began 6 min ago It left. loss 5.31, was 0.84",
        "warning gradient diverged resolved 2 min ago · began 9 min ago",
        "info completion completed told · began 3 min ago",
        "proposed divergence diverged propose · 5 min ago Seen in two sweeps. Not announced yet:",
        "id ft-1 account main watched as all method sft epochs 3 learning rate 1e-05",
        "first seen 2026-11-23 10:00 UTC",
        "auto-cancel never: vetoed",
    ):
        assert part in text


async def test_the_page_of_a_job_says_which_checkpoint_to_go_on_from(site: Site) -> None:
    snapshot = a_snapshot(total_steps=160, training_file="file-1", learning_rate=2e-5)
    await site.save(a_job(snapshot=snapshot))
    seen: list[Observation] = [
        EvalRow(20, 1, 0.7),
        EvalRow(30, 2, 0.5),
        Event(type="checkpoint_save", at=at(-3), step=20),
    ]
    await site.store.write(lambda tx: tx.append(JOB, 1, seen))

    text = (await page_of(site, "/jobs/ft-1")).text

    assert "best saved: step 20 (eval loss 0.7), from_checkpoint ft-1:20" in text
    assert "better, but not saved: step 30 (eval loss 0.5)" in text
    assert "create --training-file=file-1 --from-checkpoint=ft-1:20 --learning-rate=1e-05" in text


async def test_a_quiet_job_says_that_there_was_no_alert(site: Site) -> None:
    await site.save(a_job())

    assert "No alert on this job so far." in (await page_of(site, "/jobs/ft-1")).text


async def test_a_job_that_is_not_watched_is_404_in_words(site: Site) -> None:
    answer = await site.get("/jobs/ft-9")

    assert answer.status_code == 404
    assert "No such job" in Page(answer.text).text


async def test_an_id_that_two_accounts_have_gives_a_choice(site: Site) -> None:
    await site.save(a_job(), a_job(JobKey("research", "ft-1")))

    page = await page_of(site, "/jobs/ft-1")

    assert {"/jobs/ft-1?account=main", "/jobs/ft-1?account=research"} <= set(page.links)


# --- the curve ---


async def run(site: Site, losses: list[float | None], **changes: Any) -> None:
    rows = [TrainRow(i + 1, int((NOW.timestamp() + i) * 1e9), loss, 1.5, 1e-4) for i, loss in enumerate(losses)]
    await site.save(a_job(last_seq=len(rows), **changes))
    await site.store.write(lambda tx: tx.append(JOB, 1, rows))


async def test_the_curve_has_its_series_its_gaps_and_what_is_marked_on_it(site: Site) -> None:
    await run(site, [2.0, 1.5, math.nan, 1.0], snapshot=a_snapshot(total_steps=9))
    log: list[Observation] = [
        EvalRow(3, 5, 1.25),
        Event(type="checkpoint_save", at=NOW, message="saved", step=3),
    ]
    await site.store.write(lambda tx: tx.append(JOB, 5, log))
    await site.alert(an_alert(step=4, onset=2), an_alert("completion", notice=True, step=4))
    await site.store.write(lambda tx: tx.add_proposal(a_proposal(step=4)))

    found = await site.json("/jobs/ft-1/curve.json?account=main")

    assert found["series"]["train"] == [[1, 2, 3, 4], [2.0, 1.5, None, 1.0]]
    assert found["series"]["eval"] == [[3], [1.25]]
    assert found["series"]["grad_norm"] == [[1, 2, 3, 4], [1.5] * 4]
    assert found["series"]["learning_rate"][1] == [1e-4] * 4
    assert (found["bad"], found["total_steps"], found["thinned"]) == ([3], 9, False)
    assert [(mark["kind"], mark["step"], mark["text"]) for mark in found["marks"]] == [
        ("alert", 4, "divergence (diverged)"),
        ("checkpoint", 3, "checkpoint 3"),
        ("cancel", 4, "cancel: proposed"),
    ]


async def test_a_long_curve_is_thinned_keeps_its_spikes_and_shows_all_of_a_window(site: Site) -> None:
    losses: list[float | None] = [1.0 + i % 7 / 10 for i in range(9000)]
    losses[4321] = 77.0
    await run(site, losses)

    whole = await site.json("/jobs/ft-1/curve.json")
    part = await site.json("/jobs/ft-1/curve.json?from=4000&to=4400")

    assert whole["thinned"] is True
    assert len(whole["series"]["train"][0]) <= MOST
    assert max(whole["series"]["train"][1]) == 77.0
    assert part["thinned"] is False
    assert part["series"]["train"][0] == list(range(3999, 4402))


@pytest.mark.parametrize(("query", "status"), [("?from=x", 400), ("?account=other", 404)])
async def test_a_curve_that_can_not_be_told_is_refused(site: Site, query: str, status: int) -> None:
    await run(site, [1.0])

    assert (await site.get(f"/jobs/ft-1/curve.json{query}")).status_code == status


async def test_without_scripts_the_curve_is_the_picture_of_the_messages(site: Site) -> None:
    await run(site, [2.0, 1.5, 1.0])

    page, drawing = await page_of(site, "/jobs/ft-1"), await site.get("/jobs/ft-1/curve.svg?account=main")

    assert "/jobs/ft-1/curve.svg?account=main" in page.links
    assert drawing.headers["content-type"] == "image/svg+xml"
    assert "<svg" in drawing.text
    assert "<script" not in drawing.text


# --- alerts, proposals, silences, receivers, the watcher itself ---


async def test_alerts_stand_in_two_lists_and_each_has_its_story_with_every_delivery(site: Site) -> None:
    alert = an_alert(reason="It left.", evidence=(("loss", "5.31, was 0.84"),), starts_at=at(-6))
    past = an_alert("gradient", state=AlertState.RESOLVED, starts_at=at(-9), ends_at=at(-2))
    await site.save(a_job(snapshot=a_snapshot(suffix="support-bot")))
    await site.alert(alert, past)
    site.receivers.all = [FakeTarget("lane", "team", site.clock)]

    def told(tx: Writes) -> None:
        tx.add_transition(a_transition(alert))
        decision = Decision(alert_id=alert.id, receiver="team", at=NOW, what="told", why="first")
        tx.enqueue([an_effect("k1"), an_effect("k2", "other")], NOW)
        tx.add_decisions([(decision, "k1"), (decision, "k2")])
        for row in tx.claim(NOW):
            tx.finish(row.id, NOW) if row.key == "k1" else tx.retry(row.id, at(5), "500 from the other side")

    await site.store.write(told)

    listed = (await page_of(site, "/alerts")).text
    story = (await page_of(site, f"/alerts/{alert.id}")).text
    job = (await page_of(site, "/jobs/ft-1")).text

    assert "Firing critical divergence diverged on support-bot" in listed
    assert listed.index("Told, and over") < listed.index("gradient")
    assert "What happened 2026-11-23 10:00:00 first" in story
    for text in (story, job):
        assert "team : told (first) delivered fake 11-23 10:00:00" in text
        assert "waits target other again 11-23 10:05:00 · 1 attempt 500 from the other side" in text
    assert (await site.get("/alerts/nothing")).status_code == 404


async def test_a_proposal_says_how_long_it_can_be_vetoed_and_what_people_did(site: Site) -> None:
    vetoed = a_proposal("p0", OTHER_JOB, state=ProposalState.VETOED, reason="was lost")
    proposal = a_proposal(reason="lost", announced_at=NOW, deadline_at=at(4.12), window=timedelta(minutes=5))
    audit = Audit(at=NOW, who="Ada", via="page", what=Act.VETO, key=OTHER_JOB, outcome="too_late", why="warm-up")
    await site.save(a_job(snapshot=a_snapshot(suffix="support-bot")), a_job(OTHER_JOB))

    def save(tx: Writes) -> None:
        tx.add_proposal(vetoed)
        tx.add_proposal(proposal)
        tx.add_audit(audit)

    await site.store.write(save)

    text = (await page_of(site, "/proposals")).text

    assert "Under way proposed cancel of support-bot in 4:08" in text
    assert "watcher veto ft-1" in text
    assert "Over vetoed cancel of ft-2" in text
    assert "Ada veto (page) ft-2 too late “warm-up”" in text
    assert "proposed cancel of support-bot in 4:08" in (await page_of(site)).text


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "proposed cancel of ft-1 divergence"),
        ({}, "Not announced yet: the veto window of 5 min begins when somebody was told."),
        ({"frozen_at": NOW, "deadline_at": at(3)}, "stands still cancel of ft-1 divergence"),
        ({"deadline_at": at(3), "approved_at": NOW}, "Approved: it is carried out as soon as the guards agree."),
        ({"deadline_at": at(-1)}, "The window is over: it is carried out as soon as the guards agree."),
        ({"state": ProposalState.REQUESTED}, "cancelling cancel of ft-1 divergence"),
        ({"state": ProposalState.CONFIRMED}, "Over cancelled cancel of ft-1 divergence"),
        ({"mode": "observe"}, "Over would cancel cancel of ft-1 divergence"),
    ],
)
async def test_how_a_cancel_stands_is_said_in_words(site: Site, changes: dict[str, Any], words: str) -> None:
    await site.save(a_job())
    await site.store.write(lambda tx: tx.add_proposal(a_proposal(window=timedelta(minutes=5), **changes)))

    assert words in (await page_of(site, "/proposals")).text


async def test_silences_in_force_to_come_and_over(site: Site) -> None:
    def silence(name: str, begin: float, end: float) -> Silence:
        matchers = (Matcher("suffix", ("nightly-*",)),)
        return Silence(
            id=name, matchers=matchers, author="Ada", comment=f"why {name}", starts_at=at(begin), ends_at=at(end)
        )

    for one in (silence("now", -5, 20), silence("later", 30, 60), silence("past", -9, -2)):
        await site.store.write(lambda tx, one=one: tx.save_silence(one))  # type: ignore[misc]

    text = (await page_of(site, "/silences")).text

    assert "active suffix=nightly-* for 20:00 by Ada" in text
    assert "to come suffix=nightly-*" in text
    assert text.index("why later") < text.index("Over over") < text.index("why past")


async def test_receivers_stand_with_the_last_result_of_each_target(site: Site) -> None:
    targets = ("good", "bad", "dead", "new")
    site.receivers.all = [FakeTarget(name, "team", site.clock) for name in targets]

    def save(tx: Writes) -> None:
        effects = [an_effect(name, name) for name in ("good", "bad", "dead", "elsewhere")]
        tx.enqueue(
            [replace(effect, receiver="old") if effect.lane == "elsewhere" else effect for effect in effects], NOW
        )
        for row in tx.claim(at(-3)) or tx.claim(NOW):
            if row.lane == "bad":
                tx.retry(row.id, at(2), "503")
            elif row.lane == "dead":
                tx.park(row.id, NOW, "410 gone")
            else:
                tx.finish(row.id, at(-3))

    await site.store.write(save)

    text = (await page_of(site, "/receivers")).text

    assert "team fake good delivered 3 min ago" in text
    assert "team fake bad failing 1 attempt – 503 again in 2:00" in text
    assert "team fake dead gave up – 410 gone" in text
    assert "team fake new nothing sent yet" in text
    assert "1 given up given up receiver what why 2026-11-23 10:00:00 team notify 410 gone" in text
    assert "Told before, not configured any more" in text


async def test_the_watcher_tells_of_its_accounts_its_outbox_and_its_version(site: Site) -> None:
    site.health.pulses = {
        "main": Pulse(interval=timedelta(seconds=30), swept_at=NOW, useful_at=at(-1)),
        "dark": Pulse(interval=timedelta(minutes=2), swept_at=NOW, useful_at=at(-60), reason="auth"),
    }
    await site.save(a_job())
    await site.store.write(lambda tx: tx.enqueue([an_effect("a", next_at=at(-7))], at(-7)))

    text = (await page_of(site, "/watcher")).text

    assert "ready It sees every account, stores and delivers." in text
    assert "main seen 1 min ago 30 s 1 1" in text
    assert "dark can’t see auth 1 h ago 2 min 0 0" in text
    assert f"version {__version__} oldest due row due since 7 min ago" in text


# --- hostile text ---


async def fill(site: Site, text: str, job_id: str) -> None:
    """A job, its alert and its proposal in which every text is the given one."""
    key = JobKey("main", job_id)
    snapshot = a_snapshot(
        job_id, suffix=text, model=text, raw_status=text, output_name=text, method=text, training_type=text,
        from_checkpoint=text, total_steps=160,
    )  # fmt: skip
    subject = Subject(kind=SubjectKind.JOB, account="main", job_id=job_id)
    whole = text.replace("\ud800", "")  # half a character is kept in a snapshot, and refused by the store elsewhere
    alert = an_alert(id=ALERT, subject=subject, kind=whole, reason=whole, evidence=((text, text),))
    await site.save(a_training_job(key, snapshot=snapshot, health=whole, selection=whole))
    await site.alert(alert)
    silence = Silence(
        id="s1", matchers=(Matcher("job", (whole,)),), author=whole, comment=whole, starts_at=at(-1), ends_at=at(9)
    )

    def told(tx: Writes) -> None:
        tx.add_proposal(a_proposal(key=key, reason=whole, detail=whole))
        tx.save_silence(silence)
        tx.save_ack(Ack(alert.id, whole, whole, NOW))
        tx.add_audit(Audit(at=NOW, who=whole, via="page", what=Act.VETO, key=key, outcome=whole, why=whole))
        tx.add_transition(a_transition(alert, note=whole))
        tx.add_decisions([(Decision(alert_id=alert.id, receiver="team", at=NOW, what="told", why=whole), "k")])
        tx.enqueue([an_effect("k", payload={"title": whole, "subject": whole})], NOW)
        tx.park(tx.claim(NOW)[0].id, NOW, whole)
        tx.append(key, 1, [Event(type=whole, at=NOW, message=whole, level=whole)])

    await site.store.write(told)
    site.receivers.all = [FakeTarget("lane", "team", site.clock)]
    site.health.pulses = {"main": Pulse(interval=timedelta(seconds=30), swept_at=NOW, useful_at=NOW, reason=whole)}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HOSTILE_TEXT, id="everything at once"),
        pytest.param("\"' onmouseover=alert(1) style='x' <!-- --> ]]> {{ 7*7 }} {% raw %}", id="attributes, templates"),
        pytest.param("</title></style></textarea></script><script src=//evil.example></script>", id="closing tags"),
    ],
)
async def test_hostile_text_changes_no_tag_and_no_attribute(tmp_path: Path, text: str) -> None:
    shapes = []
    for name, words, job_id in (("plain", "x", "ft-1"), ("hostile", text, "ft-<b>/'\"&?#%00")):
        async with open_site(_made(tmp_path / name)) as site:
            await fill(site, words, job_id)
            overview = await page_of(site)
            (link,) = {link for link in overview.links if link.startswith("/jobs/")}
            pages = [overview, *[await page_of(site, path) for path in (link, *OTHERS)]]
            shapes.append([page.shape for page in pages])

    assert shapes[0] == shapes[1]


async def test_no_character_hides_reorders_or_breaks_the_page(site: Site) -> None:
    await fill(site, HOSTILE_TEXT, "ft-1")

    for path in ("/", "/jobs/ft-1", *OTHERS):
        html = (await site.get(path)).text
        assert not re.search(
            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]", html
        )
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


async def test_a_text_of_any_length_is_cut(site: Site) -> None:
    await fill(site, "x" * 1_000_000, "ft-1")

    assert len((await site.get("/")).text) < 50_000


# --- what a browser does with it ---


@pytest.mark.parametrize("path", ["/", "/jobs/ft-1", "/jobs/ft-9"])
async def test_the_page_asks_nothing_of_anybody_else_and_runs_nothing_inline(site: Site, path: str) -> None:
    await fill(site, "x", "ft-1")

    answer = await site.get(path)
    page = Page(answer.text)

    assert {link for link in page.links if not re.match(r"/(?!/)", link)} == set()
    assert not {"style", "iframe", "object", "embed", "base"} & {tag for tag, _ in page.shape}
    assert not [name for _, names in page.shape for name in names if name == "style" or name.startswith("on")]
    assert re.findall(r"<script(?! src=)|<script[^>]*>[^<]", answer.text) == []
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize(("path", "kind"), [("watcher.css", "text/css; charset=utf-8"), ("icon.svg", "image/svg+xml")])
async def test_the_style_and_the_icon_are_served_and_load_nothing(site: Site, path: str, kind: str) -> None:
    answer = await site.get(f"/static/{path}")

    assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
    assert not re.search(r"url\(|@import|href|<script", answer.text)


async def test_the_page_fits_a_phone_and_comes_in_dark_and_light(site: Site) -> None:
    html, css = (await site.get("/")).text, (await site.get("/static/watcher.css")).text

    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in html
    assert "color-scheme: light dark" in css
    assert "light-dark(" in css
    assert "@media (max-width:" in css


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
