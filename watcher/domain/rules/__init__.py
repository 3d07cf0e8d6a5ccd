"""The rules that this program knows. A newcomer adds one file beside this and one line to `RULES`."""

from typing import Any

RULES: tuple[type[Any], ...] = ()
