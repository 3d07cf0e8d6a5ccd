"""Messages of several alerts as services get them, on loopback servers that take the place of the real ones."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.contract.test_targets import DISCORD, SLACK, target_for
from tests.receivers import HttpReceiver, MailReceiver, http_receiver, mail_receiver
from tests.unit.test_messages import KEY, groups
from watcher.domain.messages import Message
from watcher.notify.plugins import load

LAST_LINE = f"id: {KEY}"
GROUPS = groups()


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    """A server to which the services without a host in their address were moved, and Teams' https with them."""
    load()
    import requests  # noqa: PLC0415 - slow to import
    from apprise.plugins.discord import NotifyDiscord  # noqa: PLC0415
    from apprise.plugins.slack import NotifySlack  # noqa: PLC0415

    post = requests.post
    with http_receiver() as receiver:
        monkeypatch.setattr(NotifySlack, "webhook_url", f"http://{receiver.place}/services")
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"http://{receiver.place}/webhooks")
        monkeypatch.setattr(requests, "post", _plain(post))
        yield receiver


def _plain(post: Callable[..., Any]) -> Callable[..., Any]:
    return lambda url, **how: post(url.replace("https://", "http://"), **how)


async def sent(http: HttpReceiver, url: str, message: Message) -> Any:
    await target_for(url).deliver(message)

    (request,) = http.requests
    return request.json


@pytest.mark.parametrize("name", GROUPS)
async def test_teams_gets_a_card(http: HttpReceiver, name: str) -> None:
    body = await sent(http, f"workflows://{http.place}/abcdefgh/signature", GROUPS[name])

    (card,) = body["attachments"]
    assert body["type"] == "message"
    assert card["contentType"] == "application/vnd.microsoft.card.adaptive"
    (block,) = card["content"]["body"]
    assert card["content"]["type"] == "AdaptiveCard"
    assert block["text"].startswith("**")
    assert block["text"].splitlines()[-1] == LAST_LINE
    assert len(block["text"]) <= 1000
    assert "/workflows/abcdefgh/triggers/manual/paths/invoke" in http.requests[0].path


@pytest.mark.parametrize("name", GROUPS)
async def test_slack_gets_its_markup(http: HttpReceiver, name: str) -> None:
    body = await sent(http, SLACK, GROUPS[name])

    (block,) = body["attachments"]
    assert block["text"].splitlines()[-1] == LAST_LINE
    assert block["color"] in ("#A32037", "#3AA337")


@pytest.mark.parametrize("name", GROUPS)
async def test_discord_gets_markdown_in_one_message(http: HttpReceiver, name: str) -> None:
    body = await sent(http, DISCORD, GROUPS[name])

    assert body["content"].splitlines()[-1] == LAST_LINE
    assert len(body["content"]) <= 2000


@pytest.mark.parametrize("name", GROUPS)
async def test_ntfy_gets_text(http: HttpReceiver, name: str) -> None:
    body = await sent(http, f"ntfy://{http.place}/topic", GROUPS[name])

    assert len(body["title"]) <= 72
    assert body["message"].splitlines()[-1] == LAST_LINE


@pytest.mark.parametrize("name", GROUPS)
async def test_json_gets_text(http: HttpReceiver, name: str) -> None:
    body = await sent(http, f"json://{http.place}/", GROUPS[name])

    assert body["message"].splitlines()[-1] == LAST_LINE
    assert body["type"] == ("success" if name in ("some are over", "all clear") else "failure")
    assert body["attachments"] == []


async def test_a_storm_is_one_mail_that_names_every_job() -> None:
    with mail_receiver() as mail:
        await _mailed(mail, GROUPS["a storm"])

        (received,) = mail.mails
    rich = received.get_body(("html",))
    assert rich is not None
    assert received["Subject"] == "[critical] 50 jobs: failed"
    assert all(f"support_bot_v{n}: failed" in rich.get_content() for n in range(50))


async def _mailed(mail: MailReceiver, message: Message) -> None:
    await target_for(f"mailto://{mail.place}?from=watcher@example.org&to=team@example.org").deliver(message)
