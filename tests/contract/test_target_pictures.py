"""Pictures against real servers on loopback: how each service gets the file, and what happens to one it refuses."""

import base64
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest

from tests.contract.test_targets import DISCORD, LAST_LINE, SLACK, target_for
from tests.receivers import HttpReceiver, MailReceiver, Reply, http_receiver, mail_receiver
from tests.samples import DIVERGENCE
from watcher.notify.picture import PNG
from watcher.notify.plugins import PICTURE, load
from watcher.service.errors import DeliveryError, FailureReason

HOOK = "https://hooks.slack.com/services/T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ"
DRAWN = PNG + b"\x00 the rest of a picture \xff"


@pytest.fixture
def http() -> Iterator[HttpReceiver]:
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def mail() -> Iterator[MailReceiver]:
    with mail_receiver() as receiver:
        yield receiver


@pytest.fixture
def discord(http: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> HttpReceiver:
    load()
    from apprise.plugins.discord import NotifyDiscord  # noqa: PLC0415 - slow to import

    monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://{http.place}/webhooks")
    return http


def parts_of(mail: EmailMessage, kind: str) -> list[EmailMessage]:
    return [part for part in mail.walk() if part.get_content_type() == kind and isinstance(part, EmailMessage)]


@pytest.mark.parametrize("inline", ["", "&inline=no"])
async def test_mail_shows_the_picture_in_its_place(mail: MailReceiver, inline: str) -> None:
    target = target_for(f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org{inline}")
    await target.deliver(DIVERGENCE, DRAWN)

    (received,) = mail.mails
    (png,) = parts_of(received, "image/png")
    (rich,) = parts_of(received, "text/html")
    (plain,) = parts_of(received, "text/plain")
    assert received.get_content_type() == "multipart/related"
    assert png["Content-ID"] == f"<{PICTURE}>"
    assert png.get_content_disposition() == "inline"
    assert png.get_content() == DRAWN
    assert rich.get_content().count(f'src="cid:{PICTURE}"') == 1
    assert plain.get_content().strip().splitlines()[-1].strip() == LAST_LINE


async def test_mail_without_a_picture_shows_none(mail: MailReceiver) -> None:
    await target_for(f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org").deliver(DIVERGENCE)

    (received,) = mail.mails
    (rich,) = parts_of(received, "text/html")
    assert received.get_content_type() == "multipart/alternative"
    assert "cid:" not in rich.get_content()
    assert DIVERGENCE.sparkline in rich.get_content()


async def test_mail_as_text_has_it_as_a_file_and_still_ends_with_the_key(mail: MailReceiver) -> None:
    target = target_for(f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org&format=text")
    await target.deliver(DIVERGENCE, DRAWN)

    (received,) = mail.mails
    (plain,) = parts_of(received, "text/plain")
    (png,) = parts_of(received, "image/png")
    assert png.get_content_disposition() == "attachment"
    assert plain.get_content().strip().splitlines()[-1].strip() == LAST_LINE


async def test_json_has_it_in_base64(http: HttpReceiver) -> None:
    await target_for(f"json://{http.place}/").deliver(DIVERGENCE, DRAWN)

    (file,) = http.requests[0].json["attachments"]
    assert (file["filename"], file["mimetype"]) == (PICTURE, "image/png")
    assert base64.b64decode(file["base64"]) == DRAWN
    assert http.requests[0].json["message"].splitlines()[-1] == LAST_LINE


async def test_ntfy_gets_it_as_the_body_and_the_words_beside_it(http: HttpReceiver) -> None:
    await target_for(f"ntfy://{http.place}/topic").deliver(DIVERGENCE, DRAWN)

    (request,) = http.requests
    assert request.body == DRAWN
    assert f"filename={PICTURE}" in request.path
    assert DIVERGENCE.key in request.path


async def test_discord_gets_the_words_and_then_the_file(discord: HttpReceiver) -> None:
    await target_for(DISCORD).deliver(DIVERGENCE, DRAWN)

    words, file = discord.requests
    assert words.json["content"].splitlines()[-1] == LAST_LINE
    assert DRAWN in file.body


@pytest.mark.parametrize(
    ("url", "takes"),
    [
        pytest.param(SLACK, False, id="slack's webhook drops files and says nothing"),
        pytest.param(HOOK, False, id="the same, by the address that Slack gives"),
        pytest.param("slack://xoxb-1234567890-1234567890-abcdefghijklmnop/%23ops", True, id="slack's bot"),
        pytest.param(DISCORD, True, id="discord"),
        pytest.param("json://127.0.0.1/", True, id="json"),
        pytest.param("ntfy://127.0.0.1/topic", True, id="ntfy"),
        pytest.param("mailto://127.0.0.1?from=a@example.org&to=b@example.org", True, id="mail"),
        pytest.param("workflows://127.0.0.1/workflow/signature", False, id="teams"),
        pytest.param("mmost://127.0.0.1/abcdefgh1234", False, id="mattermost"),
        pytest.param("console://", False, id="the console"),
    ],
)
def test_who_takes_pictures(url: str, *, takes: bool) -> None:
    assert target_for(url).takes_pictures == takes


def test_an_address_of_the_service_itself_is_named_by_the_service() -> None:
    assert target_for(HOOK).scheme == "slack"


@pytest.mark.parametrize(
    ("status", "tries"),
    [
        pytest.param(413, 2, id="too large: the words are tried alone"),
        pytest.param(403, 2, id="files may not be sent: the same"),
        pytest.param(401, 1, id="a wrong token: no use"),
        pytest.param(503, 1, id="a server that is down: it comes later, with its picture"),
    ],
)
async def test_a_picture_that_is_refused_does_not_cost_the_message(http: HttpReceiver, status: int, tries: int) -> None:
    http.replies.append(Reply(status=status))
    target = target_for(f"json://{http.place}/")
    if tries == 1:
        with pytest.raises(DeliveryError):
            await target.deliver(DIVERGENCE, DRAWN)
    else:
        await target.deliver(DIVERGENCE, DRAWN)

    assert len(http.requests) == tries
    assert [bool(request.json["attachments"]) for request in http.requests] == [True, False][:tries]


async def test_without_a_picture_a_refusal_is_final_at_once(http: HttpReceiver) -> None:
    http.otherwise = Reply(status=413)
    with pytest.raises(DeliveryError) as caught:
        await target_for(f"json://{http.place}/").deliver(DIVERGENCE)

    error: Any = caught.value
    assert (error.reason, len(http.requests)) == (FailureReason.CLIENT, 1)
