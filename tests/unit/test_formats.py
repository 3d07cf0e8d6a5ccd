"""Messages as people read them; the snapshots beside this file are meant to be read."""

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode

from tests.samples import ALL, DIVERGENCE, HOSTILE
from watcher.domain.alerts import TransitionReason
from watcher.domain.messages import Item, Message
from watcher.domain.verdicts import Severity
from watcher.notify.formats import html, markdown, text
from watcher.notify.formats.parts import BODY_LIMIT, PHRASES, TITLE_LIMIT, title

RENDERERS = {"txt": text.render, "md": markdown.render, "html": html.render}


def snapshots_as(extension: str) -> type[SingleFileSnapshotExtension]:
    class Extension(SingleFileSnapshotExtension):
        file_extension = extension
        _write_mode = WriteMode.TEXT

    return Extension


@pytest.mark.parametrize("form", RENDERERS)
@pytest.mark.parametrize("name", ALL)
def test_reads(name: str, form: str, snapshot: SnapshotAssertion) -> None:
    rendered = RENDERERS[form](ALL[name], heading=True) + "\n"

    assert rendered == snapshot(extension_class=snapshots_as(form))


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        pytest.param(TransitionReason.FIRST, "[critical] support_bot_v3: loss diverged", id="a firing"),
        pytest.param(TransitionReason.RESOLVED, "Resolved: support_bot_v3: loss diverged", id="an end"),
        pytest.param(
            TransitionReason.CANCELLED, "Cancelled: support_bot_v3: loss diverged", id="a cancel that was done"
        ),
        pytest.param(TransitionReason.CANCEL_REFUSED, "Not cancelled: support_bot_v3: loss diverged", id="a refusal"),
    ],
)
def test_a_title_tells_the_news_first(reason: TransitionReason, expected: str) -> None:
    assert expected == title(replace(DIVERGENCE, reason=reason))


def test_every_reason_has_its_words() -> None:
    assert set(PHRASES) == set(TransitionReason)


@pytest.mark.parametrize("render", RENDERERS.values(), ids=RENDERERS)
def test_the_key_survives_any_limit(render: Any) -> None:
    long = replace(DIVERGENCE, what="x & <y> * " * 500, facts=(("a" * 99, "<&*" * 500),) * 99, action="&" * 5000)
    for limit in (0, 80, 400, 1000, BODY_LIMIT, 3 * BODY_LIMIT):
        body = render(long, limit=limit)

        assert f"id: {DIVERGENCE.key}" in body.splitlines()[-2 if render is html.render else -1]
        assert len(body) <= max(limit, 700)


def test_facts_without_room_are_counted() -> None:
    body = text.render(replace(DIVERGENCE, facts=tuple((f"fact {n}", "1") for n in range(30))))

    assert body.splitlines()[-4] == "… and 6 more"


def test_a_forged_key_line_in_foreign_text_is_no_line() -> None:
    lines = text.render(HOSTILE, heading=True).splitlines()

    assert [line for line in lines if line.startswith("id: ")] == [f"id: {HOSTILE.key}"]
    assert lines[-1] == f"id: {HOSTILE.key}"


@pytest.mark.parametrize(
    ("link", "kept"),
    [
        pytest.param("javascript:alert(1)", False, id="a script"),
        pytest.param("https://[bad", False, id="no address"),
        pytest.param("https://x.example/" + "a" * 600, False, id="longer than sensible"),
        pytest.param("https://x.example/a?b=c&d=e", True, id="a web page"),
    ],
)
def test_only_web_pages_are_linked(link: str, *, kept: bool) -> None:
    body = text.render(replace(DIVERGENCE, link=link))

    assert kept == (f"link: {link}" in body)


def test_a_link_cannot_leave_its_markup() -> None:
    message = replace(DIVERGENCE, link='https://x.example/a>)"<b> @\n')

    assert "(<https://x.example/a%3E%29%22%3Cb%3E%20@%0A>)" in markdown.render(message)
    assert 'href="https://x.example/a%3E%29%22%3Cb%3E%20@%0A"' in html.render(message)


class Tags(HTMLParser):
    """Collects the tags and the text that a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.seen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ("a", "img") or {name for name, _ in attrs} <= {"style"}
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.seen += data


foreign = st.text(st.characters(), max_size=80) | st.sampled_from(["<b>", "@here", "](x)", "\u202e", "`", "\x1b[2J"])


def message_of(text_: str) -> Message:
    return replace(
        DIVERGENCE, title=text_, what=text_, facts=((text_, text_),), action=text_, command=text_, sparkline=text_
    )


def item_of(text_: str) -> Item:
    return Item(reason=TransitionReason.FIRST, severity=Severity.WARNING, title=text_, what=text_, action=text_)


@given(foreign)
def test_foreign_text_adds_no_tag_and_no_control_character(hostile: str) -> None:
    parser = Tags()
    message = replace(message_of(hostile), items=(item_of(hostile), replace(item_of("x"), severity=Severity.CRITICAL)))
    parser.feed(html.render(message, picture="curve.png"))

    assert parser.tags <= {"div", "p", "b", "table", "tr", "td", "span", "a", "br", "img", "code"}
    assert parser.seen.rstrip().endswith(f"id: {DIVERGENCE.key}")


@given(foreign)
def test_foreign_text_of_one_alert_forges_no_line_of_another(hostile: str) -> None:
    message = replace(message_of("x"), facts=(), items=(item_of(hostile), item_of(hostile)))
    lines = text.render(message).splitlines()

    assert [line for line in lines if line.startswith("id: ")] == [f"id: {DIVERGENCE.key}"] == lines[-1:]
    assert len([line for line in lines if line.startswith("-")]) == 2
    for body in (text.render(message), markdown.render(message), html.render(message)):
        body.encode()
        assert not {"\x1b", "\x07", "\r", "\u202e", "\u2028"} & set(body)


@given(foreign)
def test_foreign_text_keeps_one_line_each_and_encodes(hostile: str) -> None:
    message = message_of(hostile)
    for body in (text.render(message), markdown.render(message), html.render(message)):
        body.encode()
        assert not {"\x1b", "\x07", "\r", "\u202e", "\u2028"} & set(body)
    assert len(text.render(message).splitlines()) <= 8
    assert len(title(message)) <= TITLE_LIMIT
    assert "\n" not in title(message)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param("support_bot_v3 ft-1a:380", "support_bot_v3 ft-1a:380", id="names stay clean"),
        pytest.param("_a_ a__b", r"\_a\_ a\_\_b", id="underscores that would be markup"),
        pytest.param("*a* `b` ~c~ |d|", r"\*a\* \`b\` \~c\~ \|d\|", id="emphasis and code"),
        pytest.param("[a](b) <c>", r"\[a\](b) \<c\>", id="links and tags"),
        pytest.param("- a", r"\- a", id="a list"),
        pytest.param("-0.5 is a number", "-0.5 is a number", id="a negative number"),
        pytest.param("12. a", r"12\. a", id="a numbered list"),
        pytest.param("9.8 is a number", "9.8 is a number", id="a decimal"),
        pytest.param("# a", r"\# a", id="a heading"),
        pytest.param("@everyone", "@\u200beveryone", id="a mention"),
        pytest.param("https://a.example", "https:\u200b//a.example", id="an address"),
    ],
)
def test_markdown_shows_foreign_text_as_it_is(raw: str, expected: str) -> None:
    assert markdown.escape(raw) == expected
