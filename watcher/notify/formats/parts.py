"""What all formats share: cleaning hostile text, the words for a reason, and fitting a message into a limit."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, urlsplit

from watcher.domain.alerts import TransitionReason
from watcher.domain.messages import Item, Message
from watcher.domain.verdicts import Severity

TITLE_LIMIT = 72
"""What a lock screen shows."""
GO_ON = "To go on from the best saved checkpoint"
"""What stands before the command."""
BODY_LIMIT = 3500
ELLIPSIS = "…"

_WHAT_LIMIT = 1000
_ACTION_LIMIT = 600
_LABEL_LIMIT = 60
_VALUE_LIMIT = 300
_SPARKLINE_LIMIT = 80
_FACTS_LIMIT = 24
_LINK_LIMIT = 500
_COMMAND_LIMIT = 800
_COMMAND = re.compile(r"[\w '\".:/=+,-]+", re.ASCII)
"""What no service takes for markup where it stands as code."""
_ITEMS_LIMIT = 100
_ITEM_LIMIT, _SHORT_ITEM = 400, 160
"""Length of the sentence of one alert among several, and what it is cut to before any is left out."""
_EXPLAINED, _LEAST_EXPLAINED = 10, 3
"""So many alerts keep their sentence at most, and where there is little room: of the others the titles say enough."""
_SAME = "The same."
_SHORTEST = 40
_MARKS = " .-!?x"

PHRASES = {
    TransitionReason.FIRST: "",
    TransitionReason.RESOLVED: "Resolved",
    TransitionReason.AGAIN: "Again",
    TransitionReason.PENDING: "Pending",
    TransitionReason.ENDED: "Ended",
    TransitionReason.ALL_CLEAR: "All clear",
    TransitionReason.REMINDER: "Still",
    TransitionReason.ESCALATED: "Nobody answered",
    TransitionReason.WOULD_CANCEL: "Would cancel",
    TransitionReason.CANCEL_PROPOSED: "Will be cancelled",
    TransitionReason.CANCEL_APPROVED: "Cancel approved",
    TransitionReason.CANCEL_FROZEN: "Cancel waits",
    TransitionReason.CANCEL_REFUSED: "Not cancelled",
    TransitionReason.CANCEL_REQUESTED: "Cancelling",
    TransitionReason.CANCELLED: "Cancelled",
    TransitionReason.CANCEL_OVERTAKEN: "Ended before the cancel",
    TransitionReason.CANCEL_FAILED: "Cancel failed",
    TransitionReason.CANCEL_VETOED: "Cancel vetoed",
    TransitionReason.CANCEL_WITHDRAWN: "Cancel withdrawn",
    TransitionReason.DIGEST: "Digest",
}
"""What a title starts with, so that a lock screen tells the news first."""
GOOD_NEWS = frozenset({TransitionReason.RESOLVED, TransitionReason.ENDED, TransitionReason.ALL_CLEAR})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One alert of several, cleaned as all else."""

    severity: Severity
    title: str
    what: str
    action: str
    alert: str

    def bare(self) -> "Entry":
        """Its title alone."""
        return replace(self, what="", action="", alert="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A message cleaned for display: no control characters and no line breaks inside a part, but not yet escaped."""

    title: str
    what: str
    facts: tuple[tuple[str, str], ...]
    items: tuple[Entry, ...]
    left_out: int
    sparkline: str
    action: str
    command: str
    veto: str
    link: str
    key: str

    def shorter(self) -> "Parts | None":
        """The same with a little less in it: facts go first, from the end; None when nothing is left to drop."""
        if self.items:
            return replace(self, facts=self.facts[:-1]) if self.facts else self._fewer_items()
        if self.facts:
            return replace(self, facts=self.facts[:-1], left_out=self.left_out + 1)
        if self.left_out or self.command:
            return replace(self, left_out=0, command="")
        if len(self.what) > _SHORTEST:
            return replace(self, what=cut(self.what, len(self.what) * 3 // 4))
        if len(self.action) > _SHORTEST:
            return replace(self, action=cut(self.action, len(self.action) * 3 // 4))
        if self.sparkline or self.link:
            return replace(self, sparkline="", link="")
        return None

    def _fewer_items(self) -> "Parts":
        if any(len(item.what) > _SHORT_ITEM for item in self.items):
            return replace(self, items=tuple(replace(item, what=cut(item.what, _SHORT_ITEM)) for item in self.items))
        last = max((i for i, item in enumerate(self.items) if item.what or item.action), default=0)
        if last < _LEAST_EXPLAINED:
            return replace(self, items=self.items[:-1], left_out=self.left_out + 1)
        return replace(self, items=(*self.items[:last], self.items[last].bare(), *self.items[last + 1 :]))


def clean(text: str, limit: int) -> str:
    """One line that can't move the cursor, reorder its neighbours, hide characters or fail to encode."""
    shown = "".join(_shown(char) for char in text[: limit * 4])
    return cut(" ".join(shown.split()), limit)


def _shown(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\n\r\v\f" or category in {"Zl", "Zp"}:
        return " "
    # Controls, invisible formatting (bidi overrides, zero-width characters, tags) and lone surrogates.
    return "" if category in {"Cc", "Cf", "Cs"} else char


def cut(text: str, limit: int) -> str:
    """At most `limit` characters; what was cut shows as an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + ELLIPSIS


def title(message: Message) -> str:
    """One line for a lock screen. It starts with how bad it is, and anything but a first telling with what happened."""
    text = clean(message.title, TITLE_LIMIT)
    phrase = PHRASES[message.reason]
    if phrase:
        return cut(f"{phrase}: {text}", TITLE_LIMIT)
    return cut(f"{_bracket(message.severity)}{text}", TITLE_LIMIT)


def _bracket(severity: Severity) -> str:
    """Good news and mere notes need no mark."""
    return "" if severity is Severity.INFO else f"[{severity}] "


def parts(message: Message) -> Parts:
    """All that is shown, cleaned and within its own limits."""
    facts = tuple((clean(label, _LABEL_LIMIT), clean(value, _VALUE_LIMIT)) for label, value in message.facts)
    facts = tuple((label or "fact", value) for label, value in facts if value)
    return Parts(
        title=title(message),
        what=clean(message.what, _WHAT_LIMIT),
        facts=facts[:_FACTS_LIMIT],
        items=_entries(message.items[:_ITEMS_LIMIT]),
        left_out=len(facts[_FACTS_LIMIT:]) + len(message.items[_ITEMS_LIMIT:]),
        sparkline=_drawing(message.sparkline),
        action=clean(message.action, _ACTION_LIMIT),
        command=_whole_command(message.command),
        veto=safe_link(message.veto),
        link=safe_link(message.link),
        key=clean(message.key, BODY_LIMIT),
    )


def _entries(items: Sequence[Item]) -> tuple[Entry, ...]:
    mixed = len({item.severity for item in items}) > 1
    entries = [_entry(item, _bracket(item.severity) if mixed else "") for item in items]
    shown = [
        replace(entry, what=_SAME) if before and entry.what == before.what else entry
        for before, entry in zip([None, *entries], entries, strict=False)
    ]
    return (*shown[:_EXPLAINED], *(entry.bare() for entry in entries[_EXPLAINED:]))


def _entry(item: Item, mark: str) -> Entry:
    return Entry(
        severity=item.severity,
        title=f"{mark}{clean(item.title, TITLE_LIMIT)}",
        what=clean(item.what, _ITEM_LIMIT),
        action=clean(item.action, _VALUE_LIMIT),
        alert=clean(f"alert: {item.alert_id}", _VALUE_LIMIT) if item.alert_id else "",
    )


def _whole_command(command: str) -> str:
    """The command as it is, or nothing: half of one, or one with a character replaced, would do something else."""
    return command if len(command) <= _COMMAND_LIMIT and _COMMAND.fullmatch(command) else ""


def _drawing(sparkline: str) -> str:
    """Block characters and the few marks between them, so that no format has to escape a picture."""
    return "".join(char for char in clean(sparkline, _SPARKLINE_LIMIT) if char in _MARKS or not char.isascii())


def safe_link(link: str) -> str:
    """A web address with nothing in it that any markup could read, or nothing."""
    if len(link) > _LINK_LIMIT or _scheme(link) not in {"http", "https"}:
        return ""
    return quote(link, safe=":/?#@!$&+,;=%~")


def _scheme(link: str) -> str:
    """The scheme of an address, or nothing when it is none."""
    try:
        return urlsplit(link).scheme
    except ValueError:
        return ""


def fit(message: Message, render: Callable[[Parts], str], limit: int) -> str:
    """The longest rendering within `limit`. The line with the key is never dropped, even when it alone is too long."""
    shown = parts(message)
    text = render(shown)
    while len(text) > limit and (less := shown.shorter()) is not None:
        shown, text = less, render(less)
    return text


def left_out_note(shown: Parts) -> str:
    """A sentence on facts that had no room, or nothing."""
    return f"{ELLIPSIS} and {shown.left_out} more" if shown.left_out else ""
