"""Text on a chart: cleaned, measured without a font at hand, and labels placed so that none overlap."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_WIDTHS = (
    (0.34, "'ijlIJ ,./:;\\|"),
    (0.46, '-f()[]t!r"'),
    (0.60, "*_`?szLcFkvxy"),
    (0.66, "PTYaeo$0123456789ESbdghnpqu{}K"),
    (0.80, "ABCRVXZUHN&DGOQ"),
    (1.0, "w#+<=>^~Mm%@W"),
)
"""Widths in em of the bundled font, rounded up: text may take less room than it is given, never more."""
_WIDTH = {char: width for width, chars in _WIDTHS for char in chars}
_OTHER, _FULL = 0.85, 1.1
_ELLIPSIS = "…"
_GAP = 5.0


def clean(text: str, most: int = 200) -> str:
    """One line without control characters, hidden formatting, or what XML can't hold."""
    shown = "".join(_shown(char) for char in text[: most * 4])
    return " ".join(shown.split())[:most]


def _shown(char: str) -> str:
    category = unicodedata.category(char)
    if char in "\t\n\r\v\f" or category in {"Zl", "Zp"}:
        return " "
    # Controls, invisible formatting, lone surrogates and what is no character at all.
    return "" if category in {"Cc", "Cf", "Cs", "Cn", "Co"} else char


def width(text: str, size: float) -> float:
    """At most how wide the text is, in pixels."""
    return size * sum(_advance(char) for char in text)


def _advance(char: str) -> float:
    return _WIDTH.get(char) or (_FULL if unicodedata.east_asian_width(char) in "WF" else _OTHER)


def fit(text: str, size: float, room: float) -> str:
    """The cleaned text, cut where the room ends."""
    shown = clean(text)
    if width(shown, size) <= room:
        return shown
    while shown and width(shown + _ELLIPSIS, size) > room:
        shown = shown[:-1]
    return shown.rstrip() + _ELLIPSIS if shown else ""


@dataclass(frozen=True, slots=True)
class Flag:
    """A label to be placed at a pole: `x` of the pole, and how wide the label is."""

    x: float
    width: float


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a flag's label stands: its left edge, and its row, counted upwards from the drawing."""

    left: float
    right: float
    pole: float
    row: int


def place(flags: Sequence[Flag], low: float, high: float, rows: int) -> list[Placed | None]:
    """A place for each label, right of its pole or else left of it; None for one that has none.

    No label lies on another, nor on the pole of one above it. Labels left of their pole are tried at several heights:
    where most labels have a place, and of those where they take the fewest rows.
    """
    ways = [_placed(flags, low, high, [range(rows), _downwards_from(top, rows)]) for top in range(rows)]
    return max(ways, key=_worth)


def _downwards_from(top: int, rows: int) -> Sequence[int]:
    return [*range(top, -1, -1), *range(top + 1, rows)]


def _worth(found: Sequence[Placed | None]) -> tuple[int, int]:
    spots = [spot for spot in found if spot is not None]
    return len(spots), -max((spot.row for spot in spots), default=0)


def _placed(flags: Sequence[Flag], low: float, high: float, sides: Sequence[Sequence[int]]) -> list[Placed | None]:
    """From right to left, so that a label that would run into the next pole stands a row above that pole's end."""
    found: list[Placed | None] = [None] * len(flags)
    taken: list[Placed] = []
    for i in sorted(range(len(flags)), key=lambda i: (-flags[i].x, i)):
        fitting = (c for c in _candidates(flags[i], sides) if low <= c.left and c.right <= high and _free(c, taken))
        found[i] = spot = next(fitting, None)
        if spot is not None:
            taken.append(spot)
    return found


def _candidates(flag: Flag, sides: Sequence[Sequence[int]]) -> list[Placed]:
    lefts = (flag.x + _GAP, flag.x - _GAP - flag.width)
    return [
        Placed(left, left + flag.width, flag.x, row) for left, rows in zip(lefts, sides, strict=True) for row in rows
    ]


def _free(spot: Placed, taken: Sequence[Placed]) -> bool:
    return not any(_labels_meet(spot, other) or _crosses(spot, other) or _crosses(other, spot) for other in taken)


def _labels_meet(one: Placed, other: Placed) -> bool:
    return one.row == other.row and one.left < other.right + _GAP and other.left < one.right + _GAP


def _crosses(pole: Placed, label: Placed) -> bool:
    """Whether the pole of one passes through the label of the other on its way down."""
    return pole.row >= label.row and label.left - _GAP < pole.pole < label.right + _GAP
