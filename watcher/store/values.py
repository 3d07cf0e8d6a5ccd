"""Single values on their way into a column and back: times as microseconds, JSON as text."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Row

from watcher.domain import codec
from watcher.service.errors import StoreError
from watcher.service.jsontext import text_of, value_of

T = TypeVar("T")
AnyRow = Row[*tuple[Any, ...]]
"""A row of any columns; they are reached by name."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TICK = timedelta(microseconds=1)
_to_json = json.JSONEncoder(separators=(",", ":")).encode


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC, exact.

    Raises:
        TypeError: the time is naive.
    """
    return (at - _EPOCH) // _TICK


def micros_or_none(at: datetime | None) -> int | None:
    """As `micros`, for a column that may be NULL."""
    return None if at is None else micros(at)


def moment(value: int) -> datetime:
    """The aware UTC time of these microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=value)


def moment_or_none(value: int | None) -> datetime | None:
    """As `moment`, for a column that may be NULL."""
    return None if value is None else moment(value)


def dump(value: Any) -> str | None:  # noqa: ANN401 - JSON
    """A JSON value as text; None is no text at all."""
    return None if value is None else _to_json(value)


def load(text: str | None) -> Any:  # noqa: ANN401 - JSON
    """The JSON value of this text.

    Raises:
        StoreError: it is not JSON.
    """
    try:
        return None if text is None else value_of(text)
    except ValueError as exc:
        raise StoreError(f"a stored value is not JSON: {exc}") from exc


def pack(value: Any) -> str:  # noqa: ANN401 - a dataclass
    """A dataclass as JSON text, without the fields that are None: `codec.decode` fills them in again."""
    return text_of(value, gaps=False)


def unpack(hint: type[T], text: str) -> T:
    """The dataclass that `pack` made this text of.

    Raises:
        StoreError: the text does not fit the type.
    """
    try:
        return codec.decode(hint, value_of(text))
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        raise StoreError(f"a stored {hint.__name__} can't be read: {exc}") from exc
