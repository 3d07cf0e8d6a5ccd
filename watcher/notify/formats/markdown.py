"""CommonMark that chat services take, with every character of foreign text shown as it is."""

import re

from watcher.domain.messages import Message
from watcher.notify.formats.parts import BODY_LIMIT, GO_ON, Entry, Parts, fit, left_out_note

_ZERO_WIDTH_SPACE = "\u200b"
_SPECIAL = re.compile(r"[\\`*\[\]<>|~#!]|(?<![^\W_])_|_(?![^\W_])")
_LINE_START = re.compile(r"^(?:[-+=](?=[-=\s]|$)|\d+(?=[.)](?:\s|$)))")
_ALIVE = re.compile(r"@|:(?=//)|\b(?:www|mailto|tel)(?=[.:])", re.IGNORECASE)


def escape(text: str) -> str:
    r"""Text of one line in which nothing is markup, a mention or a link any more.

    A backslash does not stop a service that looks for `@everyone`, `<@U123>` or an address before it reads the markup:
    a zero-width space after the sign does. Single underscores inside a word are no markup anywhere and stay clean.
    """
    text = _SPECIAL.sub(r"\\\g<0>", text)
    text = _LINE_START.sub(_escape_start, text)
    return _ALIVE.sub(lambda match: match[0] + _ZERO_WIDTH_SPACE, text)


def _escape_start(match: re.Match[str]) -> str:
    """A list item or an underline: `- x` takes a backslash before the sign, `1. x` one after the digits."""
    return f"{match[0]}\\" if match[0].isdigit() else f"\\{match[0]}"


def render(message: Message, *, limit: int = BODY_LIMIT, heading: bool = False) -> str:
    """The body of a message; `heading` puts the title in bold on its first line, for a service without titles."""
    return fit(message, lambda shown: _render(shown, heading=heading), limit)


def _render(shown: Parts, *, heading: bool) -> str:
    evidence = [
        *(f"- **{escape(label)}:** {escape(value)}" for label, value in shown.facts),
        f"- {left_out_note(shown)}" if shown.left_out else "",
        f"- **recent loss:** `{shown.sparkline}`" if shown.sparkline else "",
    ]
    paragraphs = [
        f"**{escape(shown.title)}**" if heading else "",
        escape(shown.what),
        f"**Action:** {escape(shown.action)}" if shown.action else "",
        f"[Veto this cancel](<{shown.veto}>)" if shown.veto else "",
        "\n".join(map(_item, shown.items)),
        "\n".join(line for line in evidence if line),
        f"{GO_ON}:\n```\n{shown.command}\n```" if shown.command else "",
        f"[Open the job](<{shown.link}>)" if shown.link else "",
        f"id: {escape(shown.key)}",
    ]
    return "\n\n".join(paragraph for paragraph in paragraphs if paragraph)


def _item(item: Entry) -> str:
    """One point of a list: services differ in how they show paragraphs inside one."""
    words = " ".join(escape(part) for part in (item.what, item.action, item.alert) if part)
    return f"- **{escape(item.title)}** {words}".rstrip()
