"""The picture of a job's curve, from what the store has to what a message carries."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.leaks import CANARY, Heard
from tests.receivers import HttpReceiver, MailReceiver, http_receiver, mail_receiver
from tests.stored import JOB, NOW, OTHER_JOB, a_job, a_proposal, a_snapshot, an_alert, at
from tests.timeline import Scene, scene
from watcher.bootstrap import pictures_of
from watcher.domain.observations import EvalRow, Event, Observation, TrainRow
from watcher.notify.picture import PNG, PictureError
from watcher.notify.picture import Renderer as RealRenderer
from watcher.notify.receivers import build_receivers
from watcher.service.pictures import AT_ONCE, JobPictures
from watcher.service.ports import Writes
from watcher.service.records import JobRecord, Proposal, ProposalState
from watcher.settings import load_settings
from watcher.store.sqlite import SqliteStore, open_store

ALERT = an_alert(step=42, onset=30)


@dataclass
class Renderer:
    """Keeps what it is given. `held` is waited for; `failing` is raised."""

    svgs: list[str] = field(default_factory=list)
    held: asyncio.Event | None = None
    failing: Exception | None = None
    full: asyncio.Event = field(default_factory=asyncio.Event)
    running: int = 0
    most: int = 0

    async def __call__(self, svg: str) -> bytes:
        self.svgs.append(svg)
        self.running += 1
        self.most = max(self.most, self.running)
        if self.running == AT_ONCE:
            self.full.set()
        try:
            if self.held is not None:
                await self.held.wait()
        finally:
            self.running -= 1
        if self.failing is not None:
            raise self.failing
        return PNG


def _fill(tx: Writes, job: JobRecord, seen: list[Observation]) -> None:
    tx.save_job(job)
    tx.append(JOB, 1, seen)
    tx.save_alert(ALERT)
    tx.save_alert(an_alert("stall", "training", step=49))
    tx.save_job(a_job(OTHER_JOB))


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = open_store(tmp_path / "watcher.db")
    rows: list[Observation] = [TrainRow(i, i, 2.0 if i < 30 else 9.0, 1.0, 1e-4) for i in range(1, 50)]
    saved = Event(type="checkpoint_save", at=NOW, step=20)
    job = a_job(snapshot=a_snapshot(suffix="support_bot_v3", model="org/Base-8B", total_steps=100))
    await store.write(lambda tx: _fill(tx, job, [*rows, EvalRow(20, 1, 1.9), saved]))
    yield store
    await store.aclose()


async def drawn(store: SqliteStore, alert_id: str = ALERT.id) -> str:
    renderer = Renderer()

    assert await JobPictures(store, renderer).picture("main", "ft-1", alert_id) == PNG
    return renderer.svgs[0]


async def test_it_shows_the_job_with_the_alert_of_the_message(store: SqliteStore) -> None:
    svg = await drawn(store)

    for words in ("support_bot_v3", "org/Base-8B · running", "divergence (diverged)", "checkpoint", "eval"):
        assert words in svg
    assert "stall" not in svg


async def test_without_an_alert_it_shows_all_that_fire(store: SqliteStore) -> None:
    svg = await drawn(store, "")

    assert "divergence (diverged)" in svg
    assert "stall" in svg


@pytest.mark.parametrize(
    ("proposal", "label"),
    [
        pytest.param(
            a_proposal(step=45, state=ProposalState.CONFIRMED, requested_at=at(1)), "cancelled", id="it was done"
        ),
        pytest.param(
            a_proposal(step=45, state=ProposalState.REQUESTED, requested_at=at(1)), "cancel", id="it is under way"
        ),
        pytest.param(
            a_proposal(step=45, state=ProposalState.WITHDRAWN, mode="observe"), "would cancel", id="only observed"
        ),
    ],
)
async def test_a_cancel_is_marked(store: SqliteStore, proposal: Proposal, label: str) -> None:
    await store.write(lambda tx: tx.add_proposal(proposal))

    assert f">{label}" in await drawn(store)


async def test_a_cancel_that_never_was_is_not_marked(store: SqliteStore) -> None:
    await store.write(lambda tx: tx.add_proposal(a_proposal(step=45, state=ProposalState.VETOED)))

    assert ">cancel" not in await drawn(store)


async def test_an_alert_that_is_gone_leaves_the_curve(store: SqliteStore) -> None:
    assert "divergence" not in await drawn(store, "0123456789ab")


@pytest.mark.parametrize("job", ["ft-2", "ft-unknown"], ids=["no row yet", "never seen"])
async def test_without_a_curve_there_is_no_picture_and_no_complaint(store: SqliteStore, job: str) -> None:
    renderer = Renderer()
    with capture_logs() as logged:
        assert await JobPictures(store, renderer).picture("main", job, "") is None

    assert (renderer.svgs, logged) == ([], [])


@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        pytest.param(PictureError("the font is missing"), "the font is missing", id="it can't be drawn"),
        pytest.param(ZeroDivisionError(), "ZeroDivisionError", id="it crashes"),
    ],
)
async def test_a_renderer_that_fails_is_logged_and_nothing_else(
    store: SqliteStore, failing: Exception, reason: str
) -> None:
    with capture_logs() as logged:
        assert await JobPictures(store, Renderer(failing=failing)).picture("main", "ft-1", "") is None

    assert (logged[-1]["event"], logged[-1]["reason"]) == ("picture.left_out", reason)


async def test_a_renderer_that_hangs_is_not_waited_for_long(store: SqliteStore) -> None:
    pictures = JobPictures(store, Renderer(held=asyncio.Event()), patience=0.01)
    with capture_logs() as logged:
        assert await pictures.picture("main", "ft-1", "") is None

    assert logged[-1]["reason"] == "not ready within 0.01 s"


async def test_a_store_that_cannot_be_read_costs_only_the_picture(tmp_path: Path) -> None:
    store = open_store(tmp_path / "other.db")
    await store.aclose()

    assert await JobPictures(store, Renderer()).picture("main", "ft-1", "") is None


async def test_only_two_are_drawn_at_once(store: SqliteStore) -> None:
    renderer = Renderer(held=asyncio.Event())
    pictures = JobPictures(store, renderer)
    asked = [asyncio.ensure_future(pictures.picture("main", "ft-1", "")) for _ in range(6)]
    await renderer.full.wait()
    assert renderer.held is not None
    renderer.held.set()

    assert await asyncio.gather(*asked) == [PNG] * 6
    assert renderer.most == AT_ONCE


async def test_the_real_renderer_draws_it(store: SqliteStore) -> None:
    async with aclosing(RealRenderer()) as renderer:
        png = await JobPictures(store, renderer).picture("main", "ft-1", ALERT.id)

    assert png is not None
    assert png.startswith(PNG)


# --- with the rest of the daemon ---


@pytest.mark.parametrize(
    ("takes", "failing", "carried"),
    [
        pytest.param(True, None, PNG, id="a target that takes files"),
        pytest.param(False, None, None, id="one that does not"),
        pytest.param(True, PictureError("no"), None, id="a renderer that fails"),
    ],
)
async def test_a_message_about_a_job_carries_its_curve(
    tmp_path: Path, *, takes: bool, failing: Exception | None, carried: bytes | None
) -> None:
    renderer = Renderer(failing=failing)
    async with scene(tmp_path) as play:
        play.dispatcher.pictures = JobPictures(play.store, renderer)
        play.team.takes_pictures = takes
        play.job()
        play.at("2m", loss=9.0)
        await play.run("5m")

        assert [message.job_id for message in play.messages]
        assert set(play.team.pictures) == {carried}
        assert bool(renderer.svgs) == takes


async def _told_for_real(play: Scene, *urls: str) -> None:
    """A job goes wrong, and the real receivers at these addresses are told with what the real renderer drew."""
    play.routes = False
    play.job()
    play.at("2m", loss=9.0)
    await play.run("5m")
    receivers = build_receivers({"team": urls}, key=b"key", console=Heard())
    play.router.receivers = play.dispatcher.receivers = receivers
    async with aclosing(RealRenderer()) as renderer:
        play.dispatcher.pictures = JobPictures(play.store, renderer)
        await play.router.run(hurry=True)
        await play.dispatcher.run_until_idle()


async def test_real_receivers_get_what_was_really_drawn(tmp_path: Path) -> None:
    with mail_receiver() as mail, http_receiver() as http:
        async with scene(tmp_path) as play:
            url = f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org"
            await _told_for_real(play, url, f"json://{http.place}/")

        inline, attached = _inline(mail), _attached(http)
    assert inline == attached
    assert inline.startswith(PNG)


def _inline(mail: MailReceiver) -> bytes:
    (received,) = mail.mails
    (png,) = [part for part in received.walk() if part.get_content_type() == "image/png"]
    rich = received.get_body(("html",))

    assert rich is not None
    assert f"cid:{str(png['Content-ID']).strip('<>')}" in rich.get_content()
    content = png.get_payload(decode=True)
    assert isinstance(content, bytes)
    return content


def _attached(http: HttpReceiver) -> bytes:
    (file,) = http.requests[0].json["attachments"]
    return base64.b64decode(file["base64"])


@pytest.mark.parametrize("wanted", [True, False])
async def test_pictures_can_be_turned_off(tmp_path: Path, store: SqliteStore, *, wanted: bool) -> None:
    file = tmp_path / "watcher.yaml"
    file.write_text(f"pictures: {str(wanted).lower()}")
    settings = load_settings(file, {"TOGETHER_API_KEY": CANARY})

    assert (pictures_of(settings, store, RealRenderer()) is not None) == wanted
