"""Plain text: one line a fact, and `id: <key>` as the last line."""

from watcher.domain.messages import Message
from watcher.notify.formats.parts import BODY_LIMIT, GO_ON, Entry, Parts, fit, left_out_note


def render(message: Message, *, limit: int = BODY_LIMIT, heading: bool = False) -> str:
    """The body of a message; `heading` puts the title on its first line, for a service without titles."""
    return fit(message, lambda shown: _render(shown, heading=heading), limit)


def _render(shown: Parts, *, heading: bool) -> str:
    lines = [
        shown.title if heading else "",
        shown.what,
        f"action: {shown.action}" if shown.action else "",
        f"veto: {shown.veto}" if shown.veto else "",
        *(line for item in shown.items for line in _item(item)),
        *(f"{label}: {value}" for label, value in shown.facts),
        left_out_note(shown),
        f"{GO_ON}:\n{shown.command}" if shown.command else "",
        f"recent loss: {shown.sparkline}" if shown.sparkline else "",
        f"link: {shown.link}" if shown.link else "",
        f"id: {shown.key}",
    ]
    return "\n".join(line for line in lines if line)


def _item(item: Entry) -> list[str]:
    """Set apart by a dash, its own words below it and indented."""
    return [f"- {item.title}", *(f"  {line}" for line in (item.what, item.action, item.alert) if line)]
