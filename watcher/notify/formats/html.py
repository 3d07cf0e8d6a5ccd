"""HTML for mail: a fragment with inline styles, since mail programs drop style sheets."""

from html import escape

from watcher.domain.alerts import TransitionReason
from watcher.domain.messages import Message
from watcher.domain.verdicts import Severity
from watcher.notify.formats.parts import BODY_LIMIT, Parts, fit, left_out_note

HTML_LIMIT = 3 * BODY_LIMIT
"""Tags take room that no reader sees."""

_COLOURS = {Severity.INFO: "#0072b2", Severity.WARNING: "#b35c00", Severity.CRITICAL: "#b3261e"}
_RESOLVED = "#1b7f3b"
_CELL = "padding:2px 12px 2px 0;vertical-align:top"


def render(message: Message, *, limit: int = HTML_LIMIT, heading: bool = True) -> str:
    """The body of a message; `heading` puts the title at the top."""
    colour = _RESOLVED if message.reason is TransitionReason.RESOLVED else _COLOURS[message.severity]
    return fit(message, lambda shown: _render(shown, colour, heading=heading), limit)


def _render(shown: Parts, colour: str, *, heading: bool) -> str:
    blocks = [
        f'<p style="color:{colour};font-size:17px;margin:0 0 8px"><b>{escape(shown.title)}</b></p>' if heading else "",
        f"<p>{escape(shown.what)}</p>" if shown.what else "",
        _facts(shown),
        f"<p><b>Action:</b> {escape(shown.action)}</p>" if shown.action else "",
        f'<p><a href="{escape(shown.link)}">Open the job</a></p>' if shown.link else "",
        f'<p style="color:#666;font-size:12px">id: {escape(shown.key)}</p>',
    ]
    inner = "\n".join(block for block in blocks if block)
    return (
        '<div style="font-family:sans-serif;font-size:15px;line-height:1.4;color:#1a1a1a;max-width:640px;'
        f'border-left:4px solid {colour};padding-left:14px">\n{inner}\n</div>'
    )


def _facts(shown: Parts) -> str:
    rows = [_row(label, escape(value)) for label, value in shown.facts]
    if shown.left_out:
        rows.append(_row("", escape(left_out_note(shown))))
    if shown.sparkline:
        rows.append(_row("recent loss", f'<span style="font-family:monospace">{escape(shown.sparkline)}</span>'))
    return '<table style="border-collapse:collapse;font-size:15px">\n' + "\n".join(rows) + "\n</table>" if rows else ""


def _row(label: str, cell: str) -> str:
    return f'<tr><td style="{_CELL};color:#555">{escape(label)}</td><td style="{_CELL}">{cell}</td></tr>'
