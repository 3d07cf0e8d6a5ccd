"""How a veto link reaches people: a button where the service has one, a link elsewhere, before the last line."""

from dataclasses import replace
from urllib.parse import quote

import pytest

from tests.leaks import Heard
from tests.receivers import http_receiver, mail_receiver
from tests.samples import DIVERGENCE
from watcher.notify.formats import html, markdown, text
from watcher.notify.receivers import build_receivers

LINK = "https://watcher.example.com/veto/p-1?t=0123abcd"
ANNOUNCED = replace(DIVERGENCE, proposal_id="p-1", proposal_round=1, veto=LINK)


async def test_ntfy_shows_a_button_that_posts_and_the_next_message_has_none() -> None:
    with http_receiver() as http:
        (target,) = build_receivers({"a": [f"ntfy://{http.place}/topic"]}, key=b"k", console=Heard()).targets("a")
        await target.deliver(ANNOUNCED)
        await target.deliver(DIVERGENCE)

    first, second = http.requests
    assert _actions(first) == f"http, Veto, {LINK}, method=POST, clear=true"
    assert _actions(second) is None


async def test_buttons_that_the_address_asks_for_stay() -> None:
    own = "view, Open, https://example.com/board"
    with http_receiver() as http:
        url = f"ntfy://{http.place}/topic?actions={quote(own, safe='')}"
        (target,) = build_receivers({"a": [url]}, key=b"k", console=Heard()).targets("a")
        await target.deliver(ANNOUNCED)
        await target.deliver(DIVERGENCE)

    assert [_actions(request) for request in http.requests] == [
        f"http, Veto, {LINK}, method=POST, clear=true; {own}",
        own,
    ]


def _actions(request: object) -> str | None:
    headers = {name.lower(): value for name, value in getattr(request, "headers").items()}  # noqa: B009
    return headers.get("x-actions")


async def test_a_receiver_without_buttons_gets_the_link_in_its_text() -> None:
    with http_receiver() as http:
        (target,) = build_receivers({"a": [f"json://{http.place}/"]}, key=b"k", console=Heard()).targets("a")
        await target.deliver(ANNOUNCED)

    lines = http.requests[0].json["message"].splitlines()
    assert f"veto: {LINK}" in lines
    assert lines[-1].startswith("id: ")


async def test_mail_has_it_in_both_its_parts() -> None:
    with mail_receiver() as mail:
        url = f"mailto://{mail.place}/?from=w@example.com&to=t@example.com"
        (target,) = build_receivers({"a": [url]}, key=b"k", console=Heard()).targets("a")
        await target.deliver(ANNOUNCED)

    plain, rich = mail.mails[0].get_body(("plain",)), mail.mails[0].get_body(("html",))
    assert plain is not None
    assert rich is not None
    assert LINK in plain.get_content()
    assert f'href="{LINK}"' in rich.get_content()


@pytest.mark.parametrize(
    ("rendered", "shown"),
    [
        (text.render(ANNOUNCED), f"veto: {LINK}"),
        (markdown.render(ANNOUNCED), f"[Veto this cancel](<{LINK}>)"),
        (html.render(ANNOUNCED), f'<a href="{LINK}"'),
    ],
    ids=["text", "markdown", "html"],
)
def test_every_format_shows_the_link(rendered: str, shown: str) -> None:
    assert shown in rendered


def test_what_is_no_web_address_is_no_link() -> None:
    assert "javascript" not in html.render(replace(ANNOUNCED, veto="javascript:alert(1)"))
