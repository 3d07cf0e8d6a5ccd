"""What a request asks for beside its path. A parameter that is not known is refused: overlooked, it would mislead."""

import re
from enum import StrEnum
from typing import TypeVar

from starlette.exceptions import HTTPException
from starlette.requests import Request

MOST = 10_000
"""Entries that one answer lists at most."""
_YES_OR_NO = {"1": True, "true": True, "0": False, "false": False}
_COUNT = re.compile("[1-9][0-9]{0,4}", re.ASCII)

Word = TypeVar("Word", bound=StrEnum)


def only(request: Request, *known: str) -> None:
    """Refuses every other parameter, and one that is given twice.

    Raises:
        HTTPException: 400, which names what is known.
    """
    asked = request.query_params
    if set(asked) - set(known):
        raise HTTPException(400, f"known parameters are {', '.join(known)}" if known else "there are no parameters")
    if len(asked.multi_items()) > len(asked):
        raise HTTPException(400, "each parameter may be given once")


def flag(request: Request, name: str) -> bool:
    """A yes or no, which is no where it is not given."""
    found = _YES_OR_NO.get(request.query_params.get(name, "0"))
    if found is None:
        raise HTTPException(400, f"{name} is 1 or 0")
    return found


def limit(request: Request, default: int) -> int:
    """How many entries at most."""
    text = request.query_params.get("limit", str(default))
    if not _COUNT.fullmatch(text) or int(text) > MOST:
        raise HTTPException(400, f"limit is a number from 1 to {MOST}")
    return int(text)


def word(request: Request, name: str, words: type[Word]) -> Word | None:
    """One of some words; None where it is not given."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return words(text)
    except ValueError:
        raise HTTPException(400, f"{name} is one of {', '.join(words)}") from None
