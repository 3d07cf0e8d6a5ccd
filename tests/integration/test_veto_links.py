"""Links by which a proposed cancel can be vetoed: looking does nothing, a POST vetoes, and no token fits another."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes import FakeClock, FakeReceivers
from tests.samples import DIVERGENCE
from tests.stored import JOB, NOW, OTHER_JOB, a_job, a_proposal, a_snapshot, an_alert
from tests.website import FakeHealth
from watcher.domain.vetolinks import VetoLinks
from watcher.service.consent import Consent
from watcher.service.records import ProposalState
from watcher.store.sqlite import SqliteStore, open_store
from watcher.web.app import build_app
from watcher.web.telemetry import PrometheusTelemetry
from watcher.web.veto import VetoPages

LINKS = VetoLinks(b"k" * 32, "https://watcher.example.com")
HOSTILE = "<script>alert(1)</script>\"'&"


@dataclass
class Door:
    """The page behind the links, over a store with one proposal on each of two jobs."""

    store: SqliteStore
    client: httpx.AsyncClient

    def path(self, proposal: str = "p1", token: str | None = None) -> str:
        return f"/veto/{proposal}?t={LINKS.token(proposal) if token is None else token}"

    def state(self, proposal: str = "p1") -> ProposalState:
        found = self.store.read_now(lambda reads: reads.proposal(proposal))
        assert found is not None
        return found.state

    def audit(self) -> list[tuple[str, str, str, str]]:
        entries = self.store.read_now(lambda reads: reads.audits(job_id=JOB.job_id)[::-1])
        return [(entry.who, entry.via, entry.why, entry.outcome) for entry in entries]

    def move(self, state: ProposalState) -> None:
        ended = None if state.open else NOW
        new = a_proposal(state=state, alert_id=an_alert().id, ended_at=ended)
        assert self.store.write_now(lambda tx: tx.move_proposal("p1", ProposalState.PROPOSED, new))


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    clock = FakeClock(NOW)
    with open_store(tmp_path / "watcher.db") as store:
        for key, name in ((JOB, "p1"), (OTHER_JOB, "p2")):
            job = a_job(key, snapshot=a_snapshot(key.job_id, suffix=HOSTILE))
            proposal = a_proposal(
                name, key, reason=HOSTILE, alert_id=an_alert().id, deadline_at=NOW + timedelta(hours=1)
            )
            store.write_now(lambda tx, job=job: tx.save_job(job))  # type: ignore[misc]
            store.write_now(lambda tx, proposal=proposal: tx.add_proposal(proposal))  # type: ignore[misc]
        store.write_now(lambda tx: tx.save_alert(an_alert()))
        pages = VetoPages(store, Consent(store=store, clock=clock), LINKS)
        telemetry = PrometheusTelemetry()
        app = build_app(
            store=store,
            clock=clock,
            telemetry=telemetry,
            health=FakeHealth(),
            receivers=FakeReceivers,
            more=pages.routes(),
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield Door(store, client)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_who_only_looks_changes_nothing(door: Door, method: str) -> None:
    """Mail scanners and chats fetch every link."""
    answer = await door.client.request(method, door.path())

    assert answer.status_code == 200
    assert (door.state(), door.audit()) == (ProposalState.PROPOSED, [])


async def test_the_page_says_what_would_be_vetoed_and_has_one_form(door: Door) -> None:
    answer = await door.client.get(door.path())

    assert "2026-11-23 11:00:00 UTC" in answer.text
    assert "&lt;script&gt;" in answer.text
    assert "<script" not in answer.text
    assert answer.text.count("<form") == 1
    assert "form-action 'self'" in answer.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_a_post_vetoes_this_proposal_and_says_who_and_why(door: Door) -> None:
    answer = await door.client.post(door.path(), data={"who": " Ada ", "why": "it warms up"})

    assert (answer.status_code, "Vetoed" in answer.text) == (200, True)
    assert (door.state(), door.state("p2")) == (ProposalState.VETOED, ProposalState.PROPOSED)
    assert door.audit() == [("Ada", "link", "it warms up", "vetoed")]


async def test_a_button_that_sends_no_form_is_enough(door: Door) -> None:
    answer = await door.client.post(door.path())

    assert answer.status_code == 200
    assert door.audit() == [("somebody", "link", "", "vetoed")]


@pytest.mark.parametrize(
    ("state", "status", "words"),
    [
        pytest.param(ProposalState.REQUESTED, 409, "Too late", id="the cancel was requested"),
        pytest.param(ProposalState.WITHDRAWN, 410, "Over", id="the cancel was withdrawn"),
        pytest.param(ProposalState.VETOED, 410, "vetoed", id="somebody was first"),
        pytest.param(ProposalState.CONFIRMED, 410, "confirmed", id="the job was cancelled"),
    ],
)
async def test_a_link_that_comes_too_late_is_answered_truly(
    door: Door, state: ProposalState, status: int, words: str
) -> None:
    door.move(state)
    answer = await door.client.post(door.path())

    assert (answer.status_code, words in answer.text) == (status, True)
    assert door.state() is state


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"/veto/p1?t={LINKS.token('p2')}", id="the token of another proposal"),
        pytest.param(f"/veto/p1?t={VetoLinks(b'other').token('p1')}", id="a token by another key"),
        pytest.param("/veto/p1?t=", id="an empty token"),
        pytest.param("/veto/p1", id="no token"),
        pytest.param(f"/veto/p1?t={LINKS.token('p1')[:-1]}", id="a token cut short"),
        pytest.param("/veto/p1?t=%ff%00é", id="no text at all"),
        pytest.param(f"/veto/p9?t={LINKS.token('p9')}", id="a proposal that is not there"),
        pytest.param("/veto/p9?t=x", id="neither is right"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_whatever_is_wrong_the_answer_is_the_same(door: Door, method: str, path: str) -> None:
    answer = await door.client.request(method, path)
    missing = await door.client.get("/veto/p9?t=x")

    assert (answer.status_code, answer.text) == (404, missing.text)
    assert (door.state(), door.audit()) == (ProposalState.PROPOSED, [])


async def test_a_long_body_is_refused_and_vetoes_nothing(door: Door) -> None:
    answer = await door.client.post(door.path(), data={"why": "x" * 10_000})

    assert answer.status_code == 413
    assert door.state() is ProposalState.PROPOSED


@given(st.text(max_size=20), st.text(max_size=20), st.binary(min_size=1, max_size=8), st.binary(min_size=1, max_size=8))
def test_a_token_opens_its_own_proposal_under_its_own_key_and_nothing_else(
    one: str, other: str, key: bytes, another: bytes
) -> None:
    one, other = (text.encode("utf-8", "replace").decode() for text in (one, other))
    links = VetoLinks(key)

    assert links.fits(one, links.token(one))
    assert links.fits(other, links.token(one)) is (one == other)
    assert VetoLinks(another).fits(one, links.token(one)) is (key.ljust(64, b"\0") == another.ljust(64, b"\0"))


def test_only_an_announcement_gets_a_link_and_only_where_people_can_follow_it() -> None:
    announced = replace(DIVERGENCE, proposal_id="p-1", proposal_round=1)

    assert LINKS.of(announced) == f"https://watcher.example.com/veto/p-1?t={LINKS.token('p-1')}"
    assert LINKS.of(DIVERGENCE) == ""
    assert VetoLinks(b"k").of(announced) == ""
    assert re.fullmatch("[0-9a-f]{64}", LINKS.token("p-1"))
