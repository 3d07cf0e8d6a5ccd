"""CSV for spreadsheets, from values that may hold somebody else's words."""

import csv
import sys
from collections.abc import Iterable, Sequence

from watcher.notify.formats.parts import clean

_FORMULA = ("=", "+", "-", "@")
_BELOW_ALL = "-Infinity"
"""How a loss is written that is that; no spreadsheet reads it as a formula that does anything."""
_LONGEST_CELL = 32_000


def cell(value: object) -> object:
    """Somebody else's words as a cell: on one line, and nothing that a spreadsheet would take for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return "" if value is None else value
    text = clean(value, _LONGEST_CELL)
    return f"'{text}" if text.startswith(_FORMULA) and text != _BELOW_ALL else text


def print_csv(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A header and its rows on stdout."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    sys.stdout.flush()
