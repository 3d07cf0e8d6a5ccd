"""Pieces that every listing and the demo draw: cleaned text, progress, health, severities, and a fitting console."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from rich.console import Console, RenderableType
from rich.text import Text

from watcher.notify.formats.parts import clean

Json = Mapping[str, Any]

HEALTH = {
    "waiting": "dim",
    "converging": "green",
    "flat": "yellow",
    "overfitting": "yellow",
    "diverging": "bold red",
    "broken": "bold red",
    "unknown": "magenta",
    "done": "cyan",
}
SEVERITY = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
MARKS = {"info": "·", "warning": "!", "critical": "‼"}
"""So that a severity can be told without colour too."""

_NAME, _SENTENCE = 60, 600
_UNLIMITED = 10_000
_NARROW = 100


def person_console() -> Console:
    """Stdout for tables. Into a file or a pipe nothing is cut to a width that nobody has."""
    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else _UNLIMITED
    return Console(highlight=False, markup=False, emoji=False, width=width)


def is_narrow(console: Console) -> bool:
    """Whether columns must be left out."""
    return console.width < _NARROW


def put(console: Console, *parts: RenderableType) -> None:
    """Print without the spaces with which a table fills its lines."""
    with console.capture() as captured:
        console.print(*parts, sep="\n", crop=False)
    text = "\n".join(line.rstrip() for line in captured.get().splitlines())
    console.file.write(f"{text}\n")


def name(job: Json) -> str:
    """What people know the job by: its suffix, else its id."""
    return clean(str(job["suffix"] or job["id"]), _NAME)


def sentence(text: object) -> str:
    """Somebody else's words, on one line, unable to move the cursor."""
    return clean(str(text or ""), _SENTENCE)


def status(job: Json) -> str:
    """What the job is doing: the API's word, or that the API does not know the job any more."""
    return "deleted" if job["gone"] else sentence(job["status"])


def health(job: Json) -> Text:
    """The one word for how a job is doing."""
    return Text(job["health"], HEALTH.get(job["health"], ""))


def bar(share: float | None, width: int) -> Text:
    """How far it is, readable without colour; nothing where the plan is not known."""
    if share is None:
        return Text("")
    done = int(share * width)
    return Text.assemble(("━" * done, "cyan"), ("─" * (width - done), "dim"))


def percent(share: float | None) -> str:
    """The share in whole percent, never 100 before it is all done."""
    return "" if share is None else f"{int(share * 100)} %"


def steps(step: int | None, total: int | None) -> str:
    """`72/120`, `72` without a plan, or nothing."""
    if step is None:
        return ""
    return f"{step}/{total}" if total else str(step)


def curve(sparkline: str, width: int) -> str:
    """A sparkline in at most `width` characters, the last one kept."""
    length = len(sparkline)
    if length <= width:
        return sparkline
    return "".join(sparkline[(i + 1) * length // width - 1] for i in range(width))


def loss(job: Json) -> str:
    """The newest loss; `—` when the newest row had none."""
    if job["loss"] is not None:
        return f"{job['loss']:.4g}"
    return "—" if job["sparkline"] else ""


def title(alert: Json) -> str:
    """`rule (kind)`."""
    rule, kind = clean(alert["rule"], _NAME), clean(alert["kind"], _NAME)
    return rule if kind in ("", rule) else f"{rule} ({kind})"


def mark(severity: str) -> Text:
    """One character in the colour of the severity."""
    return Text(MARKS.get(severity, " "), SEVERITY.get(severity, ""))


def is_firing(alert: Json) -> bool:
    """Whether it is a condition that holds now, not something that merely happened."""
    return bool(alert["state"] == "firing" and not alert["notice"])
