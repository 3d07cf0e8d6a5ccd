"""HTML for mail: a fragment with inline styles, since mail programs drop style sheets."""

from html import escape

from watcher.domain.messages import Message
from watcher.domain.verdicts import Severity
from watcher.notify.formats.parts import BODY_LIMIT, GO_ON, GOOD_NEWS, Entry, Parts, fit, left_out_note

HTML_LIMIT = 3 * BODY_LIMIT
"""Tags take room that no reader sees."""

_COLOURS = {Severity.INFO: "#0072b2", Severity.WARNING: "#b35c00", Severity.CRITICAL: "#b3261e"}
_RESOLVED = "#1b7f3b"
_CELL = "padding:2px 12px 2px 0;vertical-align:top"
_LABEL = "color:#555;overflow-wrap:break-word"


def render(message: Message, *, limit: int = HTML_LIMIT, heading: bool = True, picture: str = "") -> str:
    """The body of a message; `heading` puts the title at the top, `picture` is the content id of one to show."""
    colour = _RESOLVED if message.reason in GOOD_NEWS else _COLOURS[message.severity]
    return fit(message, lambda shown: _render(shown, colour, heading=heading, picture=picture), limit)


def _render(shown: Parts, colour: str, *, heading: bool, picture: str) -> str:
    blocks = [
        f'<p style="color:{colour};font-size:17px;margin:0 0 8px"><b>{escape(shown.title)}</b></p>' if heading else "",
        f"<p>{escape(shown.what)}</p>" if shown.what else "",
        f"<p><b>Action:</b> {escape(shown.action)}</p>" if shown.action else "",
        _button(shown.veto) if shown.veto else "",
        _picture(picture) if picture else "",
        "\n".join(map(_item, shown.items)),
        _facts(shown, drawn=bool(picture)),
        f"<p>{GO_ON}:<br><code>{escape(shown.command)}</code></p>" if shown.command else "",
        f'<p><a href="{escape(shown.link)}">Open the job</a></p>' if shown.link else "",
        f'<p style="color:#666;font-size:12px">id: {escape(shown.key)}</p>',
    ]
    inner = "\n".join(block for block in blocks if block)
    return (
        '<div style="font-family:sans-serif;font-size:15px;line-height:1.4;color:#1a1a1a;max-width:640px;'
        f'border-left:4px solid {colour};padding-left:14px;overflow-wrap:anywhere">\n{inner}\n</div>'
    )


def _button(link: str) -> str:
    style = "display:inline-block;padding:8px 14px;border:1px solid #555;border-radius:4px;text-decoration:none"
    # The address in words too: the plain part of a mail is made of the words of this one.
    button, address = f'<a href="{escape(link)}" style="{style}">Veto this cancel</a>', escape(link)
    return f'<p>{button}<br><span style="color:#666;font-size:12px">{address}</span></p>'


def _picture(name: str) -> str:
    return f'<p><img src="cid:{escape(name)}" alt="The loss curve" width="640" style="width:100%;height:auto"></p>'


def _item(item: Entry) -> str:
    colour = _COLOURS[item.severity]
    lines = [f'<b style="color:{colour}">{escape(item.title)}</b>']
    lines += [escape(part) for part in (item.what, item.action, item.alert) if part]
    return f'<p style="margin:0 0 {10 if item.what else 2}px">{"<br>".join(lines)}</p>'


def _facts(shown: Parts, *, drawn: bool) -> str:
    rows = [_row(label, escape(value)) for label, value in shown.facts]
    if shown.left_out:
        rows.append(_row("", escape(left_out_note(shown))))
    if shown.sparkline and not drawn:
        rows.append(_row("recent loss", f'<span style="font-family:monospace">{escape(shown.sparkline)}</span>'))
    return '<table style="border-collapse:collapse;font-size:15px">\n' + "\n".join(rows) + "\n</table>" if rows else ""


def _row(label: str, cell: str) -> str:
    return f'<tr><td style="{_CELL};{_LABEL}">{escape(label)}</td><td style="{_CELL}">{cell}</td></tr>'
